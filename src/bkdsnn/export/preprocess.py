"""What a published student is given: an image or event frames, in its shape and normalised as in training."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from bkdsnn.contracts import Shape
from bkdsnn.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

    from bkdsnn.data.images import Picture

_BILINEAR = 2  # Pillow's number, as for the digits


class Preprocess:
    """Maps an image (a file, its bytes, or Pillow's), or uint8 of the network's input shape, to inputs `[1, ...]`."""

    def __init__(self, card: dict) -> None:
        self.input_shape: Shape = tuple(card["input_shape"])
        self.picture, self.upright = _picture(card.get("picture")), card.get("upright", True)
        self.scale = float(card["normalise"]["scale"])
        self.mean, self.std = (torch.tensor(card["normalise"][name]).view(-1, 1, 1) for name in ("mean", "std"))
        if {len(self.mean), len(self.std)} != {self.input_shape[-3]} or not min(self.scale, *self.std) > 0:
            raise ValueError("normalise is not a scale above 0, and for each channel one mean and one std above 0")

    def __call__(self, sample: "Path | str | bytes | Image | np.ndarray") -> Tensor:
        pixels = sample if isinstance(sample, np.ndarray) else self._pixels(sample)
        if pixels.dtype != np.uint8 or pixels.shape != self.input_shape:
            wanted = " x ".join(map(str, self.input_shape))
            raise InputError(f"wanted uint8 {wanted}, got {pixels.dtype} {' x '.join(map(str, pixels.shape))}")
        return (torch.from_numpy(pixels.copy())[None].float() / self.scale - self.mean) / self.std

    def _pixels(self, sample: "Path | str | bytes | Image") -> np.ndarray:
        """An image as uint8 `[C, H, W]`, the way the data set's own images were made."""
        from bkdsnn.data.images import as_array, fitted

        if len(self.input_shape) != 3:
            raise InputError(f"{_called(sample)}: this network takes event frames {self.input_shape}, not an image")
        image = _opened(sample, upright=self.upright)
        if self.picture:
            return fitted(image, self.picture)
        channels, height, width = self.input_shape
        image = image.convert("L") if channels == 1 else image
        if image.size != (width, height):
            image = image.resize((width, height), _BILINEAR)
        return np.array(image)[None] if channels == 1 else as_array(image)


def _picture(settings: dict | None) -> "Picture | None":
    if settings is None:
        return None
    from bkdsnn.data.images import Picture

    return Picture(**settings)


def _opened(sample: "Path | str | bytes | Image", *, upright: bool) -> "Image":
    from bkdsnn.data.decoding import opened

    if not isinstance(sample, Path | str | bytes):
        return sample.convert("RGB")
    return opened(sample if isinstance(sample, bytes) else Path(sample), where=_called(sample), upright=upright)


def _called(sample: object) -> str:
    return str(sample) if isinstance(sample, Path | str) else "the image"
