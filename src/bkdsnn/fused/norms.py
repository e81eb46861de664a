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

from bkdsnn.fused import pool_kernels
from bkdsnn.fused.memory import flat, parallel
from bkdsnn.fused.neurons import DTYPES, Fused, charge_and_fire, differentiate
from bkdsnn.fused.norm_kernels import CHUNK, add_moments, new_sums, per_channel, per_map, through_norm

_NORMS = (layer.BatchNorm2d, layer.ThresholdDependentBatchNorm2d)


def fuse_norms(network: nn.Module) -> None:
    """Makes one operator of every batch norm and what follows it in a Sequential; parameters keep their names."""
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            for norm, follower in pairwise(_in_order(module)):
                if type(norm) in _NORMS and "forward" not in vars(norm):
                    if isinstance(follower, Fused):
                        _WithNeuron(norm, follower)
                    elif type(follower) is layer.MaxPool2d:
                        _WithPool(norm, follower)


def _in_order(module: nn.Module) -> list[nn.Module]:
    """What a Sequential calls one after another, Sequentials in it too."""
    if type(module) is not nn.Sequential:
        return [module]
    return [inner for child in module for inner in _in_order(child)]


class _Pair:
    """In training the norm hands on what it is given, and the follower does the work of both."""

    def __init__(self, norm: nn.Module, follower: nn.Module) -> None:
        self.norm, self.follower, self.waits = norm, follower, False
        norm.forward, follower.forward = self._norm, self._follow

    def _norm(self, x: Tensor) -> Tensor:
        self.waits = _can_fuse(self.norm, x) and self.follower_can_fuse(x)
        return x if self.waits else type(self.norm).forward(self.norm, x)

    def _follow(self, x: Tensor) -> Tensor:
        if not self.waits:
            return type(self.follower).forward(self.follower, x)
        self.waits = False
        norm = self.norm
        output, mean, variance = self.both(x, norm.weight, norm.bias, norm.eps)
        count = x.numel() / x.shape[2]
        with torch.no_grad():
            norm.running_mean.lerp_(mean.to(norm.running_mean), norm.momentum)
            norm.running_var.lerp_((variance * (count / (count - 1))).to(norm.running_var), norm.momentum)
            norm.num_batches_tracked.add_(1)
        return output

    def follower_can_fuse(self, x: Tensor) -> bool:
        raise NotImplementedError

    def both(self, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        """The follower's output, and the mean and the (biased) variance per channel."""
        raise NotImplementedError


def _can_fuse(norm: nn.Module, x: Tensor) -> bool:
    return (
        norm.training
        and type(norm) in _NORMS  # one whose statistics several processes share is of another class
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
        and norm.step_mode == "m"
        and x.dim() == 5
        and x.device.type == "cpu"
        and x.dtype in DTYPES
        and x.numel() > x.shape[2]
        and x.stride(0) == x[0].numel()
        and x.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    )


class _WithNeuron(_Pair):
    def follower_can_fuse(self, x: Tensor) -> bool:
        neuron = self.follower
        return neuron.can_fuse(x) and not neuron.remembers and not isinstance(neuron.v, Tensor)

    def both(self, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        rate, settings = self.follower.numbers()
        return _NormAndNeuron.apply(x, weight, bias, eps, rate, settings)


class _WithPool(_Pair):
    def follower_can_fuse(self, x: Tensor) -> bool:
        pool = self.follower
        window = pool.kernel_size, pool.stride, pool.padding
        return (
            all(isinstance(size, int) for size in window)
            and pool.kernel_size <= 15  # places are bytes
            and pool.dilation == 1
            and not pool.ceil_mode
            and not pool.return_indices
            and pool.step_mode == "m"
        )

    def both(self, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        pool = self.follower
        return _NormAndPool.apply(x, weight, bias, eps, (pool.kernel_size, pool.stride, pool.padding))


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

    def backward(self, of_y: np.ndarray, product: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The weight's gradient, and factors `[3, C]` of y's gradient, x and 1 that give the gradient of x.

        From the sums of y's gradient, and of its product with x - mean.
        """
        of_weight = product / self.deviation
        of_x = -self.scale * of_weight / (self.deviation * self.count)
        return of_weight, np.stack([self.scale, of_x, -self.scale * of_y / self.count - of_x * self.mean])

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
    def backward(ctx, upstream: Tensor, *_: Tensor):
        x, weight, rate = ctx.saved_tensors
        gradient, _, of_rate, sums = differentiate(upstream, None, x, None, rate, ctx.settings, ctx.norm)
        of_bias, product = per_map(sums, x.shape[2])
        of_weight, factors = ctx.statistics.backward(of_bias, product)
        values, inputs, factors = flat(gradient), flat(x), per_channel(factors, _dtype(x))
        parallel(
            lambda begin, end: through_norm(values, inputs, factors, begin, end), values.size, grain=CHUNK, steps=1
        )
        of_weight, of_bias = (torch.from_numpy(part).to(weight.dtype) for part in (of_weight, of_bias))
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
    def backward(ctx, upstream: Tensor, *_: Tensor):
        x, weight, where = ctx.saved_tensors
        upstream = upstream.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        gradient = torch.empty_like(x)
        sums = np.zeros((len(where), 2, x.shape[2]), _dtype(x))
        buffers = flat(upstream), flat(where), flat(x)
        none = flat(gradient)[:0]
        _over_maps(pool_kernels.backward, (*buffers, ctx.statistics.mean[None].astype(_dtype(x)), sums, none), x, ctx)
        of_bias, product = sums.sum(0, dtype=np.float64)
        of_weight, factors = ctx.statistics.backward(of_bias, product)
        _over_maps(pool_kernels.backward, (*buffers, factors.astype(_dtype(x)), sums, flat(gradient)), x, ctx)
        of_weight, of_bias = (torch.from_numpy(part).to(weight.dtype) for part in (of_weight, of_bias))
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
