"""The shapes in which data, networks, teachers, methods and the loop meet.

The third shape is a method's result: a dict of named, weighted, scalar loss terms.
"""

from typing import NamedTuple

from torch import Tensor

Shape = tuple[int, ...]


class Batch(NamedTuple):
    """One step's samples; where several processes work together, those of them that this one has.

    inputs: `[B, C, H, W]` images or `[B, T, C, H, W]` event frames, float32.
    labels: `[B]` class indices or `[B, K]` class probabilities.
    index: `[B]` positions in the data set.
    draws: `[B]` int64, one random key per sample for the method: it depends on run seed, epoch and index alone.
    view: which augmented view of the recipe the inputs are.
    whole: how many samples all processes have together (None: there is no other).
    """

    inputs: Tensor
    labels: Tensor
    index: Tensor
    draws: Tensor
    view: int
    whole: int | None = None

    @property
    def size(self) -> int:
        """How many samples the step has."""
        return len(self.index) if self.whole is None else self.whole

    @property
    def fraction(self) -> float:
        """How large a part of them is here: 1 where there is one process."""
        return len(self.index) / self.size


class NetOutput(NamedTuple):
    """What a network says, time first and kept (T = 1 for an ANN).

    logits: `[T, B, K]`.
    features: by name, each a map `[T, B, C, H, W]` or (a transformer's) a vector `[T, B, C]`; one is called `last`.
    """

    logits: Tensor
    features: dict[str, Tensor]

    def feature_shapes(self) -> dict[str, Shape]:
        """The shape `(C, H, W)` or `(C,)` of every feature."""
        return {name: tuple(feature.shape[2:]) for name, feature in self.features.items()}
