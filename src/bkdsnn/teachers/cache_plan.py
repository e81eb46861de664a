"""How a teacher's outputs are cut into shards, how much they take, and whether the disk has room for them."""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from bkdsnn import environment
from bkdsnn.contracts import Shape
from bkdsnn.errors import InputError
from bkdsnn.teachers.cached import shard_name

SHARD_SAMPLES, SHARD_BYTES = (
    4096,
    64 << 20,
)  # at most so many, but one batch: what a kill costs and what one read hashes
KEPT_FREE = 10**9  # bytes of the disk


@dataclass(frozen=True)
class Shard:
    """The samples from `start` to `stop` of one view."""

    view: int
    number: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The name of its file, without the ending."""
        return shard_name(self.view, self.number)


@dataclass(frozen=True)
class Plan:
    """What is to be stored: outputs `(T, ...)` by name, for so many samples and views."""

    views: int
    samples: int
    shapes: dict[str, Shape]
    dtype: str
    batch_size: int

    @property
    def sample_bytes(self) -> int:
        """The bytes of one sample of one view."""
        return sum(math.prod(shape) for shape in self.shapes.values()) * getattr(torch, self.dtype).itemsize

    @property
    def size(self) -> int:
        """The bytes of all outputs."""
        return self.views * self.samples * self.sample_bytes

    @property
    def shard_samples(self) -> int:
        """The samples of a shard: whole batches."""
        most = min(SHARD_SAMPLES, SHARD_BYTES // self.sample_bytes)
        return max(most // self.batch_size, 1) * self.batch_size

    def shards(self) -> list[Shard]:
        """All shards, view by view."""
        step = self.shard_samples
        return [
            Shard(view, number, start, min(start + step, self.samples))
            for view in range(self.views)
            for number, start in enumerate(range(0, self.samples, step))
        ]

    def __str__(self) -> str:
        steps = next(iter(self.shapes.values()))[0]
        outputs = [
            f"{name} {list(s[1:]) if len(s) > 2 else s[1]}".replace(", ", ",") for name, s in self.shapes.items()
        ]
        return (
            f"teacher outputs: {self.views} views x {self.samples} samples{f' x {steps} steps' if steps > 1 else ''}, "
            f"{' + '.join(outputs)}: {_amount(self.size)} {self.dtype}"
        )


def check_room(plan: Plan, *, written: int, places: tuple[Path, ...]) -> None:
    """Raises `InputError` where the plan exceeds `BKDSNN_CACHE_LIMIT_GB`, or what is left to write a disk."""
    limit = environment.read("BKDSNN_CACHE_LIMIT_GB")
    half = "" if getattr(torch, plan.dtype).itemsize == 2 else "cache.dtype float16, "
    change = f"change augmentation.views, {half}or cache.enabled: false"
    if limit is not None and plan.size > limit * 1e9:
        raise InputError(f"{plan} is more than BKDSNN_CACHE_LIMIT_GB={limit:g} allows; {change}")
    devices: set[int] = set()
    for place in places:
        place = next(folder for folder in (place, *place.absolute().parents) if folder.is_dir())
        if place.stat().st_dev in devices:
            continue
        needed = plan.size - (0 if devices else written)  # on a second disk there is nothing yet
        devices.add(place.stat().st_dev)
        free = shutil.disk_usage(place).free
        if needed > free - KEPT_FREE:
            refused = f"{plan} does not fit the disk of {place}: {_amount(free)} are free"
            raise InputError(f"{refused}, {_amount(KEPT_FREE)} of them stay free; {change}")


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
