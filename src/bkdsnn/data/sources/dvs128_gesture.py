"""DVS128 Gesture (Amir et al. 2017, doi:10.1109/CVPR.2017.781): DvsGesture.tar.gz of AEDAT 3.1 files, 128 x 128.

A file holds several gestures; a CSV beside it says when each begins and ends.
"""

import csv
import os
import re
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import PositiveInt

from bkdsnn.data import event_files
from bkdsnn.data.archives import unpacked
from bkdsnn.data.event_files import Found, Recordings, read_lines
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
_NUMBER = re.compile(r"[0-9]{1,18}")
_FILE_NAME = re.compile(r"(\./)*[^/\\\x00]{1,200}")


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
    lists = {name: found / f"trials_to_{name}.txt" for name in ("train", "test")}
    trials = {name: [_file_name(line, where=path) for line in read_lines(path)] for name, path in lists.items()}
    _check_once([(found / trial, lists[name]) for name in lists for trial in trials[name]])
    parts = {name: [gesture for trial in trials[name] for gesture in _of_file(found / trial)] for name in lists}
    for name, gestures in parts.items():
        if len(gestures) != (wanted := getattr(settings, name)):
            raise InputError(f"{found}: trials_to_{name}.txt leads to {len(gestures)} gestures, wanted {wanted}")
    return parts["train"], parts["test"]


def _file_name(line: str, *, where: Path) -> str:
    if not _FILE_NAME.fullmatch(line):
        raise InputError(f"{where}: {_short(line)!r} is no name of a recording beside it, as user01_led.aedat")
    return line


def _check_once(trials: list[tuple[Path, Path]]) -> None:
    """`InputError` where a recording is in both lists, or twice in one."""
    listed: dict[str, Path] = {}
    for path, trials_to in trials:
        if (earlier := listed.get(os.path.realpath(path))) is not None:
            twice = "twice" if earlier == trials_to else f"and in {earlier.name}"
            raise InputError(f"{trials_to}: {path.name} is listed here {twice}; a recording is in one list, once")
        listed[os.path.realpath(path)] = trials_to


def _of_file(path: Path) -> list[Recorded]:
    """The gestures of one recording, those that SpikingJelly cuts: from the start of each up to its end."""
    if not path.is_file():
        raise InputError(f"{path}: missing")
    labels = path.with_name(f"{path.stem}_labels.csv")
    header, *rows = _cells(labels) or [[]]
    if header != _COLUMNS:
        raise InputError(f"{labels}: columns are {_short(', '.join(header))}, wanted {', '.join(_COLUMNS)}")
    gestures, windows = [], {}
    for number, cells in enumerate(rows, 1):
        label, *window = _numbers(cells, where=f"{labels}: row {number}")
        if (first := windows.setdefault(tuple(window), number)) != number:
            raise InputError(f"{labels}: row {number} has the start and end of row {first}")
        gestures.append(Recorded(path, label - 1, tuple(window), f"{labels} row {number} ({','.join(cells)})"))
    return gestures


def _numbers(cells: list[str], *, where: str) -> list[int]:
    if len(cells) != 3 or not all(map(_NUMBER.fullmatch, cells)) or not 1 <= int(cells[0]) <= len(CLASSES):
        raise InputError(f"{where} is {_short(','.join(cells))}: a class of 1 to 11, its start and end in us")
    return [int(cell) for cell in cells]


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def _cells(path: Path) -> list[list[str]]:
    """A CSV file's rows; spaces around a cell do not count."""
    try:
        return [[cell.strip() for cell in row] for row in csv.reader(read_lines(path), skipinitialspace=True)]
    except csv.Error as error:
        raise InputError(f"{path}: no readable CSV ({error})") from error


prepare = partial(event_files.prepare, find)
