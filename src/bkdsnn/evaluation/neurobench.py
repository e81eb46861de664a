"""What NeuroBench reports of a model, by its names (Yik et al. 2025, Nature Communications 16, 1545).

Counted by the definitions of the package `neurobench` 2.3, which a test compares with where it is installed.
"""

from collections.abc import Callable
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call

CONNECTIONS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class SynapticOperations(NamedTuple):
    """Of one sample's inference, all time steps: weights other than 0 that meet inputs other than 0; dense: of all."""

    effective_macs: float
    effective_acs: float
    dense_operations: float


def footprint(network: nn.Module) -> int:
    """Bytes of all parameters and buffers."""
    return sum(tensor.numel() * tensor.element_size() for tensor in (*network.parameters(), *network.buffers()))


def connection_sparsity(network: nn.Module) -> float:
    """The share of weights of linear and convolutional layers that are 0; 0 where there is no such layer."""
    weights = [layer.weight for layer in _connections(network).values()]
    return sum(int((weight == 0).sum()) for weight in weights) / max(sum(weight.numel() for weight in weights), 1)


class SynapticOperationCounter:
    """Inside `with`, counts what goes through linear and convolutional layers; products of activations do not count.

    A layer's call is of accumulations if all that it gets is -1, 0 or 1, else of MACs, so that a layer of a SEW block
    can be either, batch by batch. An input counts once, whatever its value; padding does not.
    """

    def __init__(self, network: nn.Module) -> None:
        self._layers = _connections(network)
        # By layer, whether its input was all spikes, and shape: how often each place was not 0, of how many.
        self._calls: dict[tuple[str, bool, torch.Size], tuple[Tensor | int, int]] = {}

    def __enter__(self) -> Self:
        self._hooks = [layer.register_forward_pre_hook(self._counter(name)) for name, layer in self._layers.items()]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def per_sample(self, samples: int) -> SynapticOperations:
        """The mean over so many samples that ran inside; to be asked outside."""
        effective, dense = {True: 0.0, False: 0.0}, 0.0
        for (name, spikes, shape), (active, times) in self._calls.items():
            layer = self._layers[name]
            effective[spikes] += float((active * _fan_out(layer, layer.weight != 0, shape)).sum())
            dense += times * float(_fan_out(layer, torch.ones_like(layer.weight), shape).sum())
        return SynapticOperations(effective[False] / samples, effective[True] / samples, dense / samples)

    def _counter(self, name: str) -> Callable:
        own = self._layers[name].weight.dim() - 1  # of `[T, B, C, H, W]` the last three, where the layer is a Conv2d

        def count(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].detach()
            key = name, torch.equal(x, x.sign()), torch.Size([1] * (x.dim() - own)) + x.shape[-own:]
            active, times = self._calls.get(key, (0, 0))
            self._calls[key] = active + (x != 0).flatten(0, -own - 1).sum(0), times + x.shape[:-own].numel()

        return count


def _connections(network: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in network.named_modules() if isinstance(module, CONNECTIONS)}


def _fan_out(layer: nn.Module, weights: Tensor, shape: torch.Size) -> Tensor:
    """The sum of the weights that each place of an input of this shape meets: the gradient of the output's sum."""
    parameters = {name: parameter.double() for name, parameter in layer.named_parameters()}
    with torch.enable_grad():
        places = torch.zeros(shape, dtype=torch.float64, device=weights.device, requires_grad=True)
        output = functional_call(layer, {**parameters, "weight": weights.double()}, places)
        return torch.autograd.grad(output.sum(), places)[0]
