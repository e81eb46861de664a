"""IF, LIF and PLIF neurons whose whole sequence of steps is one operator on a CPU.

They are SpikingJelly's classes: on any other device, or for what the kernels do not know, they run SpikingJelly's own
code, which picks its Triton or CUDA kernels there (also in mixed precision, as their membranes are float32).
"""

import copy
import math
from typing import Any

import torch
from spikingjelly.activation_based import neuron, surrogate
from torch import Tensor, nn

from bkdsnn.layers.fused import neuron_steps as steps
from bkdsnn.layers.fused.neuron_operator import DTYPES

_HALF = (torch.bfloat16, torch.float16)
_SURROGATES = {surrogate.Sigmoid: steps.SIGMOID, surrogate.ATan: steps.ATAN}


class Fused:
    """Runs the fused operator in place of a SpikingJelly neuron's `multi_step_forward`."""

    fused = True
    remembers = True  # its membranes at the end; a network that is reset at every forward has no use for them

    def multi_step_forward(self, x_seq: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not self._can_fuse(x_seq):
            return super().multi_step_forward(x_seq, *args, **kwargs)
        v = self.v if isinstance(self.v, Tensor) and self.v.shape == x_seq.shape[1:] else None
        rate, settings = self.numbers()
        spikes, after = torch.ops.bkdsnn.neuron(x_seq, v, rate, self.remembers, *settings)
        if self.remembers:
            self.v = after
        return spikes

    def materialize_states(self, inputs: tuple[Tensor, ...], states: tuple, step_mode: str) -> tuple:
        """Float32 membranes also for a bf16 or fp16 input: SpikingJelly's kernels ask for them.

        Its own are of the input's type, for which it has no kernel: it then goes step by step, operator by operator.
        """
        if step_mode != "m" or inputs[0].dtype not in _HALF:
            return super().materialize_states(inputs, states, step_mode)
        x, v = inputs[0][0], states[0]
        if not isinstance(v, Tensor) or v.shape != x.shape:
            v = torch.full(x.shape, self.v_reset or 0.0, dtype=torch.float32, device=x.device)
        return (v.to(x.device, torch.float32), *states[1:])

    def numbers(self) -> tuple[Tensor | None, tuple]:
        """1 / tau of a PLIF, and the settings that the operator takes."""
        tau, rate = self._decay()
        return rate, (
            tau,
            self.v_threshold,
            self.v_reset,
            self.surrogate_function.alpha,
            self.kind,
            getattr(self, "decay_input", True),
            _SURROGATES[type(self.surrogate_function)],
            self.detach_reset,
        )

    def at_rest_and_fusable(self, x_seq: Tensor) -> bool:
        """Whether spikes are all that comes of x, and depend on nothing before."""
        return self.step_mode == "m" and self._can_fuse(x_seq) and not self.remembers and not isinstance(self.v, Tensor)

    def _can_fuse(self, x_seq: Tensor) -> bool:
        return (
            self.fused
            and x_seq.device.type == "cpu"
            and x_seq.dtype in DTYPES
            and type(self.surrogate_function) in _SURROGATES
            and self.v_reset is not None
            and not self.store_v_seq
        )

    def _decay(self) -> tuple[float, Tensor | None]:
        """tau, and 1 / tau of a PLIF."""
        return 1.0, None


class IFNode(Fused, neuron.IFNode):
    kind = steps.IF


class LIFNode(Fused, neuron.LIFNode):
    @property
    def kind(self) -> int:
        return steps.PLIF if self._exact else steps.LIF

    def _decay(self) -> tuple[float, Tensor | None]:
        return 1 / self.tau if self._exact else self.tau, None

    @property
    def _exact(self) -> bool:
        """Whether to multiply by 1 / tau, as a PLIF does and which is faster, is to divide by tau, to the bit."""
        return math.frexp(self.tau)[0] == 0.5  # a power of 2


class ParametricLIFNode(Fused, neuron.ParametricLIFNode):
    kind = steps.PLIF

    def _decay(self) -> tuple[float, Tensor | None]:
        return 1.0, self.w.sigmoid()


def stock(node: nn.Module) -> nn.Module:
    """The same neuron, of SpikingJelly's own class, with the same parameters."""
    if not isinstance(node, Fused):
        return node
    plain = copy.copy(node)
    plain.__class__ = type(node).__bases__[1]
    return plain
