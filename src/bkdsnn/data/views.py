"""Augmented views: a view's pixels and labels are a pure function of (augment_seed, view, sample index)."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bkdsnn.contracts import Shape
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.augment import RandAugment, flipped, kept_after_erasing, resized_crops, shifted
from bkdsnn.data.event_augment import snn_augmented
from bkdsnn.data.images import ImageFiles
from bkdsnn.data.mixup import Partners, mix_of, mixed_labels, paste
from bkdsnn.errors import InputError
from bkdsnn.params.recipe import Augmentation
from bkdsnn.seeding import draw_keys

PACKED = "augmentation.resized_crop: is for images that stay in files, this data set is packed"


class View(NamedTuple):
    """Samples of one view, before they are normalised.

    pixels: uint8 `[B, ..., H, W]`. partner: the same of the samples that are added, and weight: `[B]` that of `pixels`
    (both None where nothing is mixed). kept: uint8 `[B, 1, H, W]`, 0 where the input is erased (or None). labels: `[B]`
    classes, or `[B, K]` parts of classes where samples are mixed.
    """

    pixels: Tensor
    partner: Tensor | None
    weight: Tensor | None
    kept: Tensor | None
    labels: Tensor


def view_count(rules: Augmentation) -> int:
    """How many views there are to store: where mixup is switched off, each is there with it and without."""
    return rules.views * (2 if rules.mixup and rules.mixup.off_epoch is not None else 1)


def view_of(epoch: int, *, rules: Augmentation) -> int:
    """The view that an epoch uses: epoch mod `views`, and beyond `views` the same without mixup."""
    off = rules.mixup is not None and rules.mixup.off_epoch is not None and epoch >= rules.mixup.off_epoch
    return epoch % rules.views + (rules.views if off else 0)


def operators(rules: Augmentation, *, shape: Shape, mean: tuple[float, ...]) -> RandAugment | None:
    """A recipe's RandAugment, if it has one; `InputError` where its augmentation does not fit samples of this shape."""
    if rules.snn_augment and len(shape) != 4:
        raise InputError(f"augmentation.snn_augment: is for event frames (T, 2, H, W), samples here are {shape}")
    if rules.rand_augment is None:
        return None
    if shape[:-2] != (3,):
        raise InputError(f"augmentation.rand_augment: is for images of 3 channels, samples here are {shape}")
    return RandAugment(rules.rand_augment, size=min(shape[-2:]), mean=mean)


class Views:
    """The views of a data set's samples, or (augmentation None) the samples as they are.

    `InputError` where an augmentation does not fit the samples.
    """

    def __init__(self, data: ArrayData, augmentation: Augmentation | None) -> None:
        self.data = data
        self.augmentation = augmentation
        self._size = data.input_shape[-2:]
        if augmentation is None:
            return
        self._partners = Partners(
            data.splits["train"], samples=len(data.labels), augment_seed=augmentation.augment_seed
        )
        self._rand_augment = operators(augmentation, shape=data.input_shape, mean=data.normalise.mean)
        if augmentation.resized_crop is not None and not isinstance(data.inputs, ImageFiles):
            raise InputError(PACKED)

    @property
    def is_cheap(self) -> bool:
        """Whether a batch takes so little work that another process would not speed it up."""
        if isinstance(self.data.inputs, ImageFiles):
            return False
        rules = self.augmentation
        return rules is None or not (rules.rand_augment or rules.snn_augment or rules.erase)

    def make(self, index: np.ndarray, *, view: int) -> View:
        """View number `view` of the samples `index` `[B]`; only training samples are mixed."""
        rules = self.augmentation
        labels = torch.from_numpy(self.data.labels[index])
        if rules is None:
            return View(torch.from_numpy(self.data.inputs[index]), None, None, None, labels)
        base = view % rules.views
        pixels, partner, weight = self._pixels(index, base), None, None
        if rules.mixup is not None and view < rules.views:
            others = self._partners.of(index, view=view)
            mix = mix_of(rules.mixup, keys=self._keys("mixup", index, base), height=self._size[0], width=self._size[1])
            partner = self._pixels(others, base)
            paste(pixels, partner, mix.box)
            weight = torch.from_numpy(mix.pixels)
            theirs = torch.from_numpy(self.data.labels[others])
            labels = mixed_labels(labels, theirs, weights=mix.labels, classes=len(self.data.classes))
        kept = None
        if rules.erase:
            height, width = self._size
            keys = self._keys("erase", index, base)
            kept = kept_after_erasing(keys=keys, probability=rules.erase, height=height, width=width)
        return View(
            pixels=torch.from_numpy(pixels),
            partner=None if partner is None else torch.from_numpy(partner),
            weight=weight,
            kept=kept,
            labels=labels,
        )

    def _pixels(self, index: np.ndarray, view: int) -> np.ndarray:
        rules = self.augmentation
        if rules.resized_crop is not None:
            keys = self._keys("crop", index, view)
            crop = rules.resized_crop
            pixels = resized_crops(self.data.inputs, index, keys=keys, size=self._size[0], crop=crop)
        else:
            pixels = self.data.inputs[index]
        if rules.flip:
            pixels = flipped(pixels, keys=self._keys("flip", index, view), probability=rules.flip)
        if rules.shift:
            pixels = shifted(pixels, keys=self._keys("shift", index, view), reach=rules.shift)
        if self._rand_augment is not None:
            pixels = self._rand_augment(pixels, keys=self._keys("rand_augment", index, view))
        if rules.snn_augment:
            pixels = snn_augmented(pixels, keys=self._keys("snn_augment", index, view))
        return pixels

    def _keys(self, purpose: str, index: np.ndarray, view: int) -> Tensor:
        return draw_keys(purpose, seed=self.augmentation.augment_seed, epoch=view, index=torch.from_numpy(index))
