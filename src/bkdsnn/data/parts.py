"""A batch in parts, one after the other in memory, where the recipe says `accumulate`; and each process's share."""

import numpy as np

from bkdsnn.contracts import Batch, NetOutput
from bkdsnn.distributed.launcher import rank, world_size
from bkdsnn.params.recipe import Recipe


def shares(index: np.ndarray, *, part: int) -> list[np.ndarray]:
    """This process's share of every part of a batch: runs of its samples, as equal as can be.

    part: how many samples a part has at most; the processes have as many parts, with a sample of each in all of them.
    """
    count = min(-(-len(index) // part), len(index) // world_size())
    return [np.array_split(piece, world_size())[rank()] for piece in np.array_split(index, count)]


def smallest_part(samples: int, *, recipe: Recipe) -> int:
    """The size of the smallest part in an epoch of so many samples: the last batch's."""
    last, part = samples % recipe.batch_size or recipe.batch_size, recipe.batch_size // recipe.accumulate
    return last // -(-last // part)


def in_parts(batch: Batch, taught: NetOutput | None, *, part: int) -> list[tuple[Batch, NetOutput | None]]:
    """A batch and what its teacher says as the parts of `shares`; `whole` stays that of the batch."""
    sizes = [len(share) for share in shares(np.arange(batch.size), part=part)]
    if len(sizes) == 1:
        return [(batch, taught)]
    columns = [column.split(sizes) for column in (batch.inputs, batch.labels, batch.index, batch.draws)]
    parts = [Batch(*pieces, view=batch.view, whole=batch.size) for pieces in zip(*columns, strict=True)]
    if taught is None:
        return [(piece, None) for piece in parts]
    logits = taught.logits.split(sizes, dim=1)  # [T, B, K]
    features = {name: feature.split(sizes, dim=1) for name, feature in taught.features.items()}
    outputs = [NetOutput(own, {name: split[n] for name, split in features.items()}) for n, own in enumerate(logits)]
    return list(zip(parts, outputs, strict=True))
