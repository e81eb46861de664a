"""Recordings in class folders become frames: the one path that simulated and real event data sets share."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, PositiveInt
from tqdm import tqdm

from bkdsnn.errors import InputError
from bkdsnn.events.aedat import read_aedat2
from bkdsnn.events.frames import events_to_frames
from bkdsnn.params import Closed


class FrameSettings(Closed):
    """T slices of equal event count or equal time; `down_scale` x `down_scale` pixels are summed into one."""

    time_steps: PositiveInt = Field(le=64)
    split_by: Literal["number", "time"]
    down_scale: PositiveInt


def files_of_classes(folder: Path, classes: list[str], *, suffix: str) -> tuple[list[Path], np.ndarray]:
    """All recordings by class and name, and their labels; `InputError` for a class folder that is missing or empty."""
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted((folder / name).glob(f"*{suffix}"))
        if not found:
            raise InputError(f"{folder / name}: class folder missing or without {suffix} files")
        files += found
        labels += [label] * len(found)
    return files, np.array(labels)


def write_frames(inputs: np.ndarray, files: list[Path], *, sensor: tuple[int, int], settings: FrameSettings) -> int:
    """Fills `inputs` `[N, T, 2, H, W]` with the frames of AEDAT 2.0 files; returns how many counts stopped at 255."""
    jobs = ((path, sensor, settings) for path in files)
    saturated = 0
    for position, (frames, cut) in enumerate(in_processes(_frames_of, jobs, total=len(files), what="frames")):
        inputs[position] = frames
        saturated += cut
    return saturated


def in_processes(work: Callable, jobs: Iterable[tuple], *, total: int, what: str) -> Iterator:
    """The results of `work(*job)` in order, from one process per core, with a progress bar on a terminal."""
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ProcessPoolExecutor(workers, mp_context=get_context("forkserver")) as pool:
        yield from tqdm(
            pool.map(_call, ((work, job) for job in jobs), chunksize=16), total=total, desc=what, disable=None
        )


def _call(work_and_job: tuple[Callable, tuple]) -> object:
    work, job = work_and_job
    return work(*job)


def _frames_of(path: Path, sensor: tuple[int, int], settings: FrameSettings) -> tuple[np.ndarray, int]:
    events = read_aedat2(path)
    try:
        return events_to_frames(events, sensor=sensor, **settings.model_dump())
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
