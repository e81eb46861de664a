"""What is taken over a whole batch, where each of several processes has a part of it: batch norm, maximum, means.

Values and gradients are those of one process that has all samples.
"""

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function
from torch.nn.modules.batchnorm import _BatchNorm

from bkdsnn.contracts import Batch
from bkdsnn.errors import InputError

# Where layers are from that call torch's `_BatchNorm.forward`.
_NORMALISE_THROUGH_TORCH = ("torch.nn.", "spikingjelly.", "bkdsnn.layers.")


def synchronise_batch_norm(network: nn.Module, *, processes: int, device: torch.device) -> None:
    """Makes every batch norm of a network normalise by the whole batch, in place; one process: nothing changes.

    The layer stays what it is (multi-step, threshold-dependent), with the same parameters under the same names; only
    torch's `forward` under it is another: `SyncBatchNorm`'s on a GPU, on a CPU, which that does not know, our own.
    """
    if processes == 1:
        return
    base = SynchronisedNorm if device.type == "cpu" else nn.SyncBatchNorm
    for name, layer in network.named_modules():
        if not isinstance(layer, _BatchNorm):
            continue
        kind = type(layer)
        if not kind.__module__.startswith(_NORMALISE_THROUGH_TORCH):
            raise InputError(f"{name}: the statistics of a {kind.__name__} cannot be taken over {processes} processes")
        layer.__class__ = type(f"Synchronised{kind.__name__}", (kind, base), {"process_group": None})


class SynchronisedNorm(_BatchNorm):
    """Batch norm of `[B, C, ...]` by the mean and variance over B and all else of all processes."""

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            return super().forward(inputs)
        wide = inputs.to(torch.promote_types(inputs.dtype, torch.float32))
        normalised, mean, variance, count = _Standardise.apply(wide, self.eps)
        if self.track_running_stats:
            self.num_batches_tracked.add_(1)
            step = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            with torch.no_grad():
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), step)
                self.running_var.lerp_((variance * (count / (count - 1))).to(self.running_var.dtype), step)
        if self.affine:
            channels = (1, -1, *(1,) * (inputs.dim() - 2))
            normalised = normalised * self.weight.view(channels) + self.bias.view(channels)
        return normalised.to(inputs.dtype)


def several() -> bool:
    """Whether other processes work on the same batches."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def total(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes, without gradient."""
    if several():
        distributed.all_reduce(values)
    return values


def whole_means(terms: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    """Scalar means over this process's part of a batch become those over the whole batch, equal on every process."""
    own = torch.stack([term.detach() for term in terms.values()]) * batch.fraction
    return dict(zip(terms, total(own), strict=True))


def whole_rows(rows: Tensor) -> Tensor:
    """The rows `[B, ...]` of all processes in the order of the whole batch, without gradient."""
    if not several():
        return rows.detach()
    rank = distributed.get_rank()
    counts = torch.zeros(distributed.get_world_size(), dtype=torch.int64, device=rows.device)
    counts[rank] = len(rows)
    ends = total(counts).cumsum(0)
    everything = rows.new_zeros(int(ends[-1]), *rows.shape[1:])
    everything[ends[rank] - len(rows) : ends[rank]] = rows.detach()
    return total(everything)


def maximum(values: Tensor) -> Tensor:
    """The largest of all elements on all processes, a scalar; its gradient goes to where it is, ties divide it."""
    return _Maximum.apply(values) if several() else values.max()


class _Standardise(Function):
    """`(x - mean) / sqrt(variance + eps)` per channel, and the whole batch's mean, (biased) variance and count."""

    @staticmethod
    def forward(ctx, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        over = [dim for dim in range(x.dim()) if dim != 1]
        variance, mean = torch.var_mean(x, over, correction=0)
        own = torch.stack([mean, variance, torch.full_like(mean, x.numel() // x.shape[1])])  # [3, C]
        parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, own)
        means, variances, counts = torch.stack(parts).unbind(1)  # [processes, C]
        count = counts.sum(0)
        mean = (counts * means).sum(0) / count
        variance = (counts * (variances + (means - mean) ** 2)).sum(0) / count
        scale = (variance + eps).rsqrt()
        channels = (1, -1, *(1,) * (x.dim() - 2))
        normalised = (x - mean.view(channels)) * scale.view(channels)
        ctx.save_for_backward(normalised, scale, count)
        ctx.mark_non_differentiable(mean, variance, count)
        return normalised, mean, variance, count

    @staticmethod
    def backward(ctx, gradient: Tensor, *_: Tensor) -> tuple[Tensor, None]:
        normalised, scale, count = ctx.saved_tensors
        over = [dim for dim in range(gradient.dim()) if dim != 1]
        sums = total(torch.stack([gradient.sum(over), (gradient * normalised).sum(over)]))  # [2, C]
        channels = (1, -1, *(1,) * (gradient.dim() - 2))
        constant, linear = ((row / count).view(channels) for row in sums)
        return (gradient - constant - normalised * linear) * scale.view(channels), None


class _Maximum(Function):
    @staticmethod
    def forward(ctx, values: Tensor) -> Tensor:
        largest = values.max()
        distributed.all_reduce(largest, distributed.ReduceOp.MAX)
        where = values == largest
        ctx.save_for_backward(where, total(where.sum()))
        return largest

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        where, ties = ctx.saved_tensors
        return where * (total(gradient.clone()) / ties)
