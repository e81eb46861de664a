"""One file of recordings becomes the frames of its samples."""

import hashlib
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from bkdsnn.data.arrays import InputFile
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

    def in_words(self) -> str:
        """How events become frames."""
        each = {
            "number": "N // T events of N each, the last one has the rest",
            "time": "span // T us of the recording's span each, the last one has the rest",
            "duration": f"{self.duration_us} us each, from the first event on; what comes later is in none",
        }
        pixels = (
            "the sensor's pixels" if self.size is None else f"summed into {self.size[0]} rows x {self.size[1]} columns"
        )
        return (
            f"T = {self.time_steps} frames by {self.split_by}: {each[self.split_by]}; "
            f"channels OFF, ON; counts of events, at most 255; {pixels}"
        )


class Recorded(NamedTuple):
    """One sample: its file, its class; for a file of several samples the time (us) it begins and ends, and what it is
    called in messages (the row of a list)."""

    path: Path
    label: int
    window: tuple[int, int] | None = None
    row: str | None = None


class Job(NamedTuple):
    """One file, and its samples by the row that each goes into."""

    path: Path
    format: Format
    sensor: tuple[int, int]
    frames: FrameSettings
    inputs: InputFile
    samples: list[tuple[int, Recorded]]


class Counted(NamedTuple):
    """Of a file's events: how many are in no frame, how many entries are none, and how much of the sensor they fill."""

    lost: int = 0
    passed_over: int = 0
    rows: int = 0
    columns: int = 0

    def and_also(self, other: Self) -> Self:
        """What holds for both together."""
        return Counted(
            self.lost + other.lost,
            self.passed_over + other.passed_over,
            max(self.rows, other.rows),
            max(self.columns, other.columns),
        )


class Result(NamedTuple):
    """What became of a file: the reasons why samples were left out, each with their rows."""

    counted: Counted
    sha256: str
    reasons: dict[str, list[int]]


def write_file(job: Job) -> Result:
    """Writes a file's samples into their rows; a damaged file, or sample of it, leaves zeros, and says why."""
    rows, sha256 = [row for row, _ in job.samples], ""
    try:
        content = read_bytes(job.path)
        sha256 = hashlib.sha256(content).hexdigest()
        return _written(content, job, sha256)
    except InputError as error:
        return Result(Counted(), sha256, {str(error): rows})


def _written(content: bytes, job: Job, sha256: str) -> Result:
    made = _straight(content, job)
    if made is not None:
        return Result(_stored(job, job.samples[0][0], *made), sha256, {})
    events = job.format.decode(content, where=job.path)
    job.format.check_sensor(content, job.sensor, where=job.path)
    counted, reasons = Counted(passed_over=job.format.passed_over(content, where=job.path)), {}
    for row, sample in job.samples:
        try:
            part = within(events, sample.window)
            frames, lost = events_to_frames(part, sensor=job.sensor, **_how(job))
        except InputError as error:
            reasons[f"{sample.row or job.path}: {error}"] = [row]
        else:
            counted = counted.and_also(_stored(job, row, frames, lost))
    return Result(counted, sha256, reasons)


def _straight(content: bytes, job: Job) -> tuple[np.ndarray, int] | None:
    """The frames of a file that is one sample, and how many events are in none, where the format has a faster way."""
    windows = [sample.window for _, sample in job.samples]
    if windows != [None] or not job.format.straight or job.sensor != job.format.sensor:
        return None
    job.format.check(content, where=job.path)
    return job.format.straight(content, where=job.path, **_how(job))


def _how(job: Job) -> dict[str, object]:
    return {**job.frames.model_dump(), "size": job.frames.size or job.sensor}


def _stored(job: Job, row: int, frames: np.ndarray, lost: int) -> Counted:
    """Writes one sample, and tells how far its events reach from the sensor's corner, in whole cells."""
    job.inputs.write(row, frames)
    filled = frames.any(axis=(0, 1))  # [h, w]
    reach = (int(np.flatnonzero(filled.any(axis=axis))[-1]) + 1 if filled.any() else 0 for axis in (1, 0))
    cells = zip(reach, job.sensor, filled.shape, strict=True)
    return Counted(lost, 0, *(-(-last * pixels // cells_there) for last, pixels, cells_there in cells))


def within(events: Events, window: tuple[int, int] | None) -> Events:
    """The events from a window's start up to its end; `InputError` where there are none."""
    if window is None:
        return events
    if window[0] >= window[1]:
        raise InputError(f"begins at {window[0]} us, but ends at {window[1]}")
    start, stop = np.searchsorted(events.t, window)
    if start == stop:
        first, last = events.t[[0, -1]]
        raise InputError(f"no event from {window[0]} to {window[1]} us, the file's are from {first} to {last} us")
    return Events(*(field[start:stop] for field in events))
