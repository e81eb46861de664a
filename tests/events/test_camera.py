"""The simulated camera: hand-computed events, the rules of its pixels, determinism, one real digit."""

import numpy as np
import pytest
from pydantic import ValidationError

from bkdsnn.errors import InputError
from bkdsnn.events.by_name import read_events
from bkdsnn.events.camera import Camera, Changes, background_noise, keep_refractory, record, threshold_crossings
from bkdsnn.events.formats.aedat2 import write

SETTINGS = {
    "sensor": 128,
    "image_size": 96,
    "radius": 5.0,
    "loops": 2,
    "samples": 32,
    "duration_us": 400_000,
    "dark_level": 0.35,
    "contrast_threshold": 0.6,
    "threshold_mismatch": 0.05,
    "pattern_seed": 0,
    "refractory_us": 500,
    "noise_hz": 0.1,
}


def camera(**changes) -> Camera:
    return Camera(**(SETTINGS | changes))


@pytest.fixture(scope="module")
def digit() -> np.ndarray:
    from sklearn.datasets import load_digits

    return load_digits().images[0] / 16


def crossings(*levels: float, threshold: float = 0.25) -> list[tuple[int, int]]:
    """(time, polarity) of the events of one pixel with these log intensities 1000 us apart."""
    found = threshold_crossings(np.array(levels, np.float32)[:, None], threshold=np.float32(threshold), step_us=1000)
    return list(zip(found.t.tolist(), found.p.tolist(), strict=True))


@pytest.mark.parametrize("k", [0, 1, 2, 7])
def test_rise_by_k_thresholds_gives_k_on_events(k):
    assert crossings(0.5, 0.5 + 0.25 * k) == [(1000 * nth // k, 1) for nth in range(1, k + 1)]
    assert crossings(0.5, 0.5 - 0.25 * k) == [(1000 * nth // k, 0) for nth in range(1, k + 1)]


def test_reference_is_kept_between_intervals():
    """1.5 thresholds up, half more, then 1 down: events at 1 and 2 thresholds up, and at 1 on the way down."""
    assert crossings(0, 0.375, 0.5, 0.25) == [(666, 1), (2000, 1), (3000, 0)]
    assert crossings(0, 0.2, 0, 0.2, 0) == []


def test_each_pixel_has_its_own_threshold():
    movie = np.array([[0, 0, 0], [1, 1, -1]], np.float32)
    found = threshold_crossings(movie, threshold=np.array([0.5, 0.25, 2], np.float32), step_us=100)
    assert np.bincount(found.pixel, minlength=3).tolist() == [2, 4, 0]


def test_refractory_drops_what_comes_too_early():
    changes = Changes(t=np.array([30, 0, 9, 10, 19, 5]), pixel=np.array([0, 0, 0, 0, 0, 1]), p=np.ones(6, dtype=int))
    kept = keep_refractory(changes, refractory_us=10)
    assert list(zip(kept.pixel.tolist(), kept.t.tolist(), strict=True)) == [(0, 0), (0, 10), (0, 30), (1, 5)]
    assert len(keep_refractory(changes, refractory_us=0).t) == 6


@pytest.mark.parametrize("refractory_us", [1, 500, 20_000])
def test_refractory_holds_in_a_recording(digit, refractory_us):
    events = record(digit, camera=camera(refractory_us=refractory_us, noise_hz=20.0), seed=0)
    pixel = events.y.astype(int) * 128 + events.x
    order = np.lexsort((events.t, pixel))
    same = np.diff(pixel[order]) == 0
    assert same.sum() > 1000
    assert np.diff(events.t[order])[same].min() >= refractory_us


def test_blank_image_without_noise_gives_no_events():
    assert len(record(np.zeros((8, 8)), camera=camera(noise_hz=0.0), seed=0).t) == 0


def test_noise_rate_lies_within_five_standard_deviations():
    """128 * 128 pixels * 2 Hz * 0.4 s = 13107 events, of which half are ON; the refractory time is off."""
    events = record(np.zeros((8, 8)), camera=camera(noise_hz=2.0, refractory_us=0), seed=3)
    mean = 128 * 128 * 2 * 0.4
    assert abs(len(events.t) - mean) < 5 * mean**0.5
    assert abs(events.p.sum() - mean / 2) < 5 * (mean / 2) ** 0.5
    quarter = np.bincount(events.y // 64 * 2 + events.x // 64, minlength=4)
    assert np.abs(quarter - mean / 4).max() < 5 * (mean / 4) ** 0.5


def test_noise_counts_per_pixel_are_poisson():
    """Variance over mean is 1 +- 5 sqrt(2 / pixels) for a Poisson process."""
    noise = background_noise(camera(noise_hz=10.0), np.random.Generator(np.random.Philox(1)))
    counts = np.bincount(noise.pixel, minlength=128 * 128)
    assert abs(counts.var() / counts.mean() - 1) < 5 * (2 / 128**2) ** 0.5


def test_same_seed_same_events_and_another_seed_another_recording(digit):
    first, again, other = (record(digit, camera=camera(), seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    sets = [set(zip(*(field.tolist() for field in events), strict=True)) for events in (first, other)]
    assert len(sets[0] & sets[1]) < 0.01 * len(sets[0])
    assert abs(len(first.t) / len(other.t) - 1) < 0.05


def test_a_reference_above_the_first_frame_is_crossed_later():
    """From 0 to 2.5 thresholds of which the pixel has seen half one: events at 1.5 and 2.5 thresholds."""
    found = threshold_crossings(
        np.array([[0], [0.625]], np.float32), threshold=np.float32(0.25), start=np.float32(0.5), step_us=1000
    )
    assert found.t.tolist() == [600, 1000]


@pytest.mark.parametrize("seed", range(5))
def test_no_microsecond_has_a_burst_of_events(digit, seed):
    """Where every pixel starts from the first frame, a tenth of all events falls on the end of each loop."""
    events = record(digit, camera=camera(), seed=seed)
    assert np.bincount(events.t).max() <= 5
    assert np.bincount(events.t // 1000).max() < 0.01 * len(events.t)


def test_pattern_seed_moves_the_thresholds(digit):
    one, two = (record(digit, camera=camera(pattern_seed=seed, noise_hz=0.0), seed=0) for seed in (0, 1))
    assert not np.array_equal(one.t, two.t)
    assert abs(len(one.t) / len(two.t) - 1) < 0.05


def test_real_digit(digit, tmp_path):
    events = record(digit, camera=camera(), seed=0)
    assert 6_000 < len(events.t) < 15_000
    assert np.all(np.diff(events.t) >= 0)
    assert events.t[0] >= 0
    assert events.t[-1] <= 400_000
    assert 0.4 < events.p.mean() < 0.6  # the loop is closed: what rises falls again
    write(tmp_path / "digit.aedat", events)
    for wanted, found in zip(events, read_events(tmp_path / "digit.aedat", format="aedat2"), strict=True):
        np.testing.assert_array_equal(wanted, found)


def test_image_is_upright_and_moves_with_the_circle():
    """A bright upper left corner makes events there only; it moves right and left at the same rows."""
    image = np.zeros((8, 8))
    image[1, 1] = 1
    events = record(image, camera=camera(noise_hz=0.0, threshold_mismatch=0.0), seed=0)
    centre = 16 + 12 * 1.5 - 0.5  # the left margin, 12 sensor pixels per image pixel, the middle of pixel 1
    assert abs(events.x.mean() - centre) < 1
    assert abs(events.y.mean() - centre) < 1
    # The circle begins at its rightmost point and goes down: brightness leaves to the left first.
    early = events.t < 50_000
    assert events.x[early & (events.p == 1)].mean() < events.x[early & (events.p == 0)].mean()


@pytest.mark.parametrize(
    "image",
    [np.zeros(8), np.zeros((0, 8)), np.full((8, 8), 1.5), np.full((8, 8), -0.1), np.full((8, 8), np.nan)],
    ids=["1-D", "empty", "bright", "negative", "nan"],
)
def test_bad_image_is_told_in_one_line(image):
    with pytest.raises(InputError, match=r"^[^\n]*image[^\n]*$"):
        record(image, camera=camera(), seed=0)


@pytest.mark.parametrize(
    "changes",
    [{"sensor": 256}, {"radius": 20.0}, {"contrast_threshold": 0.0}, {"loops": "2"}, {"blur": 1}, {"noise_hz": -1.0}],
)
def test_bad_settings_are_refused(changes):
    with pytest.raises(ValidationError):
        camera(**changes)


@pytest.mark.parametrize("missing", SETTINGS)
def test_no_setting_has_a_default(missing):
    with pytest.raises(ValidationError, match=missing):
        Camera(**{key: value for key, value in SETTINGS.items() if key != missing})
