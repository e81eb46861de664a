"""One forward and backward on two devices: how far apart outputs and gradients are, and how many spikes differ."""

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from spikingjelly.activation_based.neuron import BaseNode
from torch import Tensor, nn

EXACT = 1e-10  # of float64, relative to the largest entry


class Seen(NamedTuple):
    """What one pass gave, on the CPU: outputs and gradients by name, and the spikes of every layer of neurons."""

    outputs: dict[str, Tensor]
    gradients: dict[str, Tensor]
    spikes: dict[str, Tensor]


class Difference(NamedTuple):
    """outputs, gradients: the largest deviation, relative to the output's or all gradients' largest entry.

    spikes: how many differ.
    """

    outputs: float
    gradients: float
    spikes: int
    of: int

    @property
    def exact(self) -> bool:
        """Whether float64 may differ so."""
        return self.outputs <= EXACT and self.gradients <= EXACT and self.spikes == 0

    def in_words(self) -> str:
        return f"outputs {self.outputs:.1e}, gradients {self.gradients:.1e}, {self.spikes} of {self.of:,} spikes differ"


Pass = Callable[[nn.Module, torch.device, torch.dtype], dict[str, Tensor]]


def seen(module: nn.Module, work: Pass, device: torch.device, dtype: torch.dtype) -> Seen:
    """A pass of a copy of the module; `work` gives the outputs, of which those called loss are differentiated."""
    module = copy.deepcopy(module).to(device, dtype)
    spikes: dict[str, Tensor] = {}
    for name, neuron in module.named_modules():
        if isinstance(neuron, BaseNode):
            neuron.register_forward_hook(lambda _m, _i, out, name=name: spikes.update({name: out.detach().bool()}))
    outputs = work(module, device, dtype)
    sum(value for name, value in outputs.items() if name.startswith("loss")).backward()
    gradients = {name: p.grad.cpu() for name, p in module.named_parameters() if p.grad is not None}
    return Seen(
        {name: value.detach().cpu() for name, value in outputs.items()},
        gradients,
        {name: value.cpu() for name, value in spikes.items()},
    )


def difference(first: Seen, second: Seen) -> Difference:
    """How far the second is from the first; `ValueError` where one has what the other has not."""
    pairs = [(first.spikes[name], value) for name, value in second.spikes.items()]
    return Difference(
        max(apart({name: value}, {name: second.outputs[name]}) for name, value in first.outputs.items()),
        apart(first.gradients, second.gradients),
        sum(int((one ^ other).sum()) for one, other in pairs),
        sum(one.numel() for one, _ in pairs),
    )


def apart(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    """The largest deviation of tensors of the same names, relative to the largest entry of all; inf for a NaN."""
    if first.keys() != second.keys():
        raise ValueError(f"{sorted(first.keys() ^ second.keys())}: on one device alone")
    largest = max((float(value.abs().max()) for value in first.values()), default=0.0)
    deviation = [float((first[name].double() - value.double()).abs().max()) for name, value in second.items()]
    if any(value != value for value in deviation):
        return float("inf")
    return max(deviation, default=0.0) / max(largest, 1e-30)
