"""Autograd functions of a batch norm, alone or with the neuron or max-pooling behind it, over compiled kernels.

They take channels-last maps, give the norm's mean and variance too, and in the backward compute anew what was
normalised.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from bkdsnn.layers.fused import pool_kernels
from bkdsnn.layers.fused.memory import channels_last, flat, parallel
from bkdsnn.layers.fused.neuron_operator import charge_and_fire, differentiate
from bkdsnn.layers.fused.norm_kernels import (
    CHUNK,
    add_gradients,
    add_moments,
    new_sums,
    normalise_all,
    per_channel,
    per_map,
    through_norm,
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
        values, channels = flat(x), x.shape[-3]
        first = x.detach().flatten(0, -4)[0, :, 0, 0].double().numpy()  # as near the mean as values to each other
        origin = per_channel(first[None], _dtype(x))[0]
        sums = new_sums(values.size, channels, _dtype(x))
        _over_values(add_moments, values, origin, sums)
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


def _over_values(kernel: Callable, *buffers: np.ndarray) -> None:
    """Calls a kernel for all values of the first buffer."""
    parallel(lambda begin, end: kernel(*buffers, begin, end), buffers[0].size, grain=CHUNK, steps=1)


class Norm(Function):
    """The normalised x, and the mean and variance of its channels."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, eps: float):
        ctx.statistics = _Statistics.of(x, weight, bias, eps)
        ctx.norm = per_channel(ctx.statistics.rows(), _dtype(x))
        ctx.save_for_backward(x, weight)
        normalised = torch.empty_like(x)
        _over_values(normalise_all, flat(x), ctx.norm, flat(normalised))
        mean, variance = ctx.statistics.tensors()
        ctx.mark_non_differentiable(mean, variance)
        return normalised, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream: Tensor, *_: Tensor):
        x, weight = ctx.saved_tensors
        x, upstream = channels_last(x), channels_last(upstream)
        gradient, channels = torch.empty_like(x), x.shape[1]
        buffers, sums = (flat(upstream), flat(x)), new_sums(x.numel(), channels, _dtype(x))
        _over_values(add_gradients, *buffers, ctx.norm, sums)
        of_weight, of_bias, factors = ctx.statistics.backward(per_map(sums, channels), weight)
        _over_values(through_norm, *buffers, per_channel(factors, _dtype(x)), flat(gradient))
        return gradient, of_weight, of_bias, None


class NormAndNeuron(Function):
    """Spikes of the normalised x, and the mean and variance of its channels."""

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
        _over_values(through_norm, flat(gradient), flat(x), per_channel(factors, _dtype(x)), flat(gradient))
        return gradient, of_weight, of_bias, None, None if rate is None else of_rate.to(rate.dtype), None


class NormAndPool(Function):
    """The largest of the normalised x in every window, and the mean and variance of its channels."""

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
