"""Spiking neurons with every parameter said, and the base of all spiking networks."""

from typing import Literal

from pydantic import Field
from spikingjelly.activation_based import functional, neuron, surrogate
from torch import nn

from bkdsnn.params import Closed

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


def make_neuron(settings: NeuronSettings) -> nn.Module:
    """A multi-step neuron that maps currents `[T, ...]` to spikes `[T, ...]`."""
    common = {
        "v_threshold": settings.v_threshold,
        "v_reset": settings.v_reset,
        "detach_reset": settings.detach_reset,
        "surrogate_function": _SURROGATES[settings.surrogate](alpha=settings.surrogate_alpha),
        "step_mode": "m",
        "store_v_seq": False,
    }
    if settings.kind == "if":
        return neuron.IFNode(**common)
    if settings.kind == "lif":
        return neuron.LIFNode(tau=settings.tau, decay_input=settings.decay_input, **common)
    return neuron.ParametricLIFNode(init_tau=settings.tau, decay_input=settings.decay_input, **common)


class SpikingNetwork(nn.Module):
    """A network whose membranes are at rest at the start of every forward: no caller ever resets."""

    def __init__(self) -> None:
        super().__init__()
        self.register_forward_pre_hook(_reset)


def _reset(network: nn.Module, _inputs: tuple) -> None:
    functional.reset_net(network)
