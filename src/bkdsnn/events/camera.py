"""A simulated event camera that looks at an image moved along a closed loop."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from bkdsnn.errors import InputError
from bkdsnn.events.recording import Events


class Camera(BaseModel):
    """A camera, and how the image moves in front of it: a circle run `loops` times at constant speed.

    The set-up is that of CIFAR10-DVS, a repeated closed loop before a DVS128 (Li et al. 2017,
    doi:10.3389/fnins.2017.00309), with a circle as the loop. Pixel model: Lichtsteiner, Posch and Delbruck 2008,
    doi:10.1109/JSSC.2007.914337, as simulated by ESIM (Rebecq et al. 2018) and v2e (Hu et al. 2021, arXiv:2006.07722).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sensor: int = Field(ge=16, le=128, description="pixels per side")
    image_size: int = Field(ge=8, le=128, description="side of the image on the sensor, pixels")
    radius: float = Field(gt=0, le=32, description="radius of the loop, pixels")
    loops: int = Field(ge=1, le=64)
    samples: int = Field(ge=8, le=1024, description="positions per loop at which the light is computed")
    duration_us: int = Field(ge=1_000, le=60_000_000, description="of the whole recording")
    dark_level: float = Field(gt=0, le=1, description="added to the intensity (0 to 1) before the logarithm")
    contrast_threshold: float = Field(ge=0.01, le=5, description="change of the log intensity that makes an event")
    threshold_mismatch: float = Field(ge=0, le=0.5, description="relative deviation between pixels, log-normal")
    pattern_seed: int = Field(ge=0, description="draws the thresholds: they belong to the camera, not the recording")
    refractory_us: int = Field(ge=0, le=1_000_000, description="shortest time between two events of a pixel")
    noise_hz: float = Field(ge=0, le=100, description="background events per pixel and second, half of them ON")

    @model_validator(mode="after")
    def _image_stays_in_view(self) -> Self:
        if self.image_size + 2 * self.radius > self.sensor:
            raise ValueError(f"image_size + 2 * radius must be at most the sensor's {self.sensor} pixels")
        return self


class Changes(NamedTuple):
    """Unsorted events `[N]`: t int64 in us, pixel int64 (row * width + column), p int64 (1 = ON)."""

    t: np.ndarray
    pixel: np.ndarray
    p: np.ndarray


def record(image: np.ndarray, *, camera: Camera, seed: int) -> Events:
    """The events that `camera` records of `image` `[h, w]` in [0, 1], sorted by time, then row, column, polarity.

    A pure function of its arguments; `seed` draws where the references start and the background noise. t is int64 in
    us, within 0..duration_us; x, y and p are uint8. Raises InputError if the image is not 2-D or leaves [0, 1].
    """
    image = np.asarray(image, dtype=np.float32)
    if image.ndim != 2 or not image.size:
        raise InputError(f"an image [h, w] is needed, not one of shape {list(image.shape)}")
    if not (image.min() >= 0 and image.max() <= 1):  # written so that NaN is refused too
        raise InputError(f"the image's values must lie in [0, 1], found {image.min()} to {image.max()}")
    movie = _log_movie(image, camera)  # [samples, sensor * sensor]
    steps = camera.loops * camera.samples
    generator = np.random.Generator(np.random.Philox(seed))
    signal = threshold_crossings(
        [movie[step % camera.samples] for step in range(steps + 1)],
        threshold=_thresholds(camera),
        step_us=camera.duration_us / steps,
        start=generator.uniform(-1, 1, camera.sensor**2).astype(np.float32),
    )
    noise = background_noise(camera, generator)
    changes = keep_refractory(
        Changes(*(np.concatenate(pair) for pair in zip(signal, noise, strict=True))), refractory_us=camera.refractory_us
    )
    # One integer per event holds all of it, so that sorting needs no rule for ties.
    rest, p = np.divmod(np.sort((changes.t * camera.sensor**2 + changes.pixel) * 2 + changes.p), 2)
    t, pixel = np.divmod(rest, camera.sensor**2)
    y, x = np.divmod(pixel, camera.sensor)
    return Events(t=t, x=x.astype(np.uint8), y=y.astype(np.uint8), p=p.astype(np.uint8))


def threshold_crossings(
    log_frames: Sequence[np.ndarray],
    *,
    threshold: np.ndarray | np.float32,
    step_us: float,
    start: np.ndarray | float = 0.0,
) -> Changes:
    """An event each time a pixel's log intensity has moved by its threshold since its last event.

    `log_frames`: S frames `[P]`, `step_us` apart, linear in between, which dates the events. `threshold` and `start`
    `[P]` or one for all; `start`: how far above the first frame a pixel's reference lies, -1 to 1 thresholds. Where it
    is 0 for all, each loop that ends where it began makes an event in many pixels in the same microsecond, which no
    camera does: its pixels remember events of before. ESIM, Rebecq et al. 2018, section 3.
    """
    first = log_frames[0]
    reference = np.zeros_like(first)  # counts thresholds in whole numbers, so it never drifts
    before = reference - start
    found = []
    for step, frame in enumerate(log_frames[1:]):
        now = (frame - first) / threshold - start
        moved = np.trunc(now - reference)
        pixel = np.flatnonzero(moved != 0)
        found.append((np.full(len(pixel), step), pixel, moved[pixel], reference[pixel], before[pixel], now[pixel]))
        reference += moved
        before = now
    step, pixel, moved, reference, before, now = (np.concatenate(parts) for parts in zip(*found, strict=True))
    count = np.abs(moved).astype(np.int64)
    nth = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + 1  # 1, 2, .. within each interval
    event = np.repeat(np.arange(len(count)), count)
    level = reference[event] + np.sign(moved)[event] * nth
    part = np.clip((level - before[event]) / (now - before)[event], 0, 1)  # rounding must not leave the interval
    return Changes(
        t=np.floor((step[event] + part) * step_us).astype(np.int64),
        pixel=pixel[event],
        p=(moved[event] > 0).astype(np.int64),
    )


def background_noise(camera: Camera, generator: np.random.Generator) -> Changes:
    """Background events of random pixel, time and polarity: a Poisson process of `noise_hz` in every pixel."""
    pixels = camera.sensor**2
    # A Poisson total thrown on the pixels evenly is one independent Poisson number per pixel.
    count = generator.poisson(camera.noise_hz * camera.duration_us * 1e-6 * pixels)
    return Changes(
        t=generator.integers(camera.duration_us, size=count),
        pixel=generator.integers(pixels, size=count),
        p=generator.integers(2, size=count),
    )


def keep_refractory(changes: Changes, *, refractory_us: int) -> Changes:
    """The events that remain if each silences its pixel for `refractory_us`, sorted by pixel, then time.

    A silenced event is lost, the pixel's reference has moved all the same, as in ESIM.
    """
    order = np.lexsort((changes.p, changes.t, changes.pixel))
    changes = Changes(*(field[order] for field in changes))
    if refractory_us == 0 or len(order) == 0:
        return changes
    span = int(changes.t.max()) + refractory_us + 1  # so that no time reaches into the next pixel's range
    key = changes.pixel * span + changes.t
    following = np.searchsorted(key, key + refractory_us)  # the first event that this one would not silence
    pixel = np.append(changes.pixel, -1)  # [N + 1]: `following` may point behind the last event
    current = np.flatnonzero(np.diff(changes.pixel, prepend=-1))  # the first event of each pixel
    kept = np.zeros(len(order), dtype=bool)
    while len(current):  # every pixel at once goes from one event that it keeps to the next
        kept[current] = True
        after = following[current]
        current = after[pixel[after] == pixel[current]]
    return Changes(*(field[kept] for field in changes))


@lru_cache(maxsize=8)
def _thresholds(camera: Camera) -> np.ndarray:
    """The threshold of each pixel, float32 `[sensor * sensor]`; log-normal, which keeps it above zero."""
    draws = np.random.Generator(np.random.Philox(camera.pattern_seed)).standard_normal(camera.sensor**2)
    thresholds = (camera.contrast_threshold * np.exp(camera.threshold_mismatch * draws)).astype(np.float32)
    thresholds.flags.writeable = False  # it is shared by all callers
    return thresholds


def _log_movie(image: np.ndarray, camera: Camera) -> np.ndarray:
    """One loop of log intensities, float32 `[samples, sensor * sensor]`, on a black ground."""
    margin = int(np.ceil(camera.radius)) + 1
    canvas = np.full((camera.sensor + 2 * margin,) * 2, camera.dark_level, dtype=np.float32)
    corner = margin + (camera.sensor - camera.image_size) // 2
    inside = slice(corner, corner + camera.image_size)
    canvas[inside, inside] += _enlarge(_enlarge(image, camera.image_size).T, camera.image_size).T
    angle = 2 * np.pi * np.arange(camera.samples) / camera.samples
    movie = np.empty((camera.samples, camera.sensor, camera.sensor), dtype=np.float32)
    for frame, down, right in zip(movie, np.sin(angle), np.cos(angle), strict=True):
        # The window moves against the image.
        rows = _window(canvas, start=margin - camera.radius * down, size=camera.sensor)
        frame[:] = _window(rows.T, start=margin - camera.radius * right, size=camera.sensor).T
    return np.log(movie, out=movie).reshape(camera.samples, -1)


def _window(field: np.ndarray, *, start: float, size: int) -> np.ndarray:
    """Rows start .. start + size - 1 of `field` `[n, m]`, between two rows linear: `[size, m]`."""
    whole = int(np.floor(start))
    upper, lower = field[whole : whole + size], field[whole + 1 : whole + 1 + size]
    return upper + np.float32(start - whole) * (lower - upper)


def _enlarge(image: np.ndarray, size: int) -> np.ndarray:
    """Rows of `image` `[h, w]` brought to `size` rows, linear between pixel centres: `[size, w]`."""
    position = np.clip((np.arange(size) + 0.5) * len(image) / size - 0.5, 0, len(image) - 1)
    upper = np.floor(position).astype(np.int64)
    lower = np.minimum(upper + 1, len(image) - 1)
    return image[upper] + (position - upper).astype(np.float32)[:, None] * (image[lower] - image[upper])
