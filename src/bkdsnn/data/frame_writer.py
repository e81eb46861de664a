"""Samples of recordings become frames `[N, T, 2, h, w]` on disk, several files at a time."""

import hashlib
import itertools
from pathlib import Path
from types import ModuleType
from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from bkdsnn.data.arrays import InputFile, create_inputs
from bkdsnn.data.files import as_facts
from bkdsnn.data.processes import in_processes
from bkdsnn.errors import InputError
from bkdsnn.events.format import Format
from bkdsnn.events.frames import events_to_frames
from bkdsnn.events.recording import Events, read_bytes
from bkdsnn.params.recipe import Closed


class FrameSettings(Closed):
    """T slices of equal event count, of equal time or of `duration_us` each; `size` (h, w) is what the sensor's pixels
    are summed into, null keeps them."""

    time_steps: PositiveInt = Field(le=64)
    split_by: Literal["number", "time", "duration"]
    duration_us: PositiveInt | None
    size: tuple[PositiveInt, PositiveInt] | None

    @model_validator(mode="after")
    def _duration_where_it_is_used(self) -> Self:
        if (self.split_by == "duration") != (self.duration_us is not None):
            raise ValueError("duration_us goes with split_by: duration, and with no other")
        return self


class Recorded(NamedTuple):
    """One sample: its file, its class, and for a file of several samples the time (us) it begins and ends."""

    path: Path
    label: int
    window: tuple[int, int] | None = None


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
) -> tuple[np.ndarray, dict]:
    """Writes the inputs `[N, T, 2, h, w]`; gives the rows left out as damaged, and facts for the manifest.

    `InputError` where more files than `skip_corrupt` are damaged, with the first of them.
    """
    size = frames.size or sensor
    inputs = create_inputs(folder, (len(samples), frames.time_steps, 2, *size))
    rows = enumerate(samples)
    jobs = (
        Job(path, Format.of(format), sensor, frames, inputs, [(row, sample.window) for row, sample in group])
        for path, group in itertools.groupby(rows, key=lambda pair: pair[1].path)
    )
    skipped, reasons, lost, digest = [], [], 0, hashlib.sha256()
    files = len({sample.path for sample in samples})
    for result in in_processes(write_file, ((job,) for job in jobs), total=files, what="frames", workers=workers):
        lost += result.lost
        digest.update(result.sha256.encode())
        if result.reason:
            skipped += result.rows
            reasons.append(result.reason)
            if len(reasons) > skip_corrupt:
                raise InputError(f"{result.reason} (skip_corrupt: {skip_corrupt})")
    return np.array(skipped, dtype=np.int64), {
        "format": Format.of(format).name,
        "recordings": len(samples),
        "recordings_sha256": digest.hexdigest(),
        "events_in_no_frame": lost,  # at a count of 255, or after the last frame
        "skipped": as_facts(reasons, root=root),
    }


def write_preview(folder: Path, sample: Recorded, *, row: int, format: ModuleType) -> None:
    """One sample's events and frames, for the figure."""
    events = _within(format.decode(read_bytes(sample.path), where=sample.path), sample.window)
    np.save(folder / "preview_events.npy", np.stack([field.astype(np.int64) for field in events]))
    np.save(folder / "preview_frames.npy", np.load(folder / "inputs.npy", mmap_mode="r")[row])


class Job(NamedTuple):
    """One file, and the rows (with their windows) that its samples go into."""

    path: Path
    format: Format
    sensor: tuple[int, int]
    frames: FrameSettings
    inputs: InputFile
    rows: list[tuple[int, tuple[int, int] | None]]


class _Result(NamedTuple):
    rows: list[int]
    lost: int
    sha256: str
    reason: str | None


def write_file(job: Job) -> _Result:
    """Writes a file's samples into their rows; a damaged file leaves zeros, and says why."""
    rows = [row for row, _ in job.rows]
    try:
        content = read_bytes(job.path)
    except InputError as error:
        return _Result(rows, 0, "", str(error))
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        made = _samples(content, job)
    except InputError as error:
        return _Result(rows, 0, sha256, str(error))
    for row, (frames, _) in zip(rows, made, strict=True):
        job.inputs.write(row, frames)
    return _Result(rows, sum(lost for _, lost in made), sha256, None)


def _samples(content: bytes, job: Job) -> list[tuple[np.ndarray, int]]:
    """The frames of each of a file's samples, and how many events are in none."""
    how = {
        "time_steps": job.frames.time_steps,
        "split_by": job.frames.split_by,
        "duration_us": job.frames.duration_us,
        "size": job.frames.size or job.sensor,
    }
    windows = [window for _, window in job.rows]
    if windows == [None] and job.format.straight and job.sensor == job.format.sensor:
        made = job.format.straight(content, where=job.path, **how)
        if made is not None:
            return [made]
    events = job.format.decode(content, where=job.path)
    try:
        return [events_to_frames(_within(events, window), sensor=job.sensor, **how) for window in windows]
    except InputError as error:
        raise InputError(f"{job.path}: {error}") from error


def _within(events: Events, window: tuple[int, int] | None) -> Events:
    """The events from a window's start up to its end."""
    if window is None:
        return events
    start, stop = np.searchsorted(events.t, window)
    return Events(*(field[start:stop] for field in events))
