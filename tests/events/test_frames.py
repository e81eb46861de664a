"""Frames equal SpikingJelly's integrator bit by bit, also in its corner cases."""

import numpy as np
import pytest

from bkdsnn.errors import InputError
from bkdsnn.events.frames import events_to_frames
from bkdsnn.events.recording import Events


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
    arguments = {"duration_us": None, "sensor": (12, 20), "size": (12, 20)} | changes
    return events_to_frames(events, time_steps=time_steps, split_by=split_by, **arguments)


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


@pytest.mark.parametrize(("t", "told"), [((), "no events"), ((5, 5, 5), "span 0 us"), ((5, 6, 7), "span 2 us")])
def test_what_cannot_be_split_by_time(t, told):
    with pytest.raises(InputError, match=told):
        ours(at_times(*t), "time", 3)


@pytest.mark.parametrize("split_by", ["number", "time"])
def test_down_scaling_sums_blocks(split_by):
    events = random_events(5000)
    full = ours(events, split_by, 4)[0].astype(int)
    small, _ = ours(events, split_by, 4, size=(3, 5))
    np.testing.assert_array_equal(small, full.reshape(4, 2, 3, 4, 5, 4).sum(axis=(3, 5)))
    assert small.sum() == 5000


def test_down_scaling_by_no_whole_factor_counts_every_event_once():
    """128 to 48: cell k takes the pixels whose place * 48 // 128 is k."""
    events = random_events(20_000, height=128, width=128)
    full = ours(events, "number", 2, sensor=(128, 128), size=(128, 128))[0].astype(int)
    small, lost = ours(events, "number", 2, sensor=(128, 128), size=(48, 48))
    place = np.arange(128) * 48 // 128
    expected = np.zeros((2, 2, 48, 48), dtype=int)
    np.add.at(expected, (slice(None), slice(None), place[:, None], place[None, :]), full)
    np.testing.assert_array_equal(small, expected)
    assert (small.sum(), lost) == (20_000, 0)


def test_frames_of_a_fixed_duration():
    """100 us each from the first event on: an event on the border begins a frame, what comes after is in none."""
    frames, lost = ours(at_times(7, 106, 107, 306, 307, 400, 407, 900), "duration", 4, duration_us=100)
    assert frames.sum(axis=(1, 2, 3)).tolist() == [2, 1, 1, 2]
    assert lost == 2
    assert ours(at_times(7, 8), "duration", 3, duration_us=5)[0].sum(axis=(1, 2, 3)).tolist() == [2, 0, 0]


def test_a_count_stops_at_255_and_what_is_lost_is_counted():
    counts = {(0, 0): 255, (1, 2): 256, (3, 3): 600}
    y, x = (np.repeat([cell[axis] for cell in counts], list(counts.values())).astype(np.uint8) for axis in (0, 1))
    events = Events(np.arange(len(x)), x, y, np.ones_like(x))
    frames, lost = ours(events, "number", 1, sensor=(4, 4), size=(4, 4))
    assert [int(frames[0, 1][cell]) for cell in counts] == [255, 255, 255]
    assert lost == 1 + 345
    assert ours(events, "number", 1, sensor=(4, 4), size=(1, 1))[1] == 255 + 256 + 600 - 255


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sensor": (11, 20), "size": (11, 20)}, r"x = \d+, y = 11 lies outside the sensor of 11 rows x 20 columns"),
        ({"sensor": (12, 19), "size": (12, 19)}, r"x = 19, .* \(\d+ of 2000 events do\)"),
        ({"size": (13, 20)}, "size must lie between 1 x 1 and the sensor's 12 x 20"),
        ({"size": (12, 0)}, "size"),
        ({"time_steps": 0}, "time_steps must be at least 1"),
        ({"split_by": "rate"}, "one of number, time, duration, not 'rate'"),
        ({"split_by": "duration"}, "needs a duration_us of at least 1, not None"),
    ],
)
def test_bad_arguments_are_told_in_one_line(changes, told):
    arguments = {"time_steps": 4, "split_by": "number", "duration_us": None, "sensor": (12, 20), "size": (12, 20)}
    with pytest.raises(InputError, match=told) as caught:
        events_to_frames(random_events(2000), **(arguments | changes))
    assert "\n" not in str(caught.value)
