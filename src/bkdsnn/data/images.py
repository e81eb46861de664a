"""Images brought to one size: all at once into an array, or one by one as they are asked for."""

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
from PIL import Image
from pydantic import PositiveInt, model_validator
from tqdm import tqdm

from bkdsnn.contracts import Shape
from bkdsnn.data.decoding import opened
from bkdsnn.distributed.launcher import cores
from bkdsnn.errors import InputError
from bkdsnn.params.recipe import Closed


class Picture(Closed):
    """What an image becomes: its shorter side `resize` pixels, then the central `size` x `size`."""

    size: PositiveInt
    resize: PositiveInt
    interpolation: Literal["bilinear", "bicubic"]

    @model_validator(mode="after")
    def _no_border(self) -> Self:
        if self.size > self.resize:
            raise ValueError(f"size {self.size} would be cut out of resize {self.resize}, with a black border")
        return self


def fitted(image: Image.Image, picture: Picture) -> np.ndarray:
    """The image as uint8 `[3, size, size]`."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as F

    if min(image.size) != picture.resize:
        image = F.resize(image, picture.resize, InterpolationMode(picture.interpolation))
    return as_array(F.center_crop(image, picture.size) if image.size != (picture.size,) * 2 else image)


def as_array(image: Image.Image) -> np.ndarray:
    """An RGB image `[3, H, W]`, uint8."""
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


class Filled(NamedTuple):
    """Damaged rows, and why; and of all others what to call them and a digest of their pixels."""

    damaged: dict[int, str]
    digests: dict[str, bytes]


def fill(
    write: Callable[[int, np.ndarray], None],
    images: Iterable[tuple[bytes | Path, str]],
    picture: Picture,
    *,
    total: int,
    skip_corrupt: int,
) -> Filled:
    """Writes every image (its bytes or path, and what to call it) to its row.

    `InputError` where more than `skip_corrupt` are damaged.
    """

    def work(job: tuple[int, tuple[bytes | Path, str]]) -> tuple[int, str, bytes | InputError]:
        row, (content, where) = job
        try:
            pixels = fitted(opened(content, where=where), picture)
        except InputError as error:
            return row, where, error
        write(row, pixels)
        return row, where, hashlib.sha256(pixels).digest()

    filled = Filled({}, {})
    with ThreadPoolExecutor(cores()) as pool:  # decoding leaves Python's lock
        results = _in_order(pool, work, enumerate(images))
        for row, where, found in tqdm(results, total=total, desc="images", disable=None):
            if isinstance(found, bytes):
                filled.digests[where] = found
                continue
            filled.damaged[row] = str(found)
            if len(filled.damaged) > skip_corrupt:
                raise InputError(f"{found} (skip_corrupt: {skip_corrupt})")
    return filled


def _in_order(pool: ThreadPoolExecutor, work: Callable, jobs: Iterable):
    """As pool.map, a thousand jobs at a time: images of a parquet file are not all held at once."""
    block: list = []
    for job in jobs:
        block.append(job)
        if len(block) == 1000:
            yield from pool.map(work, block)
            block = []
    yield from pool.map(work, block)


class ImageFiles:
    """Images that stay in their files: decoded when they are asked for, `[index]` gives uint8 `[B, 3, size, size]`."""

    def __init__(self, files: np.ndarray, *, root: Path, picture: Picture) -> None:
        self.files = files  # [N] bytes: paths below root
        self.root = root
        self.picture = picture

    @property
    def shape(self) -> Shape:
        return (len(self.files), 3, self.picture.size, self.picture.size)

    def open(self, position: int, undecoded: Callable[[Image.Image], object] | None = None) -> Image.Image:
        """One image as it is in its file, or with fewer pixels where `undecoded` asks for that (`decoding.opened`)."""
        path = self.root / os.fsdecode(bytes(self.files[position]))
        return opened(path, where=str(path), upright=False, undecoded=undecoded)  # as the official code reads ImageNet

    def __getitem__(self, index: np.ndarray | int) -> np.ndarray:
        if np.ndim(index) == 0:
            return fitted(self.open(int(index)), self.picture)
        return np.stack([fitted(self.open(int(position)), self.picture) for position in index])
