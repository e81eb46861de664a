"""What is known of a data set before it is prepared."""

from types import ModuleType
from typing import Any, NamedTuple

from bkdsnn.contracts import Shape


class Foreseen(NamedTuple):
    """What the settings of a data set say of it before it is prepared; None where they do not say it.

    packed: whether all samples are written into one array, so that they are seen in one size alone.
    """

    input_shape: Shape | None
    classes: int | None
    train: int | None
    packed: bool


def foreseen(source: ModuleType, settings: Any) -> Foreseen:
    """What a source expects; of one that expects nothing what its pictures or frames say."""
    packed = hasattr(source, "create_inputs") or hasattr(settings, "frames")
    if hasattr(source, "expected"):
        return Foreseen(*source.expected(settings)[:3], packed)
    classes = getattr(settings, "classes", None) or getattr(source, "CLASSES", None)
    shape = None
    if picture := getattr(settings, "picture", None):
        shape = (3, picture.size, picture.size)
    elif frames := getattr(settings, "frames", None):
        size = frames.size or getattr(settings, "sensor", None) or getattr(source, "SENSOR", None)
        shape = size and (frames.time_steps, 2, *size)
    return Foreseen(shape, classes if isinstance(classes, int | None) else len(classes), None, packed)
