"""Recordings become frames: the one path that simulated and real event data sets share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from pydantic import NonNegativeInt

from bkdsnn.data.arrays import Prepared
from bkdsnn.data.frame_writer import FrameSettings, Recorded, write_frames, write_preview
from bkdsnn.data.splits import HeldOut, Splits, without
from bkdsnn.params.recipe import Closed


class Recordings(Closed):
    """What every data set of recordings sets: where it lies below BKDSNN_DATA, its frames, and how many files may be
    damaged (they are left out, and the manifest names them) before preparing stops."""

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
