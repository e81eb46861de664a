"""Events summed into a few frames of counts."""

import numpy as np

from bkdsnn.errors import InputError
from bkdsnn.events.aedat import Events

_HIGHEST = 255


def events_to_frames(
    events: Events, *, time_steps: int, split_by: str, sensor: tuple[int, int], down_scale: int
) -> tuple[np.ndarray, int]:
    """Counts per pixel and polarity, uint8 `[T, 2, H // s, W // s]` (OFF first), and how many cells stopped at 255.

    `sensor` is (H, W) in pixels; each s x s block is summed. Frames hold equal numbers of events (`split_by="number"`,
    N // T each, the last one the rest) or equal times ("time", span // T us each, the last one the rest): equal to
    spikingjelly.datasets.utils.integrate_events_by_fixed_frames_number, and zero for an empty time slot, where that
    function fails. Raises InputError for arguments out of range, events outside the sensor and, split by time, for
    unsorted events or a span shorter than T us.
    """
    height, width = sensor
    if time_steps < 1:
        raise InputError(f"time_steps must be at least 1, not {time_steps}")
    if down_scale < 1 or height % down_scale or width % down_scale:
        raise InputError(f"down_scale must divide the sensor's {height} x {width} pixels, {down_scale} does not")
    outside = (events.x < 0) | (events.x >= width) | (events.y < 0) | (events.y >= height)
    if outside.any():
        index = int(np.argmax(outside))
        raise InputError(
            f"event {index} at x = {events.x[index]}, y = {events.y[index]} lies outside the sensor of"
            f" {height} rows x {width} columns"
        )
    if split_by not in _SPLITS:
        raise InputError(f"split_by must be one of {', '.join(_SPLITS)}, not {split_by!r}")
    frame = _SPLITS[split_by](events.t, time_steps)
    shape = (time_steps, 2, height // down_scale, width // down_scale)
    row, column = events.y.astype(np.int64) // down_scale, events.x.astype(np.int64) // down_scale
    cell = ((frame * 2 + (events.p != 0)) * shape[2] + row) * shape[3] + column
    counts = np.bincount(cell, minlength=int(np.prod(shape))).reshape(shape)  # [T, 2, H // s, W // s]
    return np.minimum(counts, _HIGHEST).astype(np.uint8), int(np.count_nonzero(counts > _HIGHEST))


def _by_number(t: np.ndarray, time_steps: int) -> np.ndarray:
    """The frame `[N]` of each event; with fewer events than frames all fall into the last one, as in SpikingJelly."""
    size = len(t) // time_steps
    if size == 0:
        return np.full(len(t), time_steps - 1, dtype=np.int64)
    return np.minimum(np.arange(len(t)) // size, time_steps - 1)


def _by_time(t: np.ndarray, time_steps: int) -> np.ndarray:
    """The frame `[N]` of each event from its time in us."""
    if len(t) == 0:
        raise InputError("no events: they cannot be split by time")
    since = t.astype(np.int64) - int(t[0])
    if np.any(np.diff(since) < 0):
        raise InputError(f"event {int(np.argmax(np.diff(since) < 0)) + 1} goes back in time: sort the events first")
    slot = int(since[-1]) // time_steps
    if slot == 0:
        raise InputError(f"the events span {since[-1]} us: too short to be split by time into {time_steps} frames")
    return np.minimum(since // slot, time_steps - 1)


_SPLITS = {"number": _by_number, "time": _by_time}
