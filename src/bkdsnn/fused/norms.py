"""A batch norm and what directly follows it, a neuron or max-pooling, as one operator on a CPU.

The normalised maps are neither written nor kept for the backward.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import torch
from spikingjelly.activation_based import layer
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.modules.module import _has_any_global_hook

from bkdsnn.fused import pool_kernels
from bkdsnn.fused.memory import channels_last, flat, gradient_channels_last, parallel
from bkdsnn.fused.neurons import DTYPES, Fused, charge_and_fire, differentiate
from bkdsnn.fused.norm_kernels import CHUNK, add_moments, new_sums, per_channel, per_map, through_norm

_NORMS = (layer.BatchNorm2d, layer.ThresholdDependentBatchNorm2d)


def fuse_norms(network: nn.Module) -> None:
    """Lets every Sequential of a network run its batch norms together with what follows them.

    Layers that somebody watches by a hook, or whose forward is another, are called as ever.
    """
    for module in network.modules():
        if type(module) is nn.Sequential:
            module.__class__ = _Joined


class _Joined(nn.Sequential):
    def forward(self, input: Tensor) -> Tensor:
        x, joined = input, False
        for module, follower in pairwise([*_in_order(self), None]):
            if joined:  # with the one before
                joined = False
                continue
            both = None if _watched(module) or _watched(follower) else _both(module, follower, x)
            joined = both is not None
            x = both if joined else module(x)
        return x


def _in_order(sequence: nn.Sequential) -> list[nn.Module]:
    """What is called one after another, in Sequentials within it too."""
    layers = []
    for module in sequence:
        layers += _in_order(module) if type(module) is _Joined and not _watched(module) else [module]
    return layers


def _watched(module: nn.Module | None) -> bool:
    if module is None:
        return False
    before_and_after = {**module._forward_pre_hooks, **module._forward_hooks}
    return (
        any(hook is not gradient_channels_last for hook in before_and_after.values())
        or any((module._backward_pre_hooks, module._backward_hooks))
        or "forward" in vars(module)
        or _has_any_global_hook()
    )


def _both(norm: nn.Module, follower: nn.Module | None, x: Tensor) -> Tensor | None:
    """What the follower makes of the normalised x; None where there is no one operator for the two."""
    if not _can_normalise(norm, x):
        return None
    if isinstance(follower, Fused) and follower.at_rest_and_fusable(x):
        output, mean, variance = _NormAndNeuron.apply(x, norm.weight, norm.bias, norm.eps, *follower.numbers())
    elif type(follower) is layer.MaxPool2d and _can_pool(follower, x):
        window = follower.kernel_size, follower.stride, follower.padding
        output, mean, variance = _NormAndPool.apply(x, norm.weight, norm.bias, norm.eps, window)
    else:
        return None
    count = x.numel() / x.shape[2]
    unbiased = variance * (count / (count - 1))
    for running, found in ((norm.running_mean, mean), (norm.running_var, unbiased)):
        running.data.lerp_(found.to(running), norm.momentum)  # .data: torch's norm, too, changes what a graph may hold
    norm.num_batches_tracked.add_(1)
    return output


def _can_normalise(norm: nn.Module, x: Tensor) -> bool:
    return (
        type(norm) in _NORMS  # one whose statistics several processes share is of another class
        and norm.training
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
        and norm.step_mode == "m"
        and type(x) is Tensor
        and x.dim() == 5
        and x.device.type == "cpu"
        and x.dtype in DTYPES
        and x.numel() > x.shape[2]
        and x.stride(0) == x[0].numel()
        and (x.shape[1] == 1 or x.stride(1) == x[0, 0].numel())
        and x.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    )


def _can_pool(pool: nn.Module, x: Tensor) -> bool:
    return (
        all(isinstance(size, int) for size in (pool.kernel_size, pool.stride, pool.padding))
        and pool.kernel_size <= 15  # places are bytes
        and 2 * pool.padding <= pool.kernel_size <= min(x.shape[-2:]) + 2 * pool.padding
        and pool.dilation == 1
        and not pool.ceil_mode
        and not pool.return_indices
        and pool.step_mode == "m"
    )


@dataclass(frozen=True)
class _Statistics:
    """A norm's numbers per channel `[C]` for one batch, in float64: y = (x - mean) / deviation * weight + bias."""

    mean: np.ndarray
    variance: np.ndarray
    deviation: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    count: float

    @classmethod
    def of(cls, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Self:
        values, channels = flat(x), x.shape[2]
        first = x[0, 0, :, 0, 0].detach().double().numpy()  # as near to the mean as values are to each other
        origin = per_channel(first[None], _dtype(x))[0]
        sums = new_sums(values.size, channels, _dtype(x))
        parallel(lambda begin, end: add_moments(values, origin, sums, begin, end), values.size, grain=CHUNK, steps=1)
        count = values.size / channels
        mean, square = per_map(sums, channels) / count
        variance = np.maximum(square - mean**2, 0)
        deviation = np.sqrt(variance + eps)
        scale = weight.detach().double().numpy() / deviation
        mean = first + mean
        return cls(mean, variance, deviation, scale, bias.detach().double().numpy() - mean * scale, count)

    def rows(self) -> np.ndarray:
        """What kernels normalise by: scale, shift and mean `[3, C]`."""
        return np.stack([self.scale, self.shift, self.mean])

    def backward(self, sums: np.ndarray, weight: Tensor) -> tuple[Tensor, Tensor, np.ndarray]:
        """The gradients of weight and bias, and factors `[3, C]` of y's gradient, x and 1 that give x's gradient.

        From the sums `[2, C]` of y's gradient and of its product with x - mean.
        """
        of_bias, product = sums
        of_weight = product / self.deviation
        of_x = -self.scale * of_weight / (self.deviation * self.count)
        factors = np.stack([self.scale, of_x, -self.scale * of_bias / self.count - of_x * self.mean])
        return *(torch.from_numpy(part).to(weight.dtype) for part in (of_weight, of_bias)), factors

    def tensors(self) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self.mean), torch.from_numpy(self.variance)


def _dtype(x: Tensor) -> type:
    return np.float64 if x.dtype == torch.float64 else np.float32


class _NormAndNeuron(Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, eps: float, rate: Tensor | None, settings: tuple):
        ctx.statistics, ctx.settings = _Statistics.of(x, weight, bias, eps), settings
        ctx.norm = per_channel(ctx.statistics.rows(), _dtype(x))
        ctx.save_for_backward(x, weight, rate)
        spikes, _ = charge_and_fire(x, None, rate, False, settings, ctx.norm)
        mean, variance = ctx.statistics.tensors()
        ctx.mark_non_differentiable(mean, variance)
        return spikes, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream: Tensor, *_: Tensor):
        x, weight, rate = ctx.saved_tensors
        x = channels_last(x)  # somebody's hook on saved tensors may have changed that
        gradient, _, of_rate, sums = differentiate(upstream, None, x, None, rate, ctx.settings, ctx.norm)
        of_weight, of_bias, factors = ctx.statistics.backward(per_map(sums, x.shape[2]), weight)
        values, inputs, factors = flat(gradient), flat(x), per_channel(factors, _dtype(x))
        parallel(
            lambda begin, end: through_norm(values, inputs, factors, begin, end), values.size, grain=CHUNK, steps=1
        )
        return gradient, of_weight, of_bias, None, None if rate is None else of_rate.to(rate.dtype), None


class _NormAndPool(Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, eps: float, window: tuple[int, int, int]):
        time_steps, batch, channels, height, width = x.shape
        kernel, stride, padding = window
        rows, columns = ((size + 2 * padding - kernel) // stride + 1 for size in (height, width))
        maps = time_steps * batch, channels, rows, columns
        pooled, where = (
            torch.empty(maps, dtype=dtype, memory_format=torch.channels_last) for dtype in (x.dtype, torch.uint8)
        )
        ctx.statistics, ctx.window = _Statistics.of(x, weight, bias, eps), window
        ctx.sizes = channels, height, width, rows, columns
        ctx.save_for_backward(x, weight, where)
        buffers = flat(x), ctx.statistics.rows().astype(_dtype(x)), flat(pooled), flat(where)
        _over_maps(pool_kernels.forward, buffers, x, ctx)
        mean, variance = ctx.statistics.tensors()
        ctx.mark_non_differentiable(mean, variance)
        return pooled.unflatten(0, x.shape[:2]), mean, variance  # [T, B, C, H', W']

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream: Tensor, *_: Tensor):
        x, weight, where = ctx.saved_tensors
        x, where, upstream = channels_last(x), channels_last(where), channels_last(upstream)
        gradient = torch.empty_like(x)
        sums = np.zeros((len(where), 2, x.shape[2]), _dtype(x))
        buffers = flat(upstream), flat(where), flat(x)
        _over_maps(pool_kernels.add_gradients, (*buffers, ctx.statistics.mean.astype(_dtype(x)), sums), x, ctx)
        of_weight, of_bias, factors = ctx.statistics.backward(sums.sum(0, dtype=np.float64), weight)
        _over_maps(pool_kernels.backward, (*buffers, factors.astype(_dtype(x)), flat(gradient)), x, ctx)
        return gradient, of_weight, of_bias, None, None


def _over_maps(kernel, buffers: tuple, x: Tensor, ctx) -> None:
    """Calls a kernel for all T * B maps of x."""
    maps = x.flatten(0, 1)
    parallel(
        lambda begin, end: kernel(*buffers, begin, end, ctx.sizes, ctx.window),
        len(maps),
        grain=1,
        steps=maps[0].numel(),
    )
