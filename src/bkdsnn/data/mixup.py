"""Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019) by sample: partner and weight depend on the view alone."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bkdsnn.params.recipe import Mixup
from bkdsnn.seeding import derive_seed, uniform


class Mix(NamedTuple):
    """How two samples are mixed.

    pixels: `[B]` the first one's weight when the two are added. box: `[B, 4]` top, bottom, left, right of what the
    second one is pasted into (empty: nothing). labels: `[B]` the first one's weight among the labels.
    """

    pixels: np.ndarray
    box: np.ndarray
    labels: np.ndarray


class Partners:
    """The partner of every training sample in a view: a permutation keyed by (augment_seed, view)."""

    def __init__(self, train: np.ndarray, *, samples: int, augment_seed: int) -> None:
        self._train = train
        self._place = np.full(samples, -1)
        self._place[train] = np.arange(len(train))
        self._seed = augment_seed
        self._permutation = lru_cache(maxsize=2)(self._permuted)

    def of(self, index: np.ndarray, *, view: int) -> np.ndarray:
        """The partners of training samples `[B]`."""
        return self._train[self._permutation(view)[self._place[index]]]

    def _permuted(self, view: int) -> np.ndarray:
        random = np.random.Generator(np.random.Philox(derive_seed("partner", self._seed, view)))
        return random.permutation(len(self._train))


def paste(pixels: np.ndarray, partner: np.ndarray, boxes: np.ndarray) -> None:
    """Pastes the boxes `[B, 4]` of a partner's samples into `[B, ..., H, W]`, in place."""
    for sample, (top, bottom, left, right) in enumerate(boxes):
        pixels[sample, ..., top:bottom, left:right] = partner[sample, ..., top:bottom, left:right]


def mixed_labels(labels: Tensor, partner: Tensor, *, weights: np.ndarray, classes: int) -> Tensor:
    """Labels `[B, K]` that give the first class its weight `[B]` and the partner's class the rest."""
    rows, own = torch.eye(classes), torch.from_numpy(weights)[:, None]
    return own * rows[labels] + (1 - own) * rows[partner]


def mix_of(mixup: Mixup, *, keys: Tensor, height: int, width: int) -> Mix:
    """How each of `[B]` samples is mixed with its partner."""
    from scipy.special import betaincinv

    happens, switch, amount, down, right = uniform(keys=keys, count=5).double().numpy().T
    mixed = happens < mixup.probability
    pasted = mixed & (switch < mixup.switch_probability)
    weight = np.ones(len(keys))
    for chosen, alpha in ((mixed & ~pasted, mixup.mixup_alpha), (pasted, mixup.cutmix_alpha)):
        if chosen.any():
            weight[chosen] = betaincinv(alpha, alpha, amount[chosen])
    # The box covers 1 - weight of the area, its centre anywhere; what lies outside of the image is lost.
    side = np.sqrt(np.where(pasted, 1 - weight, 0))
    half_height, half_width = (height * side / 2).astype(int), (width * side / 2).astype(int)
    y, x = (down * height).astype(int), (right * width).astype(int)
    box = np.stack(
        [
            np.clip(y - half_height, 0, height),
            np.clip(y + half_height, 0, height),
            np.clip(x - half_width, 0, width),
            np.clip(x + half_width, 0, width),
        ],
        axis=1,
    )
    area = (box[:, 1] - box[:, 0]) * (box[:, 3] - box[:, 2]) / (height * width)
    return Mix(
        pixels=np.where(pasted, 1.0, weight).astype(np.float32),
        box=box,
        labels=np.where(pasted, 1 - area, weight).astype(np.float32),
    )
