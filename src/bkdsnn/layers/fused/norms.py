"""A batch norm and what directly follows it, a neuron or max-pooling, as one operator on a CPU.

The normalised maps are neither written nor kept for the backward.
"""

from itertools import pairwise

from spikingjelly.activation_based import layer
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from bkdsnn.layers.fused.batch_norms import can_normalise, track
from bkdsnn.layers.fused.memory import gradient_channels_last
from bkdsnn.layers.fused.neurons import Fused
from bkdsnn.layers.fused.norm_operators import NormAndNeuron, NormAndPool


def fuse_norms(network: nn.Module) -> None:
    """Lets every Sequential of a network run its exact batch norms together with what follows them.

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
        output, mean, variance = NormAndNeuron.apply(x, norm.weight, norm.bias, norm.eps, *follower.numbers())
    elif type(follower) is layer.MaxPool2d and _can_pool(follower, x):
        window = follower.kernel_size, follower.stride, follower.padding
        output, mean, variance = NormAndPool.apply(x, norm.weight, norm.bias, norm.eps, window)
    else:
        return None
    track(norm, mean, variance, count=x.numel() / x.shape[2])
    return output


def _can_normalise(norm: nn.Module, x: Tensor) -> bool:
    return (
        getattr(norm, "step_mode", None) == "m"
        and x.dim() == 5
        and x.stride(0) == x[0].numel()
        and (x.shape[1] == 1 or x.stride(1) == x[0, 0].numel())
        and can_normalise(norm, x.flatten(0, 1))
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
