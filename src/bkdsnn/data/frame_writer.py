"""Samples of recordings become frames `[N, T, 2, h, w]` on disk, several files at a time."""

import hashlib
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from bkdsnn.data.arrays import create_inputs
from bkdsnn.data.files import as_facts, check_contents
from bkdsnn.data.frame_file import Counted, FrameSettings, Job, Recorded, Result, within, write_file
from bkdsnn.data.processes import in_processes
from bkdsnn.errors import InputError
from bkdsnn.events.format import Format
from bkdsnn.events.recording import read_bytes

log = logging.getLogger(__name__)


def write_frames(
    folder: Path,
    samples: list[Recorded],
    *,
    format: ModuleType,
    sensor: tuple[int, int],
    frames: FrameSettings,
    skip_corrupt: int,
    root: Path,
    workers: int = 0,
    unique: bool = False,
) -> tuple[np.ndarray, dict]:
    """Writes the inputs `[N, T, 2, h, w]`; gives the rows left out as damaged, and facts for the manifest.

    `InputError` where more files, or samples of a file, than `skip_corrupt` are damaged, with the first of them, and
    with `unique` where two files are equal byte by byte.
    """
    size = frames.size or sensor
    inputs = create_inputs(folder, (len(samples), frames.time_steps, 2, *size))
    jobs = [
        Job(path, Format.of(format), sensor, frames, inputs, list(group))
        for path, group in itertools.groupby(enumerate(samples), key=lambda pair: pair[1].path)
    ]
    total, reasons, digests, used = Counted(), {}, {}, {}
    for job, result in zip(jobs, _results(jobs, workers), strict=True):
        total = total.and_also(result.counted)
        reasons |= result.reasons
        if len(reasons) > skip_corrupt:
            raise InputError(f"{list(reasons)[skip_corrupt]} (skip_corrupt: {skip_corrupt})")
        digests[job.path] = result.sha256
        if sum(map(len, result.reasons.values())) < len(job.samples):
            used[str(job.path)] = result.sha256
    if unique:
        check_contents(used.items())
    _warn_of_corner(total, sensor, root=root)
    return np.array([row for rows in reasons.values() for row in rows], dtype=np.int64), {
        "format": Format.of(format).name,
        "recordings": len(samples),
        "recordings_sha256": hashlib.sha256("".join(digests.values()).encode()).hexdigest(),
        "events_in_no_frame": total.lost,  # at a count of 255, or after the last frame
        "events_passed_over": total.passed_over,  # special, invalid
        "skipped": as_facts(reasons, root=root),
    }


def _results(jobs: list[Job], workers: int) -> Iterator[Result]:
    return in_processes(write_file, ((job,) for job in jobs), total=len(jobs), what="frames", workers=workers)


def _warn_of_corner(counted: Counted, sensor: tuple[int, int], *, root: Path) -> None:
    """One line where the sensor in the settings seems to be a larger one than that of the recordings."""
    if 2 * counted.rows * counted.columns < sensor[0] * sensor[1]:
        log.warning(
            "%s: no event lies beyond row %d and column %d of a sensor of %d rows, %d columns; is it another camera's?",
            *(root, counted.rows, counted.columns, *sensor),
        )


def write_preview(folder: Path, sample: Recorded, *, row: int, format: ModuleType) -> None:
    """One sample's events and frames, for the figure."""
    events = within(Format.of(format).decode(read_bytes(sample.path), where=sample.path), sample.window)
    np.save(folder / "preview_events.npy", np.stack([field.astype(np.int64) for field in events]))
    np.save(folder / "preview_frames.npy", np.load(folder / "inputs.npy", mmap_mode="r")[row])
