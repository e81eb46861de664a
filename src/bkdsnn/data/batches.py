"""Batches of a prepared data set: shuffled and augmented for training, in order and plain for everything else."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from bkdsnn.contracts import Batch
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.augment import augmented
from bkdsnn.params import Augmentation
from bkdsnn.seeding import derive_seed, draw_keys

_PLAIN = 8  # without gradients so many times the training batch takes no more memory


class Batches:
    """Cuts one data set into `Batch`es on one device."""

    def __init__(self, data: ArrayData, *, batch_size: int, device: torch.device) -> None:
        self.data = data
        self.batch_size = batch_size
        self.device = device
        channels = (-1, 1, 1)
        self._mean = torch.tensor(data.normalise.mean, device=device).view(channels)
        self._std = torch.tensor(data.normalise.std, device=device).view(channels)

    def shuffled(self, *, epoch: int, seed: int, augmentation: Augmentation) -> Iterator[Batch]:
        """The training split in the order that (seed, epoch) gives, as view `epoch mod views`."""
        index = self.data.splits["train"]
        order = np.random.Generator(np.random.Philox(derive_seed("order", seed, epoch))).permutation(len(index))
        yield from self._cut(
            index[order], view=epoch % augmentation.views, augmentation=augmentation, seed=seed, epoch=epoch
        )

    def ordered(self, split: str, *, view: int, augmentation: Augmentation) -> Iterator[Batch]:
        """A split in its own order, as one view."""
        yield from self._cut(self.data.splits[split], view=view, augmentation=augmentation)

    def plain(self, split: str) -> Iterator[Batch]:
        """A split in its own order, not augmented."""
        yield from self._cut(self.data.splits[split], view=0, augmentation=None, size=_PLAIN * self.batch_size)

    def again(self, batch: Batch, *, augmentation: Augmentation) -> Tensor:
        """The inputs that this data set has for a batch's samples and view: another cut of the same recordings."""
        return self._inputs(batch.index.numpy(), view=batch.view, augmentation=augmentation)

    def _inputs(self, index: np.ndarray, *, view: int, augmentation: Augmentation | None) -> Tensor:
        chosen = self.data.inputs[index]
        if augmentation is not None:
            chosen = augmented(chosen, index=index, view=view, augmentation=augmentation)
        return (torch.from_numpy(chosen).to(self.device).float() / self.data.normalise.scale - self._mean) / self._std

    def _cut(
        self,
        index: np.ndarray,
        *,
        view: int,
        augmentation: Augmentation | None,
        seed: int = 0,
        epoch: int = 0,
        size: int | None = None,
    ) -> Iterator[Batch]:
        size = size or self.batch_size
        for start in range(0, len(index), size):
            chosen = index[start : start + size]
            positions = torch.from_numpy(chosen)
            yield Batch(
                inputs=self._inputs(chosen, view=view, augmentation=augmentation),
                labels=torch.from_numpy(self.data.labels[chosen]).to(self.device),
                index=positions,
                draws=draw_keys("method", seed=seed, epoch=epoch, index=positions).to(self.device),
                view=view,
            )
