"""Spiking neurons with every parameter said, and the base of all spiking networks."""

from collections.abc import Callable
from typing import Literal

from pydantic import Field
from spikingjelly.activation_based import functional, layer, surrogate
from torch import Tensor, nn

from bkdsnn.errors import InputError
from bkdsnn.layers.fused import neurons
from bkdsnn.params.recipe import Closed

_SURROGATES = {"sigmoid": surrogate.Sigmoid, "atan": surrogate.ATan}


class NeuronSettings(Closed):
    """A spiking neuron with hard reset; SpikingJelly's own defaults have changed between versions and are not used."""

    kind: Literal["if", "lif", "plif"]
    tau: float = Field(gt=1.0, description="membrane time constant in steps; initial value for plif, unused by if")
    v_threshold: float = Field(gt=0.0)
    v_reset: float
    decay_input: bool
    detach_reset: bool
    surrogate: Literal["sigmoid", "atan"]
    surrogate_alpha: float = Field(gt=0.0)


def make_neuron(settings: NeuronSettings | None) -> nn.Module:
    """A multi-step neuron that maps currents `[T, ...]` to spikes `[T, ...]`; None: a ReLU, for an ANN twin."""
    if settings is None:
        return nn.ReLU()
    common = {
        "v_threshold": settings.v_threshold,
        "v_reset": settings.v_reset,
        "detach_reset": settings.detach_reset,
        "surrogate_function": _SURROGATES[settings.surrogate](alpha=settings.surrogate_alpha),
        "step_mode": "m",
        "store_v_seq": False,
    }
    if settings.kind == "if":
        return neurons.IFNode(**common)
    if settings.kind == "lif":
        return neurons.LIFNode(tau=settings.tau, decay_input=settings.decay_input, **common)
    return neurons.ParametricLIFNode(init_tau=settings.tau, decay_input=settings.decay_input, **common)


def conv_bn(width: int, next_width: int, kernel: int, *, stride: int = 1, bias: bool = False) -> nn.Sequential:
    """A multi-step convolution that keeps the map's size (but for the stride), and batch norm over T*B."""
    return nn.Sequential(
        layer.Conv2d(width, next_width, kernel, stride, padding=kernel // 2, bias=bias, step_mode="m"),
        layer.BatchNorm2d(next_width, step_mode="m"),
    )


def encode(stem: Callable[[Tensor], Tensor], inputs: Tensor, *, time_steps: int) -> Tensor:
    """A multi-step stem's currents `[T, B, C, H, W]` for images `[B, C, H, W]` or event frames `[B, T, C, H, W]`.

    Images are encoded directly: the stem sees them once, and its current feeds every step. `InputError` where a data
    set has another number of frames.
    """
    if inputs.dim() == 4:
        return stem(inputs.unsqueeze(0)).expand(time_steps, -1, -1, -1, -1)
    if inputs.shape[1] != time_steps:
        raise InputError(f"time_steps is {time_steps}, the data set has {inputs.shape[1]} frames per sample")
    return stem(inputs.transpose(0, 1))


class SpikingNetwork(nn.Module):
    """A network whose membranes are at rest at the start of every forward: no caller ever resets."""

    def __init__(self) -> None:
        super().__init__()
        self.register_forward_pre_hook(_reset)


def _reset(network: nn.Module, _inputs: tuple) -> None:
    functional.reset_net(network)
