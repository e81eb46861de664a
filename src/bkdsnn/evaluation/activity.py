"""What a trained network does on a split: its predictions, and how often its neurons fire."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from spikingjelly.activation_based.neuron import BaseNode
from torch import Tensor, nn

from bkdsnn.contracts import Batch


@dataclass(frozen=True)
class FiringRates:
    """Spikes per neuron and time step: of each spiking layer by name, and of all neurons together (nan for an ANN)."""

    per_layer: dict[str, float]
    overall: float


class Predictions(NamedTuple):
    """actual, predicted: classes `[N]`; confidence: float64 `[N]`, the predicted class's softmax probability."""

    actual: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray


@torch.no_grad()
def predictions(network: nn.Module, batches: Iterable[Batch]) -> Predictions:
    """What a network says of samples in the order of the batches; the logits' mean over time decides."""
    network.eval()
    columns = []
    for batch in batches:
        logits = network(batch.inputs).logits.mean(0)
        columns.append((batch.labels, logits.argmax(1), logits.double().softmax(1).amax(1)))
    return Predictions(*(torch.cat(column).cpu().numpy() for column in zip(*columns, strict=True)))


class SpikeCounter:
    """Inside `with`, counts how often the neurons of a network fire, as SpikingJelly's neuron layers put it out."""

    def __init__(self, network: nn.Module) -> None:
        self._neurons = {name: module for name, module in network.named_modules() if isinstance(module, BaseNode)}
        self._spikes: dict[str, float] = {}
        self._places: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._hooks = [module.register_forward_hook(self._counter(name)) for name, module in self._neurons.items()]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def rates(self) -> FiringRates:
        """Spikes per neuron and time step of all that ran inside."""
        places = sum(self._places.values())
        overall = sum(self._spikes.values()) / places if places else math.nan
        per_layer = {name: spikes / self._places[name] for name, spikes in self._spikes.items()}
        return FiringRates(per_layer=per_layer, overall=overall)

    def _counter(self, name: str) -> Callable:
        def count(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
            self._spikes[name] = self._spikes.get(name, 0.0) + float(output.sum(dtype=torch.float64))
            self._places[name] = self._places.get(name, 0) + output.numel()

        return count


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
