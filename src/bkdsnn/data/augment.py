"""What changes one sample's pixels; everything is drawn from the sample's own key, so that a view can be made again."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bkdsnn.data.images import ImageFiles, as_array
from bkdsnn.errors import InputError
from bkdsnn.params.recipe import ResizedCrop
from bkdsnn.seeding import uniform

if TYPE_CHECKING:
    from timm.data.transforms import RandomResizedCropAndInterpolation


def flipped(inputs: np.ndarray, *, keys: Tensor, probability: float) -> np.ndarray:
    """Samples `[B, ..., H, W]`, some of them with left and right exchanged."""
    turned = (uniform(keys=keys, count=1)[:, 0] < probability).numpy()
    inputs = inputs.copy()
    inputs[turned] = inputs[turned][..., ::-1]
    return inputs


def shifted(inputs: np.ndarray, *, keys: Tensor, reach: int) -> np.ndarray:
    """Samples `[B, ..., H, W]`, each moved by up to `reach` pixels up or down and left or right; zeros move in."""
    offsets = (uniform(keys=keys, count=2).numpy() * (2 * reach + 1)).astype(np.int64)  # [B, 2]
    height, width = inputs.shape[-2:]
    flat = inputs.reshape(len(inputs), -1, height, width)  # [B, M, H, W]
    padded = np.pad(flat, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    rows = offsets[:, 0, None] + np.arange(height)  # [B, H]
    columns = offsets[:, 1, None] + np.arange(width)  # [B, W]
    samples = np.arange(len(inputs))[:, None, None, None]
    maps = np.arange(flat.shape[1])[None, :, None, None]
    return padded[samples, maps, rows[:, None, :, None], columns[:, None, None, :]].reshape(inputs.shape)


class RandAugment:
    """timm's RandAugment of RGB images, as timm's bicubic training transform sets it up for one image size and mean."""

    def __init__(self, name: str, *, size: int, mean: tuple[float, ...]) -> None:
        from timm.data.auto_augment import rand_augment_transform

        colour = tuple(min(255, round(255 * value)) for value in mean)
        hparams = {"translate_const": int(size * 0.45), "img_mean": colour, "interpolation": Image.Resampling.BICUBIC}
        try:
            self._operators = rand_augment_transform(name, hparams)
        except (AssertionError, ValueError) as error:
            raise InputError(f"augmentation.rand_augment: timm does not know '{name}'") from error

    def __call__(self, inputs: np.ndarray, *, keys: Tensor) -> np.ndarray:
        """Images uint8 `[B, 3, H, W]`."""
        images = [Image.fromarray(image) for image in inputs.transpose(0, 2, 3, 1)]
        return np.stack([as_array(self._operators(image)) for image in each(images, keys)])


def resized_crops(images: ImageFiles, index: np.ndarray, *, keys: Tensor, size: int, crop: ResizedCrop) -> np.ndarray:
    """Random parts of images, uint8 `[B, 3, size, size]`."""
    from timm.data.transforms import RandomResizedCropAndInterpolation

    cut = RandomResizedCropAndInterpolation(size, crop.scale, crop.ratio, crop.interpolation)

    def made(position: int) -> Image.Image:
        return _reduced_crop(images, position, cut) if crop.reduced_decode else cut(images.open(position))

    return np.stack([as_array(made(int(position))) for position in each(index, keys)])


def _reduced_crop(images: ImageFiles, position: int, cut: "RandomResizedCropAndInterpolation") -> Image.Image:
    """The crop that `cut` draws of the whole image, of a JPEG that is decoded with as few pixels as keep its size.

    libjpeg leaves out frequencies of a block of 8 x 8, so that an image has 1/2, 1/4 or 1/8 of its width and height.
    """
    box, scale = (0, 0, 0, 0), 1.0

    def undecoded(image: Image.Image) -> None:
        nonlocal box, scale
        top, left, height, width = cut.get_params(image, cut.scale, cut.ratio)
        box, whole = (left, top, left + width, top + height), image.width
        factor = max(n for n in (1, 2, 4, 8) if n == 1 or n * max(cut.size) <= min(height, width))
        if factor > 1 and (drafted := image.draft(None, (image.width // factor, image.height // factor))):
            scale = drafted[1][2] / whole

    image = images.open(position, undecoded)
    mode = random.choice(cut.interpolation) if isinstance(cut.interpolation, tuple) else cut.interpolation
    left, top, right, bottom = (scale * side for side in box)
    part = image.crop((int(left), int(top), ceil(right), ceil(bottom)))  # first, as timm: nothing from beside it
    inner = (left - int(left), top - int(top), right - int(left), bottom - int(top))
    return part.resize(cut.size, Image.Resampling[mode.name], box=inner)


def kept_after_erasing(*, keys: Tensor, probability: float, height: int, width: int) -> Tensor:
    """What timm's random erasing leaves: uint8 `[B, 1, H, W]`, 0 in a rectangle of some samples."""
    from timm.data.random_erasing import RandomErasing

    erase = RandomErasing(probability, mode="const", device="cpu")
    masks = torch.ones((len(keys), 1, height, width), dtype=torch.uint8)
    for mask in each(masks, keys):
        erase(mask)
    return masks


def each(samples, keys: Tensor) -> Iterator:
    """The samples, one after the other, while Python's and NumPy's global randomness (timm's) is that of its key."""
    with _own_randomness():
        for sample, key in zip(samples, keys.tolist(), strict=True):
            random.seed(key)
            np.random.seed(key & 0xFFFFFFFF)  # noqa: NPY002 (what timm draws from)
            yield sample


@contextmanager
def _own_randomness() -> Iterator[None]:
    """Leaves the global generators as they were."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
