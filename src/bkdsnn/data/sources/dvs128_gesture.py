"""DVS128 Gesture (Amir et al. 2017, doi:10.1109/CVPR.2017.781): DvsGesture.tar.gz of AEDAT 3.1 files, 128 x 128.

A file holds several gestures; a CSV beside it says when each begins and ends.
"""

import csv
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import PositiveInt

from bkdsnn.data import event_files
from bkdsnn.data.archives import unpacked
from bkdsnn.data.event_files import Found, Recordings
from bkdsnn.data.frame_writer import Recorded
from bkdsnn.data.splits import hold_out
from bkdsnn.errors import InputError
from bkdsnn.events.formats import aedat3

SENSOR = (128, 128)
CLASSES = [  # gesture_mapping.csv of the data set, labels 1 to 11
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter clockwise",
    "left arm clockwise",
    "left arm counter clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other gestures",
]
_COLUMNS = ["class", "startTime_usec", "endTime_usec"]


class Settings(Recordings):
    """Train, test: how many gestures each has (by trials_to_train.txt and trials_to_test.txt); the archive's MD5."""

    train: PositiveInt
    test: PositiveInt
    archive_md5: str | None


def find(settings: Settings, root: Path) -> Found:
    """Its gestures, training gestures first."""
    train, test = _gestures(settings, root)
    labels = np.array([sample.label for sample in [*train, *test]])
    everything = np.arange(len(labels))
    return Found(
        origin="DVS128 Gesture",
        classes=CLASSES,
        samples=[*train, *test],
        splits=hold_out(everything[: len(train)], everything[len(train) :], labels, settings.split),
        format=aedat3,
        sensor=SENSOR,
    )


def _gestures(settings: Settings, root: Path) -> tuple[list[Recorded], list[Recorded]]:
    found = unpacked(root, "DvsGesture", archive="DvsGesture.tar.gz", expected_md5=settings.archive_md5)
    parts = []
    for name, wanted in (("train", settings.train), ("test", settings.test)):
        trials = _lines(found / f"trials_to_{name}.txt")
        parts.append([gesture for trial in trials for gesture in _of_file(found / trial)])
        if len(parts[-1]) != wanted:
            raise InputError(f"{found}: trials_to_{name}.txt leads to {len(parts[-1])} gestures, wanted {wanted}")
    return parts[0], parts[1]


def _of_file(path: Path) -> list[Recorded]:
    """The gestures of one recording, those that SpikingJelly cuts: from the start of each up to its end."""
    if not path.is_file():
        raise InputError(f"{path}: missing")
    labels = path.with_name(f"{path.stem}_labels.csv")
    gestures = []
    for number, cells in enumerate(csv.reader(_lines(labels))):
        if number == 0:
            if cells != _COLUMNS:
                raise InputError(f"{labels}: columns are {', '.join(cells)}, wanted {', '.join(_COLUMNS)}")
            continue
        if len(cells) != 3 or not all(cell.isdecimal() for cell in cells) or not 1 <= int(cells[0]) <= len(CLASSES):
            raise InputError(
                f"{labels}: row {number} is {','.join(cells)}: a class of 1 to 11, its start and end in us"
            )
        label, start, end = map(int, cells)
        gestures.append(Recorded(path, label - 1, (start, end)))
    return gestures


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


prepare = partial(event_files.prepare, find)
