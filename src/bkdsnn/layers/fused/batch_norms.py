"""Batch norms whose statistics on a CPU are exact, whatever the layout of the maps and the number of threads.

torch's own kernel adds up channels-last maps, and bfloat16 in any layout, value by value in single precision.
"""

import torch
from spikingjelly.activation_based import layer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bkdsnn.layers.fused.neuron_operator import DTYPES
from bkdsnn.layers.fused.norm_operators import Norm


class Exact(_BatchNorm):
    """What normalises maps `[B, C, H, W]` below the layers of torch and SpikingJelly: our operator where it can.

    Else torch's kernel over values in single precision, channel by channel, which it adds up in double precision.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        if type(self) not in _KINDS.values() or not self.training or inputs.device.type != "cpu":
            return super().forward(inputs)
        if not can_normalise(self, inputs):
            wide = inputs.to(torch.promote_types(inputs.dtype, torch.float32)).contiguous()
            return super().forward(wide).to(inputs.dtype)
        output, mean, variance = Norm.apply(inputs, self.weight, self.bias, self.eps)
        track(self, mean, variance, count=inputs.numel() / inputs.shape[1])
        return output


class TorchBatchNorm2d(nn.BatchNorm2d, Exact):
    pass


class BatchNorm2d(layer.BatchNorm2d, Exact):
    pass


class ThresholdDependentBatchNorm2d(layer.ThresholdDependentBatchNorm2d, Exact):
    pass


_KINDS = {kind.__bases__[0]: kind for kind in (TorchBatchNorm2d, BatchNorm2d, ThresholdDependentBatchNorm2d)}


def make_exact(network: nn.Module) -> None:
    """Gives every batch norm of a network exact statistics, in place; its parameters and their names stay."""
    for module in network.modules():
        module.__class__ = _KINDS.get(type(module), type(module))


def can_normalise(norm: nn.Module, maps: Tensor) -> bool:
    """Whether our operators know this training norm and these maps `[B, C, H, W]`."""
    return (
        type(norm) in _KINDS.values()  # one whose statistics several processes share is of another class
        and norm.training
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
        and type(maps) is Tensor
        and maps.dim() == 4
        and maps.device.type == "cpu"
        and maps.dtype in DTYPES
        and maps.shape[1] == norm.num_features
        and maps.numel() > maps.shape[1]
        and maps.is_contiguous(memory_format=torch.channels_last)
    )


def track(norm: nn.Module, mean: Tensor, variance: Tensor, *, count: float) -> None:
    """Moves a norm's running statistics towards the (biased) ones `[C]` of a batch of `count` values per channel."""
    unbiased = variance * (count / (count - 1))
    for running, found in ((norm.running_mean, mean), (norm.running_var, unbiased)):
        running.data.lerp_(found.to(running), norm.momentum)  # .data: torch's norm, too, changes what a graph may hold
    norm.num_batches_tracked.add_(1)
