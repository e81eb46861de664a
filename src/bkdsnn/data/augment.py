"""Augmented views: a view's pixels are a pure function of (augment_seed, view, sample index)."""

import numpy as np
import torch

from bkdsnn.params import Augmentation
from bkdsnn.seeding import draw_keys, uniform


def augmented(inputs: np.ndarray, *, index: np.ndarray, view: int, augmentation: Augmentation) -> np.ndarray:
    """View number `view` of uint8 inputs `[B, ..., H, W]`, whose positions in the data set are `index` `[B]`."""
    reach = augmentation.shift
    if reach == 0:
        return inputs
    keys = draw_keys("shift", seed=augmentation.augment_seed, epoch=view, index=torch.from_numpy(index))
    offsets = (uniform(keys=keys, count=2).numpy() * (2 * reach + 1)).astype(np.int64)  # [B, 2]
    height, width = inputs.shape[-2:]
    flat = inputs.reshape(len(inputs), -1, height, width)  # [B, M, H, W]
    padded = np.pad(flat, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    rows = offsets[:, 0, None] + np.arange(height)  # [B, H]
    columns = offsets[:, 1, None] + np.arange(width)  # [B, W]
    samples = np.arange(len(inputs))[:, None, None, None]
    maps = np.arange(flat.shape[1])[None, :, None, None]
    return padded[samples, maps, rows[:, None, :, None], columns[:, None, None, :]].reshape(inputs.shape)
