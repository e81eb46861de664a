"""Frames equal SpikingJelly's integrator bit by bit, also in its corner cases."""

import numpy as np
import pytest

from bkdsnn.errors import InputError
from bkdsnn.events.aedat import Events
from bkdsnn.events.frames import events_to_frames


def random_events(count: int, *, height: int = 12, width: int = 20, longest_pause: int = 50) -> Events:
    draw = np.random.default_rng(count)
    return Events(
        t=1000 + np.cumsum(draw.integers(0, longest_pause, count)),
        x=draw.integers(0, width, count).astype(np.uint8),
        y=draw.integers(0, height, count).astype(np.uint8),
        p=draw.integers(0, 2, count).astype(np.uint8),
    )


def at_times(*t: int) -> Events:
    return Events(np.array(t, dtype=np.int64), *np.ones((3, len(t)), dtype=np.uint8))


def theirs(events: Events, split_by: str, time_steps: int, sensor=(12, 20)) -> np.ndarray:
    from spikingjelly.datasets.utils import integrate_events_by_fixed_frames_number

    return integrate_events_by_fixed_frames_number(events._asdict(), split_by, time_steps, *sensor)


def ours(events: Events, split_by: str, time_steps: int, **changes) -> tuple[np.ndarray, int]:
    return events_to_frames(
        events, time_steps=time_steps, split_by=split_by, **({"sensor": (12, 20), "down_scale": 1} | changes)
    )


@pytest.mark.parametrize("split_by", ["number", "time"])
@pytest.mark.parametrize("time_steps", [1, 3, 4, 10, 16])
@pytest.mark.parametrize("count", [400, 1001, 20_000])
def test_equal_to_spikingjelly(split_by, time_steps, count):
    events = random_events(count)
    frames, saturated = ours(events, split_by, time_steps)
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, theirs(events, split_by, time_steps))
    assert saturated == 0


@pytest.mark.parametrize(
    ("events", "split_by", "time_steps"),
    [
        (random_events(3), "number", 8),  # fewer events than frames: all in the last
        (random_events(8), "number", 8),
        (at_times(), "number", 4),
        (at_times(7, 7, 7, 7, 7, 7), "number", 4),
        (at_times(5, 6, 7, 8), "time", 3),  # slots of one microsecond
        (at_times(0, 0, 3, 4, 7, 7), "time", 2),  # an event on the border, two at the end
        (at_times(0, 2, 4, 5), "time", 2),  # the last microsecond does not fit: the last frame takes it
        (at_times(9), "number", 1),
    ],
)
def test_corner_cases_equal_to_spikingjelly(events, split_by, time_steps):
    np.testing.assert_array_equal(ours(events, split_by, time_steps)[0], theirs(events, split_by, time_steps))


@pytest.mark.parametrize(("t", "counts"), [((0, 1, 2, 99, 100), [3, 0, 0, 2]), ((0, 30, 60, 103), [1, 1, 1, 1])])
def test_empty_slot_gives_an_empty_frame(t, counts):
    """(0, 30, 60, 103): the last slot is 75..100, SpikingJelly finds it empty and fails although 103 belongs to it."""
    with pytest.raises(IndexError):
        theirs(at_times(*t), "time", 4)
    assert ours(at_times(*t), "time", 4)[0].sum(axis=(1, 2, 3)).tolist() == counts


@pytest.mark.parametrize(
    ("t", "told"), [((), "no events"), ((5, 5, 5), "span 0 us"), ((5, 6, 7), "span 2 us"), ((5, 9, 8), "event 2 goes")]
)
def test_what_cannot_be_split_by_time(t, told):
    with pytest.raises(InputError, match=told):
        ours(at_times(*t), "time", 3)


@pytest.mark.parametrize("split_by", ["number", "time"])
def test_down_scaling_sums_blocks(split_by):
    events = random_events(5000)
    full = ours(events, split_by, 4)[0].astype(int)
    small, _ = ours(events, split_by, 4, down_scale=4)
    np.testing.assert_array_equal(small, full.reshape(4, 2, 3, 4, 5, 4).sum(axis=(3, 5)))
    assert small.sum() == 5000


def test_saturation_is_counted():
    counts = {(0, 0): 255, (1, 2): 256, (3, 3): 600}
    y, x = (np.repeat([cell[axis] for cell in counts], list(counts.values())).astype(np.uint8) for axis in (0, 1))
    events = Events(np.arange(len(x)), x, y, np.ones_like(x))
    frames, saturated = ours(events, "number", 1, sensor=(4, 4))
    assert [int(frames[0, 1][cell]) for cell in counts] == [255, 255, 255]
    assert saturated == 2
    assert ours(events, "number", 1, sensor=(4, 4), down_scale=2)[1] == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sensor": (11, 20)}, r"event \d+ at x = \d+, y = 11 lies outside the sensor of 11 rows x 20 columns"),
        ({"sensor": (12, 19)}, "x = 19"),
        ({"down_scale": 8}, "down_scale must divide the sensor's 12 x 20 pixels, 8 does not"),
        ({"down_scale": 0}, "down_scale"),
        ({"time_steps": 0}, "time_steps must be at least 1"),
        ({"split_by": "rate"}, "one of number, time, not 'rate'"),
    ],
)
def test_bad_arguments_are_told_in_one_line(changes, told):
    arguments = {"time_steps": 4, "split_by": "number", "sensor": (12, 20), "down_scale": 1}
    with pytest.raises(InputError, match=told) as caught:
        events_to_frames(random_events(2000), **(arguments | changes))
    assert "\n" not in str(caught.value)
