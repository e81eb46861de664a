"""Recordings become frames: the one path that simulated and real event data sets share."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from pydantic import NonNegativeInt

from bkdsnn.data.arrays import Prepared
from bkdsnn.data.files import check_each_once, files_of_classes, left_out, visible_files
from bkdsnn.data.frame_writer import FrameSettings, Recorded, write_frames, write_preview
from bkdsnn.data.splits import HeldOut, Splits, without
from bkdsnn.errors import InputError
from bkdsnn.events.listing import formats_read
from bkdsnn.events.signatures import LOOKED_AT, signature_of
from bkdsnn.params.recipe import Closed


class Recordings(Closed):
    """What every data set of recordings sets: where it lies below BKDSNN_DATA, its frames, and how many files (or
    samples of a file) may be damaged (they are left out, and the manifest names them) before preparing stops."""

    root: str
    frames: FrameSettings
    skip_corrupt: NonNegativeInt
    split: HeldOut


@dataclass(frozen=True)
class Found:
    """What a source of recordings found below its root: samples and splits (indices of samples).

    folders: those in which every file should be a recording; what is none is counted in the manifest.
    """

    origin: str
    classes: list[str]
    samples: list[Recorded]
    splits: Splits
    format: ModuleType
    sensor: tuple[int, int]
    folders: tuple[Path, ...] = ()


Find = Callable[[Any, Path], Found]


def prepare(find: Find, settings: Recordings, *, raw: Path, folder: Path) -> Prepared:
    """Writes the frames `[N, T, 2, h, w]` of what `find(settings, root)` gives, in its order."""
    root = raw / settings.root
    found = find(settings, root)
    files = [path for path, _ in itertools.groupby(sample.path for sample in found.samples)]
    check_each_once(files)
    others = {path.name: left_out(path, files) for path in found.folders}
    skipped, facts = write_frames(
        folder,
        found.samples,
        format=found.format,
        sensor=found.sensor,
        frames=settings.frames,
        skip_corrupt=settings.skip_corrupt,
        root=root,
        unique=True,
    )
    splits = without(found.splits, skipped)
    first = int(min(part[0] for part in splits.values()))
    write_preview(folder, found.samples[first], row=first, format=found.format)
    return Prepared(
        classes=found.classes,
        labels=np.array([sample.label for sample in found.samples]),
        splits=splits,
        facts={"origin": found.origin, "split": settings.split.in_words(), **facts, "left_out": others},
    )


def recordings_of_classes(root: Path, classes: list[str], *, format: ModuleType) -> tuple[list[Path], np.ndarray]:
    """As `files_of_classes`; where a class folder has other files alone, the `InputError` says what they begin as."""
    try:
        return files_of_classes(root, classes, suffixes=(format.SUFFIX,))
    except InputError as error:
        raise InputError(f"{error}{_beginning(root, classes, format)}; read are {formats_read()}") from error


def _beginning(root: Path, classes: list[str], format: ModuleType) -> str:
    """What the first file of the first class folder that has other files alone begins as."""
    for name in classes:
        files = visible_files(root / name)
        if files and not any(path.name.lower().endswith(format.SUFFIX) for path in files):
            with files[0].open("rb") as file:
                found = signature_of(file.read(LOOKED_AT), sure=False)
            return f"; {files[0].name} begins as {found.name}" if found else ""
    return ""


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank, without the spaces around them; UTF-8, with a BOM or without."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
