"""N-Caltech101 (Orchard et al. 2015, doi:10.3389/fnins.2015.00437): Caltech101.zip of ATIS recordings, 180 x 240."""

from functools import partial
from pathlib import Path

import numpy as np
from pydantic import PositiveInt

from bkdsnn.data import event_files
from bkdsnn.data.archives import unpacked
from bkdsnn.data.event_files import Found, Recordings, recordings_of_classes
from bkdsnn.data.files import class_folders
from bkdsnn.data.frame_writer import Recorded
from bkdsnn.data.splits import Protocol, by_protocol
from bkdsnn.errors import InputError
from bkdsnn.events.formats import atis

SENSOR = (180, 240)


class Settings(Recordings):
    """How many classes there are (their folders, in string order), and the MD5 of the archive (null: not checked)."""

    classes: PositiveInt
    archive_md5: str | None
    split: Protocol


def find(settings: Settings, root: Path) -> Found:
    """Its recordings, class by class."""
    folder, classes, files, labels = _recordings(settings, root)
    return Found(
        origin="N-Caltech101",
        classes=classes,
        samples=[Recorded(path, int(label)) for path, label in zip(files, labels, strict=True)],
        splits=by_protocol(files, labels, settings.split),
        format=atis,
        sensor=SENSOR,
        folders=(folder,),
    )


def _recordings(settings: Settings, root: Path) -> tuple[Path, list[str], list[Path], np.ndarray]:
    """Their folder, class names, files and labels."""
    found = unpacked(root, "Caltech101", archive="Caltech101.zip", expected_md5=settings.archive_md5)
    classes = class_folders(found)
    if len(classes) != settings.classes:
        raise InputError(f"{found}: has {len(classes)} class folders, wanted {settings.classes}")
    return found, classes, *recordings_of_classes(found, classes, format=atis)


prepare = partial(event_files.prepare, find)
