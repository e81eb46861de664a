"""CIFAR10-DVS (Li et al. 2017, doi:10.3389/fnins.2017.00309): ten zips of AEDAT 2.0 files, 128 x 128 pixels."""

from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
from pydantic import PositiveInt

from bkdsnn.data import event_files
from bkdsnn.data.archives import located, unpacked
from bkdsnn.data.event_files import Found, Recordings, recordings_of_classes
from bkdsnn.data.files import Expected
from bkdsnn.data.frame_writer import Recorded
from bkdsnn.data.splits import Protocol, by_protocol
from bkdsnn.errors import InputError
from bkdsnn.events.formats import aedat2

SENSOR = (128, 128)
HOME = "https://ndownloader.figshare.com/files/7712788 (airplane; SpikingJelly's CIFAR10DVS lists all ten)"


class Settings(Recordings):
    """classes: names, in the order of their labels, and the MD5 of each one's zip file (null: not checked);
    per_class: how many recordings each has."""

    classes: dict[str, str | None]
    per_class: PositiveInt
    split: Protocol


def expected(settings: Settings) -> Expected:
    shape = (settings.frames.time_steps, 2, *(settings.frames.size or SENSOR))
    train = len(settings.classes) * (9 * settings.per_class // 10)  # every protocol keeps nine tenths of a class
    return Expected(shape, len(settings.classes), train - settings.split.validation, home=HOME)


def check_raw(settings: Settings, *, raw: Path) -> None:
    for name in settings.classes:
        located(raw / settings.root, name, archive=f"{name}.zip")


def find(settings: Settings, root: Path) -> Found:
    """Its recordings, class by class."""
    return found(settings, root, format=aedat2, origin="CIFAR10-DVS")


def found(settings: Settings, root: Path, *, format: ModuleType, origin: str) -> Found:
    """The recordings of a format below `root`, from each class's folder or zip."""
    files, labels = _recordings(settings, root, format)
    return Found(
        origin=origin,
        classes=list(settings.classes),
        samples=[Recorded(path, int(label)) for path, label in zip(files, labels, strict=True)],
        splits=by_protocol(files, labels, settings.split),
        format=format,
        sensor=SENSOR,
    )


def _recordings(settings: Settings, root: Path, format: ModuleType) -> tuple[list[Path], np.ndarray]:
    """All recordings, class by class in string order, and their labels."""
    files, labels = [], []
    for label, (name, md5) in enumerate(settings.classes.items()):
        place = unpacked(root, name, archive=f"{name}.zip", expected_md5=md5)
        own, _ = recordings_of_classes(place.parent, [name], format=format)
        if len(own) != settings.per_class:
            raise InputError(f"{place}: has {len(own)} recordings, wanted {settings.per_class}")
        files += own
        labels += [label] * len(own)
    return files, np.array(labels)


prepare = partial(event_files.prepare, find)
