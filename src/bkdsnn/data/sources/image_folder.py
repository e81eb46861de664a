"""Small image sets in class folders, `train/<class>/*.jpg` and `test/<class>/*.jpg`, packed into one array."""

from pathlib import Path

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from bkdsnn.data.arrays import Prepared, create_inputs
from bkdsnn.data.decoding import SUFFIXES
from bkdsnn.data.files import (
    Below,
    as_facts,
    check_contents,
    check_each_once,
    class_folders,
    files_of_classes,
    left_out,
)
from bkdsnn.data.images import Picture, fill
from bkdsnn.data.splits import HeldOut, hold_out, without
from bkdsnn.errors import InputError
from bkdsnn.params.recipe import Closed


class Folders(Closed):
    """The folder below BKDSNN_DATA, the folders of its splits, how many classes (null: as found), images, split."""

    root: str
    train: Below
    test: Below
    classes: PositiveInt | None
    picture: Picture
    split: HeldOut
    skip_corrupt: NonNegativeInt


class Settings(Folders):
    """And how many images may show the same picture as another one before preparing stops."""

    duplicates: NonNegativeInt = 0


class Found:
    """The files of both splits, training files first, and their labels; `InputError` where classes are missing."""

    def __init__(self, settings: Folders, *, raw: Path) -> None:
        self.root = raw / settings.root
        self.classes = class_folders(self.root / settings.train)
        if settings.classes not in (None, len(self.classes)):
            raise InputError(
                f"{self.root / settings.train}: has {len(self.classes)} class folders, wanted {settings.classes}"
            )
        train, test = (
            files_of_classes(self.root / part, self.classes, suffixes=SUFFIXES)
            for part in (settings.train, settings.test)
        )
        if extra := set(class_folders(self.root / settings.test)) - set(self.classes):
            raise InputError(f"{self.root / settings.test / sorted(extra)[0]}: no such class in {settings.train}")
        self.files = [*train[0], *test[0]]
        check_each_once(self.files)
        self.labels = np.concatenate([train[1], test[1]])
        everything = np.arange(len(self.files))
        self.splits = hold_out(everything[: len(train[0])], everything[len(train[0]) :], self.labels, settings.split)
        self.facts = {"split": settings.split.in_words(), "left_out": left_out(self.root, self.files)}


def prepare(settings: Settings, *, raw: Path, folder: Path) -> Prepared:
    """Writes all images `[N, 3, size, size]`, training images first."""
    found = Found(settings, raw=raw)
    inputs = create_inputs(folder, (len(found.files), 3, settings.picture.size, settings.picture.size))
    filled = fill(
        inputs.write,
        ((path, str(path)) for path in found.files),
        settings.picture,
        total=len(found.files),
        skip_corrupt=settings.skip_corrupt,
    )
    repeated = check_contents(filled.digests.items(), allowed=settings.duplicates)
    return Prepared(
        classes=found.classes,
        labels=found.labels,
        splits=without(found.splits, np.array(list(filled.damaged), dtype=np.int64)),
        facts={
            "origin": "image folder",
            "skipped": as_facts(filled.damaged.values(), root=found.root),
            "duplicates": as_facts((f"{name}: {other}" for name, other in repeated.items()), root=found.root),
            **found.facts,
        },
    )
