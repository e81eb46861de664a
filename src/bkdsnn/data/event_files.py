"""Recordings become frames: the one path that simulated and real event data sets share."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from pydantic import NonNegativeInt

from bkdsnn.data.arrays import Prepared
from bkdsnn.data.files import files_of_classes
from bkdsnn.data.frame_writer import FrameSettings, Recorded, write_frames, write_preview
from bkdsnn.data.splits import HeldOut, Splits, without
from bkdsnn.errors import InputError
from bkdsnn.events.format import Format, formats_read
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
    """What a source of recordings found below its root: samples and splits (indices of samples)."""

    origin: str
    classes: list[str]
    samples: list[Recorded]
    splits: Splits
    format: ModuleType
    sensor: tuple[int, int]


Find = Callable[[Any, Path], Found]


def prepare(find: Find, settings: Recordings, *, raw: Path, folder: Path) -> Prepared:
    """Writes the frames `[N, T, 2, h, w]` of what `find(settings, root)` gives, in its order."""
    root = raw / settings.root
    found = find(settings, root)
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
        facts={"origin": found.origin, "split": settings.split.in_words(), **facts},
    )


def recordings_of_classes(root: Path, classes: list[str], *, format: ModuleType) -> tuple[list[Path], np.ndarray]:
    """As `files_of_classes`; of a class folder with other files alone the `InputError` names what they are."""
    for name in classes:
        _check_suffixes(root / name, format)
    return files_of_classes(root, classes, suffixes=(format.SUFFIX,))


def _check_suffixes(folder: Path, format: ModuleType) -> None:
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    files = [folder / name for name in names if not name.startswith(".") and (folder / name).is_file()]
    if files and not any(path.name.lower().endswith(format.SUFFIX) for path in files):
        found = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in _suffixes(files).items())
        kind = _signature(files[0])
        begins = f"; {files[0].name} begins as {kind}" if kind else ""
        raise InputError(
            f"{folder}: no {format.SUFFIX} files (format: {Format.of(format).name}), but {found}{begins}; "
            f"read are {formats_read()}"
        )


def _suffixes(files: list[Path]) -> Counter:
    return Counter(path.suffix.lower() for path in files)


def _signature(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            found = signature_of(file.read(LOOKED_AT), sure=False)
    except OSError:
        return None
    return found.name if found else None


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank, without the spaces around them; UTF-8, with a BOM or without."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
