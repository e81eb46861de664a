"""Image files: found in class folders, decoded, brought to one size."""

import io
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError
from pydantic import PositiveInt
from tqdm import tqdm

from bkdsnn.contracts import Shape
from bkdsnn.distributed.launcher import cores
from bkdsnn.errors import InputError
from bkdsnn.params.recipe import Closed

SUFFIXES = (".jpeg", ".jpg", ".png", ".webp", ".bmp")


class Picture(Closed):
    """What an image becomes: its shorter side `resize` pixels, then the central `size` x `size`."""

    size: PositiveInt
    resize: PositiveInt
    interpolation: Literal["bilinear", "bicubic"]


_DAMAGED = (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError)


def opened(content: bytes | Path, *, where: str) -> Image.Image:
    """A decoded RGB image; `InputError` that names it where it is damaged."""
    try:
        return Image.open(io.BytesIO(content) if isinstance(content, bytes) else content).convert("RGB")
    except _DAMAGED as error:
        raise InputError(f"{where}: {_why(error)}") from error


def check_header(path: Path) -> None:
    """`InputError` where a file does not begin as an image; a picture that is cut off later is found in training."""
    try:
        with Image.open(path):
            pass
    except _DAMAGED as error:
        raise InputError(f"{path}: {_why(error)}") from error


def _why(error: Exception) -> str:
    known = not isinstance(error, UnidentifiedImageError)  # whose text holds an address in memory
    return "no readable image" + (f" ({' '.join(str(error).split())})" if known else "")


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


def fill(
    write: Callable[[int, np.ndarray], None],
    images: Iterable[tuple[bytes | Path, str]],
    picture: Picture,
    *,
    total: int,
    skip_corrupt: int,
) -> dict[int, str]:
    """Writes every image (its bytes or path, and what to call it) to its row; gives the damaged rows, and why.

    `InputError` where they are more than `skip_corrupt`.
    """

    def work(job: tuple[int, tuple[bytes | Path, str]]) -> tuple[int, str | None]:
        row, (content, where) = job
        try:
            write(row, fitted(opened(content, where=where), picture))
        except InputError as error:
            return row, str(error)
        return row, None

    damaged: dict[int, str] = {}
    with ThreadPoolExecutor(cores()) as pool:  # decoding leaves Python's lock
        for row, reason in tqdm(_in_order(pool, work, enumerate(images)), total=total, desc="images", disable=None):
            if reason:
                damaged[row] = reason
                if len(damaged) > skip_corrupt:
                    raise InputError(f"{reason} (skip_corrupt: {skip_corrupt})")
    return damaged


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

    def open(self, position: int) -> Image.Image:
        """One image as it is in its file."""
        path = self.root / os.fsdecode(bytes(self.files[position]))
        return opened(path, where=str(path))

    def __getitem__(self, index: np.ndarray | int) -> np.ndarray:
        if np.ndim(index) == 0:
            return fitted(self.open(int(index)), self.picture)
        return np.stack([fitted(self.open(int(position)), self.picture) for position in index])
