"""How tensors reach kernels that take flat buffers, and the threads that share the work."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

_WORTH_A_THREAD = 1 << 17  # values; fewer are done before another thread has woken up


def usable(sequence: Tensor) -> Tensor:
    """`[T, ...]` whose every step fills its memory without gaps, in any order of its dimensions; else a copy.

    The steps may lie anywhere, also all at one place (an expanded tensor).
    """
    expected = 1
    for stride, size in sorted(zip(sequence.stride()[1:], sequence.shape[1:], strict=True)):
        if size != 1:
            if stride != expected:
                return sequence.contiguous()
            expected *= size
    return sequence


def new_sequence(like: Tensor) -> Tensor:
    """An empty `[T, ...]` whose steps follow each other, each in the layout of a step of `like`."""
    return torch.empty_strided(like.shape, (like[0].numel(), *like.stride()[1:]), dtype=like.dtype, device=like.device)


def in_layout_of(target: Tensor, sequence: Tensor) -> Tensor:
    """The sequence, copied where its memory layout or type is not the target's."""
    if sequence.stride() == target.stride() and sequence.dtype == target.dtype:
        return sequence
    return torch.empty_like(target).copy_(sequence)


def channels_last(x: Tensor) -> Tensor:
    """`[B, C, H, W]` or `[T, B, C, H, W]` with the channels next to each other in memory; x itself where they are."""
    maps = x.flatten(0, -4)  # [T * B, C, H, W]
    return maps.contiguous(memory_format=torch.channels_last).unflatten(0, x.shape[:-3])


def gradient_channels_last(_module: nn.Module, _inputs: tuple[Tensor], output: object) -> None:
    """A forward hook: the gradient of a channels-last map is laid out like it.

    torch's batch norm is several times slower where the two differ.
    """
    if isinstance(output, Tensor) and output.dim() in (4, 5) and output.stride(-3) == 1 and output.requires_grad:
        output.register_hook(channels_last)


def flat(tensor: Tensor) -> np.ndarray:
    """A tensor's memory from its first value to its last; bfloat16 as uint16."""
    if tensor.numel() == 0:
        return tensor.numpy()
    length = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    memory = tensor.detach().as_strided((length,), (1,))
    return (memory.view(torch.uint16) if memory.dtype == torch.bfloat16 else memory).numpy()


def parallel(work: Callable[[int, int], None], size: int, *, grain: int, steps: int) -> None:
    """Calls `work(begin, end)` for parts of range(size) in as many threads as torch may use.

    Parts begin at multiples of `grain`; `steps` values belong to each place.
    """
    parts = max(1, min(torch.get_num_threads(), size * steps // _WORTH_A_THREAD))
    length = -(-size // (parts * grain)) * grain
    others = [_pool().submit(work, begin, min(begin + length, size)) for begin in range(length, size, length)]
    work(0, min(length, size))
    for other in others:
        other.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="bkdsnn")
