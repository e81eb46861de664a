"""Your own recordings in class folders, `<class>/*`, in any format of `events/formats`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, PositiveInt

from bkdsnn import plugins
from bkdsnn.data import event_files
from bkdsnn.data.event_files import Found, Recordings, recordings_of_classes
from bkdsnn.data.files import class_folders
from bkdsnn.data.frame_writer import Recorded
from bkdsnn.data.splits import Protocol, by_protocol


def _known(format: str) -> str:
    if format not in (there := plugins.names("format")):
        raise ValueError(f"there are {', '.join(there)}")
    return format


class Settings(Recordings):
    """The file format, the sensor's (H, W) in pixels, and the split."""

    format: Annotated[str, AfterValidator(_known)]
    sensor: tuple[PositiveInt, PositiveInt]
    split: Protocol


def find(settings: Settings, root: Path) -> Found:
    """Its recordings, class by class."""
    classes, files, labels = _recordings(settings, root)
    return Found(
        origin="recordings in class folders",
        classes=classes,
        samples=[Recorded(path, int(label)) for path, label in zip(files, labels, strict=True)],
        splits=by_protocol(files, labels, settings.split),
        format=plugins.load("format", settings.format),
        sensor=settings.sensor,
        folders=(root,),
    )


def _recordings(settings: Settings, root: Path) -> tuple[list[str], list[Path], np.ndarray]:
    classes = class_folders(root)
    return classes, *recordings_of_classes(root, classes, format=plugins.load("format", settings.format))


prepare = partial(event_files.prepare, find)
