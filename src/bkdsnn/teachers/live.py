"""A teacher that runs beside its student, and none at all: `teacher(batch)`, without gradient, always in eval mode."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bkdsnn.contracts import Batch, NetOutput
from bkdsnn.errors import InputError
from bkdsnn.teachers.activation_map import classifier_behind, with_activation_map


class NoTeacher:
    """The teacher of a row that has none."""

    def __call__(self, batch: Batch) -> None:
        return None


class LiveTeacher:
    """Runs the teacher's network on every batch and keeps the features that are asked for.

    `look` gives the teacher's own inputs for a batch (another cut of the same recordings); by default the student's.
    precision: bf16-mixed runs it under autocast; what it says is float32 again.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        features: list[str],
        look: Callable[[Batch], Tensor] = lambda batch: batch.inputs,
        precision: str = "32-true",
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.features = features
        self.look = look
        self._half = precision == "bf16-mixed"
        self._classifier = classifier_behind(network, features=features)

    def __call__(self, batch: Batch) -> NetOutput:
        return self.output_for(self.look(batch))

    def output_for(self, inputs: Tensor) -> NetOutput:
        """What the teacher says of inputs `[B, ...]`."""
        with torch.inference_mode(), torch.autocast(inputs.device.type, torch.bfloat16, enabled=self._half):
            output = with_activation_map(self.network(inputs), classifier=self._classifier)
        features = kept(output.features, features=self.features)
        return NetOutput(self._copy(output.logits), {name: self._copy(feature) for name, feature in features.items()})

    def _copy(self, tensor: Tensor) -> Tensor:
        """No loss may keep a tensor of inference mode for its backward."""
        return tensor.to(torch.float32 if self._half else tensor.dtype, copy=True)


def kept(by_name: dict[str, Any], *, features: list[str]) -> dict[str, Any]:
    """What belongs to the features that are asked for; `InputError` where the network has no such feature."""
    for name in features:
        if name not in by_name:
            raise InputError(f"the teacher has no feature '{name}': it has {', '.join(by_name)}")
    return {name: by_name[name] for name in features}
