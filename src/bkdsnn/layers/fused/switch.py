"""What makes a network's training step faster and leaves its parameters, their names and its formulas as they are."""

import ctypes
import logging

import torch
from torch import Tensor, nn

from bkdsnn.layers.fused.batch_norms import make_exact
from bkdsnn.layers.fused.memory import channels_last, gradient_channels_last
from bkdsnn.layers.fused.neurons import Fused
from bkdsnn.layers.fused.norms import fuse_norms
from bkdsnn.params.recipe import Speed

log = logging.getLogger(__name__)

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # options in glibc's malloc.h


def apply_speed(network: nn.Module, settings: Speed) -> None:
    """Prepares a network on its device for training as the recipe says; its parameters stay as they lie in memory."""
    _keep_freed_memory()
    for module in network.modules():
        if isinstance(module, Fused):
            module.fused = settings.fused_neurons
            module.remembers = False  # a network is at rest at the start of every forward
        if isinstance(module, nn.Conv2d) and settings.channels_last:
            module.register_forward_pre_hook(_input_channels_last)
    if settings.compile and _compiler_works():
        network.forward = _Compiled(network)  # which lays out the gradients itself
        return
    make_exact(network)
    on_cpu = all(parameter.device.type == "cpu" for parameter in network.parameters())
    if settings.channels_last and on_cpu:  # elsewhere both would only cost the host time
        if settings.fused_neurons:
            fuse_norms(network)
        for module in network.modules():
            module.register_forward_hook(gradient_channels_last)


def _keep_freed_memory() -> None:
    """Lets the allocator keep what a step frees for the next: to have pages given anew takes a tenth of a step."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, 1 << 30) or set_option(_MMAP_THRESHOLD, 1 << 25)  # the most that older glibcs take
        set_option(_TRIM_THRESHOLD, (1 << 31) - 1)


def _input_channels_last(_module: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    """The input of a convolution: then the output lies like it, and so on."""
    return channels_last(inputs[0])


class _Compiled:
    """A forward that is compiled for training with one shape of inputs, and eager for all else: one compilation."""

    def __init__(self, network: nn.Module) -> None:
        self._network, self._eager, self._shape = network, network.forward, None
        torch._inductor.config.deterministic = True  # no choice of kernels by their times
        self._compiled = torch.compile(network.forward, dynamic=False)

    def __call__(self, inputs: Tensor):
        if not self._network.training or self._shape not in (None, inputs.shape):
            return self._eager(inputs)
        self._shape = inputs.shape
        return self._compiled(inputs)


def _compiler_works() -> bool:
    """Whether this machine can compile for its devices (Triton and C++ need a compiler); if not, one line says so."""
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.ones(8, device=device))
    except Exception as error:  # whatever a compiler that is missing or broken raises
        reason = " ".join(str(error).split())[:200]
        log.warning("compile: no compiler works here, the student runs eagerly (%s: %s)", type(error).__name__, reason)
        return False
    return True
