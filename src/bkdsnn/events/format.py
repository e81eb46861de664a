"""A file format of recordings, in a form that can be sent to other processes."""

from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple, Self


class Format(NamedTuple):
    """What a file of `events/formats` offers.

    decode: bytes to events. straight: bytes to frames, for recordings of `sensor` (H, W), where there is such a way.
    """

    name: str
    decode: Callable
    straight: Callable | None
    sensor: tuple[int, int] | None

    @classmethod
    def of(cls, module: ModuleType) -> Self:
        """The format that a module of `events/formats` reads."""
        name = module.__name__.rpartition(".")[2]
        straight, sensor = getattr(module, "straight_to_frames", None), getattr(module, "SENSOR", None)
        return cls(name, module.decode, straight, sensor)
