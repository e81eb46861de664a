"""Events summed into a few frames of counts."""

import numpy as np

from bkdsnn.errors import InputError
from bkdsnn.events.kernels import count_events
from bkdsnn.events.recording import Events

_LATEST = np.iinfo(np.int64).max


def events_to_frames(
    events: Events,
    *,
    time_steps: int,
    split_by: str,
    duration_us: int | None,
    sensor: tuple[int, int],
    size: tuple[int, int],
) -> tuple[np.ndarray, int]:
    """Counts per pixel and polarity, uint8 `[T, 2, *size]` (OFF first), and how many events are in none.

    `sensor` is (H, W) in pixels; pixel (y, x) is counted in cell (y * h // H, x * w // W), so that every event counts
    once, also where h does not divide H. Frames hold equal numbers of events (`split_by="number"`, N // T each, the
    last one the rest), equal times ("time", span // T us each, the last one the rest), or `duration_us` each from the
    first event on ("duration": what comes after T of them is in no frame). The first two equal
    spikingjelly.datasets.utils.integrate_events_by_fixed_frames_number, where no count passes 255, at which counts
    stop; an empty time slot, where that function fails, is an empty frame. Raises InputError for arguments out of
    range, no events, events outside the sensor and a span shorter than T us.
    """
    if not len(events.t):
        raise InputError("no events")
    row, column = cells_of(sensor=sensor, size=size)
    _check_inside(events, sensor)
    bounds = bounds_of(events.t, time_steps=time_steps, split_by=split_by, duration_us=duration_us)
    frames = np.zeros((time_steps, 2, *size), dtype=np.uint8)
    lost = count_events(
        events.x, events.y, events.p, row=row, column=column, bounds=bounds, frames=frames.reshape(time_steps, -1)
    )
    return frames, int(lost) + len(events.t) - int(bounds[-1])


def cells_of(*, sensor: tuple[int, int], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """What a pixel's row `[H]` and column `[W]` add up to: the number of its cell among `size`, uint32."""
    if any(not 1 <= wanted <= there for wanted, there in zip(size, sensor, strict=True)):
        raise InputError(f"size must lie between 1 x 1 and the sensor's {sensor[0]} x {sensor[1]}, not {size}")
    rows = np.arange(sensor[0]) * size[0] // sensor[0] * size[1]
    return rows.astype(np.uint32), (np.arange(sensor[1]) * size[1] // sensor[1]).astype(np.uint32)


def bounds_of(t: np.ndarray, *, time_steps: int, split_by: str, duration_us: int | None) -> np.ndarray:
    """The first event of each frame, and where the last frame ends `[T + 1]`, for times `[N]` in us, never falling."""
    if time_steps < 1:
        raise InputError(f"time_steps must be at least 1, not {time_steps}")
    if split_by not in _SPLITS:
        raise InputError(f"split_by must be one of {', '.join(_SPLITS)}, not {split_by!r}")
    return _SPLITS[split_by](t, time_steps, duration_us)


def _check_inside(events: Events, sensor: tuple[int, int]) -> None:
    height, width = sensor
    if min(events.x.min(), events.y.min()) < 0 or events.x.max() >= width or events.y.max() >= height:
        outside = (events.x < 0) | (events.x >= width) | (events.y < 0) | (events.y >= height)
        first = int(np.argmax(outside))
        raise InputError(
            f"event {first} at x = {events.x[first]}, y = {events.y[first]} lies outside the sensor of {height} rows "
            f"x {width} columns ({np.count_nonzero(outside)} of {len(outside)} events do)"
        )


def _by_number(t: np.ndarray, time_steps: int, _duration_us: int | None) -> np.ndarray:
    """Of fewer events than frames the last frame takes all."""
    return np.append(np.arange(time_steps) * (len(t) // time_steps), len(t))


def _by_time(t: np.ndarray, time_steps: int, _duration_us: int | None) -> np.ndarray:
    span = int(t[-1]) - int(t[0])
    if span < time_steps:
        raise InputError(f"the events span {span} us: too short to be split by time into {time_steps} frames")
    return np.append(_starts(t, time_steps, span // time_steps)[:-1], len(t))


def _by_duration(t: np.ndarray, time_steps: int, duration_us: int | None) -> np.ndarray:
    if duration_us is None or duration_us < 1:
        raise InputError(f"split_by duration needs a duration_us of at least 1, not {duration_us}")
    return _starts(t, time_steps, duration_us)


def _starts(t: np.ndarray, time_steps: int, slot: int) -> np.ndarray:
    """Where each time slot begins, and the last one ends `[T + 1]`."""
    edges = [min(int(t[0]) + slot * step, _LATEST) for step in range(time_steps + 1)]
    return np.searchsorted(t, np.array(edges))


_SPLITS = {"number": _by_number, "time": _by_time, "duration": _by_duration}
