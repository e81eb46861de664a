"""A file format of recordings, in a form that can be sent to other processes."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, Self

from bkdsnn.errors import InputError
from bkdsnn.events.listing import formats_read
from bkdsnn.events.recording import Events
from bkdsnn.events.signatures import signature_of


class Format(NamedTuple):
    """What a file of `events/formats` offers.

    decoder: bytes to events. straight: bytes to frames, for recordings of `sensor` (H, W), where there is such a way.
    counter: how many entries of a file the decoder passes over (special, invalid), where there may be such.
    header: bytes to the (H, W) that a file's header says, where it may say one.
    """

    name: str
    decoder: Callable
    straight: Callable | None
    sensor: tuple[int, int] | None
    counter: Callable | None
    header: Callable | None

    @classmethod
    def of(cls, module: ModuleType) -> Self:
        """The format that a module of `events/formats` reads; `InputError` where a package is missing that it needs."""
        name, library = module.__name__.rpartition(".")[2], getattr(module, "LIBRARY", None)
        if library and find_spec(library) is None:
            raise InputError(f"format: {name} needs the package {library} (extra `events`): pip install {library}")
        offered = (getattr(module, part, None) for part in ("straight_to_frames", "SENSOR", "passed_over", "sensor_of"))
        return cls(name, module.decode, *offered)

    def decode(self, content: bytes, *, where: Path) -> Events:
        """The events of a file's bytes; `InputError` says so where they are of another kind of file."""
        self.check(content, where=where)
        try:
            return self.decoder(content, where=where)
        except InputError:
            self.check(content, where=where, sure=False)
            raise

    def check(self, content: bytes, *, where: Path, sure: bool = True) -> None:
        """`InputError` where a file begins as one of another format, known or not."""
        found = signature_of(content, sure=sure)
        if found is None or found.format == self.name:
            return
        reader = (
            f"which format: {found.format} reads" if found.format else f"which is not read; read are {formats_read()}"
        )
        raise InputError(f"{where}: does not begin as format: {self.name}, it is {found.name}, {reader}")

    def check_sensor(self, content: bytes, sensor: tuple[int, int], *, where: Path) -> None:
        """`InputError` where a file's header says another sensor (H, W) than the data set has."""
        found = self.header(content, where=where) if self.header else None
        if found not in (None, sensor):
            sizes = (f"{height} rows x {width} columns" for height, width in (found, sensor))
            raise InputError("{}: its header says a sensor of {}, the data set's has {}".format(where, *sizes))

    def passed_over(self, content: bytes, *, where: Path) -> int:
        """How many special or invalid entries of a file are no events."""
        return self.counter(content, where=where) if self.counter else 0
