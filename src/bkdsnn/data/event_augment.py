"""SNN augment: one geometric change per recording, alike for all frames, as the official CIFAR10-DVS script has it."""

import math

import numpy as np
import torch
from torch import Tensor

from bkdsnn.seeding import uniform

_BINS = 31
_OPERATORS = ("identity", "shear_x", "translate_x", "translate_y", "rotate", "cutout")


def snn_augmented(frames: np.ndarray, *, keys: Tensor) -> np.ndarray:
    """Frames uint8 `[B, T, 2, H, W]`, each recording changed by one operator of six, of a strength of 31, either way.

    Shear by up to 0.3, shifts by up to 5 pixels, rotation by up to 30 degrees (nearest neighbour, so that counts stay
    counts), or a square of 0.1 to 11 % of the area that becomes zero. TrivialAugment (Müller and Hutter 2021,
    arXiv:2103.10158) with the operators of SNNAugmentWide, which the Spikformer family uses.
    """
    draws = uniform(keys=keys, count=4).numpy()
    return np.stack([_one(sample, draw) for sample, draw in zip(frames, draws, strict=True)])


def _one(frames: np.ndarray, draw: np.ndarray) -> np.ndarray:
    from torchvision.transforms.v2 import functional as F

    operator = _OPERATORS[int(draw[0] * len(_OPERATORS))]
    strength = (2 * int(draw[1] * _BINS) / (_BINS - 1) - 1) * (1 if draw[2] < 0.5 else -1)  # 31 steps from -1 to 1
    if operator == "identity":
        return frames
    if operator == "cutout":
        return _cutout(frames, draw)
    changes = {
        "shear_x": {"shear": [math.degrees(0.3 * strength), 0.0]},
        "translate_x": {"translate": [int(5 * strength), 0]},
        "translate_y": {"translate": [0, int(5 * strength)]},
        "rotate": {"angle": 30.0 * strength},
    }[operator]
    neutral = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    return F.affine(torch.from_numpy(frames), **(neutral | changes)).numpy()


def _cutout(frames: np.ndarray, draw: np.ndarray) -> np.ndarray:
    height, width = frames.shape[-2:]
    side = min(round(math.sqrt((0.001 + 0.109 * draw[1]) * height * width)), height, width)
    top, left = int(draw[2] * (height - side + 1)), int(draw[3] * (width - side + 1))
    frames = frames.copy()
    frames[..., top : top + side, left : left + side] = 0
    return frames
