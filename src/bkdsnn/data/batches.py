"""Batches of a prepared data set: shuffled and augmented for training, in order and plain for everything else."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bkdsnn.contracts import Batch
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.loader import arriving, make_loader, workers_for
from bkdsnn.data.parts import shares
from bkdsnn.data.views import View, Views, view_of
from bkdsnn.distributed.device import to_device
from bkdsnn.distributed.launcher import rank, world_size
from bkdsnn.errors import InputError
from bkdsnn.params.recipe import Augmentation
from bkdsnn.seeding import derive_seed, draw_keys

_PLAIN = 8  # without gradients so many times as in training take no more memory


class Batches:
    """Cuts one data set into `Batch`es on one device; `BKDSNN_WORKERS` processes make the augmented ones.

    Raises `InputError` where a training batch has fewer samples than there are processes to work on it.
    """

    def __init__(self, data: ArrayData, *, batch_size: int, device: torch.device, accumulate: int = 1) -> None:
        self.data = data
        self.batch_size = batch_size
        self.part = batch_size // accumulate  # samples that go through the student at once
        self.device = device
        channels = (-1, 1, 1)
        self._mean = torch.tensor(data.normalise.mean, device=device).view(channels)
        self._std = torch.tensor(data.normalise.std, device=device).view(channels)
        self._makers: dict[Augmentation | None, _Maker] = {}
        samples = len(data.splits["train"])
        smallest = samples % batch_size or batch_size
        if smallest < world_size():
            raise InputError(
                f"{world_size()} processes cannot divide a batch of {smallest}: {samples} training samples in batches "
                f"of {batch_size} end with one; start fewer processes"
            )

    def shuffled(self, *, epoch: int, seed: int, augmentation: Augmentation, start: int = 0) -> Iterator[Batch]:
        """The training split in the order that (seed, epoch) gives, as the view that the epoch uses.

        The first `start` batches are left out, and not made. Each process gets its part of every batch.
        """
        index = self.data.splits["train"]
        order = np.random.Generator(np.random.Philox(derive_seed("order", seed, epoch))).permutation(len(index))
        order = order[start * self.batch_size :]
        view = view_of(epoch, rules=augmentation)
        how = {"seed": seed, "epoch": epoch, "cut": lambda batch: np.concatenate(shares(batch, part=self.part))}
        yield from self._views(index[order], view=view, augmentation=augmentation, **how)

    def ordered(
        self, start: int = 0, stop: int | None = None, *, view: int, augmentation: Augmentation
    ) -> Iterator[Batch]:
        """The training split in its own order, or its samples from `start` to `stop`, as one view."""
        yield from self._views(self.data.splits["train"][start:stop], view=view, augmentation=augmentation)

    def plain(self, split: str) -> Iterator[Batch]:
        """A split in its own order, not augmented."""
        yield from self._views(self.data.splits[split], view=0, augmentation=None, size=_PLAIN * self.part)

    def of_process(self, split: str) -> Iterator[Batch]:
        """Of a split in its own order, not augmented, this process's part."""
        mine = _of_process(self.data.splits[split])
        yield from self._views(mine, view=0, augmentation=None, size=_PLAIN * self.part)

    def again(self, batch: Batch, *, augmentation: Augmentation) -> Tensor:
        """The inputs that this data set has for a batch's samples and view: another cut of the same recordings."""
        return self._inputs(self._maker(augmentation).views.make(batch.index.numpy(), view=batch.view))

    def _views(
        self,
        index: np.ndarray,
        *,
        view: int,
        augmentation: Augmentation | None,
        seed: int = 0,
        epoch: int = 0,
        size: int | None = None,
        cut: Callable[[np.ndarray], np.ndarray] = lambda batch: batch,
    ) -> Iterator[Batch]:
        size = size or self.batch_size
        batches = [index[start : start + size] for start in range(0, len(index), size)]
        jobs = [(cut(batch), view) for batch in batches]
        for batch, (mine, _), made in zip(batches, jobs, self._maker(augmentation).work_through(jobs), strict=True):
            yield self._batch(mine, made, view=view, seed=seed, epoch=epoch, whole=len(batch))

    def _maker(self, augmentation: Augmentation | None) -> "_Maker":
        if augmentation not in self._makers:
            self._makers[augmentation] = _Maker(Views(self.data, augmentation))
        return self._makers[augmentation]

    def _batch(self, index: np.ndarray, made: View, *, view: int, seed: int, epoch: int, whole: int) -> Batch:
        positions = torch.from_numpy(index)
        return Batch(
            inputs=self._inputs(made),
            labels=to_device(made.labels, self.device),
            index=positions,
            draws=to_device(draw_keys("method", seed=seed, epoch=epoch, index=positions), self.device),
            view=view,
            whole=whole,
        )

    def _inputs(self, made: View) -> Tensor:
        inputs = to_device(made.pixels, self.device).float()
        rest = (1,) * (inputs.dim() - 1)
        if made.partner is not None:
            weight = to_device(made.weight, self.device).view(-1, *rest)
            inputs = weight * inputs + (1 - weight) * to_device(made.partner, self.device).float()
        inputs = (inputs / self.data.normalise.scale - self._mean) / self._std
        if made.kept is not None:
            kept = to_device(made.kept, self.device)
            inputs = inputs * kept.view(len(kept), *rest[:-2], *kept.shape[-2:])
        return inputs


class _Maker(Dataset):
    """Makes views, in worker processes where that pays; the pixels do not depend on how many there are."""

    def __init__(self, views: Views) -> None:
        self.views = views
        self._jobs: list[tuple[np.ndarray, int]] = []
        self._loader: DataLoader | None = None
        self._workers: int | None = None

    def work_through(self, jobs: list[tuple[np.ndarray, int]]) -> Iterator[View]:
        """The view of each (samples, view number), in order."""
        if not jobs:
            return
        if self._workers is None:
            self._workers = workers_for(self.views, samples=max(len(index) for index, _ in jobs))
        if self._workers == 0:
            yield from map(self.__getitem__, jobs)
            return
        self._jobs[:] = jobs
        if self._loader is None:  # the workers live as long as the run
            self._loader = make_loader(self, jobs=self._jobs, workers=self._workers)
        yield from arriving(self._loader)

    def __getitem__(self, job: tuple[np.ndarray, int]) -> View:
        index, view = job
        return self.views.make(index, view=view)


def _of_process(index: np.ndarray) -> np.ndarray:
    """This process's part of samples that all processes know: one of as many runs of them, as equal as can be."""
    return np.array_split(index, world_size())[rank()]
