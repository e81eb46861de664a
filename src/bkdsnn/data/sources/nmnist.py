"""N-MNIST (Orchard et al. 2015, doi:10.3389/fnins.2015.00437): Train.zip and Test.zip of ATIS recordings, 34 x 34."""

from functools import partial
from pathlib import Path

import numpy as np
from pydantic import PositiveInt

from bkdsnn.data import event_files
from bkdsnn.data.archives import unpacked
from bkdsnn.data.event_files import Found, Recordings, recordings_of_classes
from bkdsnn.data.frame_writer import Recorded
from bkdsnn.data.splits import hold_out
from bkdsnn.errors import InputError
from bkdsnn.events.formats import atis

SENSOR = (34, 34)
CLASSES = [str(digit) for digit in range(10)]


class Settings(Recordings):
    """Train, test: how many recordings each has and the MD5 of its archive (null: not checked)."""

    train: PositiveInt
    test: PositiveInt
    train_md5: str | None
    test_md5: str | None


def find(settings: Settings, root: Path) -> Found:
    """Its recordings, training recordings first."""
    (train, train_labels), (test, test_labels) = _recordings(settings, root)
    labels = np.concatenate([train_labels, test_labels])
    everything = np.arange(len(labels))
    return Found(
        origin="N-MNIST",
        classes=CLASSES,
        samples=[Recorded(path, int(label)) for path, label in zip([*train, *test], labels, strict=True)],
        splits=hold_out(everything[: len(train)], everything[len(train) :], labels, settings.split),
        format=atis,
        sensor=SENSOR,
    )


def _recordings(settings: Settings, root: Path) -> list[tuple[list[Path], np.ndarray]]:
    """Files and labels of the training and the test recordings."""
    parts = []
    for name, wanted, md5 in (
        ("Train", settings.train, settings.train_md5),
        ("Test", settings.test, settings.test_md5),
    ):
        found = unpacked(root, name, archive=f"{name}.zip", expected_md5=md5)
        files, labels = recordings_of_classes(found, CLASSES, format=atis)
        if len(files) != wanted:
            raise InputError(f"{found}: has {len(files)} recordings, wanted {wanted}")
        parts.append((files, labels))
    return parts


prepare = partial(event_files.prepare, find)
