"""IF, LIF and PLIF neurons whose whole sequence of steps is one operator on a CPU.

They are SpikingJelly's classes: on any other device, or for what the kernels do not know, they run SpikingJelly's own
code, which picks its Triton or CUDA kernels there.
"""

from typing import Any

import torch
from spikingjelly.activation_based import neuron, surrogate
from torch import Tensor

from bkdsnn import neuron_kernels as kernels
from bkdsnn.dense import flat, in_layout_of, new_sequence, parallel, usable

_SURROGATES = {surrogate.Sigmoid: kernels.SIGMOID, surrogate.ATan: kernels.ATAN}
_SCHEMA = "float tau, float threshold, float reset, float alpha, int kind, bool decay_input, int surrogate, bool detach"
_DTYPES = (torch.float32, torch.float64, torch.bfloat16)


class _Fused:
    """Runs the fused operator in place of a SpikingJelly neuron's `multi_step_forward`."""

    fused = True

    def multi_step_forward(self, x_seq: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not self._can_fuse(x_seq):
            return super().multi_step_forward(x_seq, *args, **kwargs)
        v = self.v if isinstance(self.v, Tensor) and self.v.shape == x_seq.shape[1:] else None
        tau, rate = self._decay()
        spikes, self.v = torch.ops.bkdsnn.neuron(
            x_seq,
            v,
            rate,
            tau,
            self.v_threshold,
            self.v_reset,
            self.surrogate_function.alpha,
            self.kind,
            getattr(self, "decay_input", True),
            _SURROGATES[type(self.surrogate_function)],
            self.detach_reset,
        )
        return spikes

    def _can_fuse(self, x_seq: Tensor) -> bool:
        return (
            self.fused
            and x_seq.device.type == "cpu"
            and x_seq.dtype in _DTYPES
            and type(self.surrogate_function) in _SURROGATES
            and self.v_reset is not None
            and not self.store_v_seq
        )

    def _decay(self) -> tuple[float, Tensor | None]:
        """tau, and 1 / tau of a PLIF."""
        return 1.0, None


class IFNode(_Fused, neuron.IFNode):
    kind = kernels.IF


class LIFNode(_Fused, neuron.LIFNode):
    kind = kernels.LIF

    def _decay(self) -> tuple[float, Tensor | None]:
        return self.tau, None


class ParametricLIFNode(_Fused, neuron.ParametricLIFNode):
    kind = kernels.PLIF

    def _decay(self) -> tuple[float, Tensor | None]:
        return 1.0, self.w.sigmoid()


def _membranes(x: Tensor, v: Tensor | None, reset: float) -> Tensor:
    """A copy of the membranes before the first step, in the layout of one step of x."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    membranes = torch.empty_strided(x.shape[1:], x.stride()[1:], dtype=dtype)
    return membranes.fill_(reset) if v is None else membranes.copy_(v)


def _constants(membranes: Tensor, rate: Tensor | None, *values: float):
    decay = values[0] if rate is None else rate.item()
    return torch.tensor([decay, *values[1:]], dtype=membranes.dtype).numpy()


def _neuron(x, v, rate, tau, threshold, reset, alpha, kind, decay_input, surrogate, detach):
    x = usable(x)
    membranes, spikes = _membranes(x, v, reset), new_sequence(x)
    constants = _constants(membranes, rate, tau, threshold, reset, alpha)
    size = membranes.numel()
    buffers = flat(x), x.stride(0), flat(membranes), flat(spikes)
    parallel(
        lambda begin, end: kernels.forward(*buffers, begin, end, size, constants, kind, decay_input),
        size,
        grain=kernels.BLOCK,
        steps=len(x),
    )
    return spikes, membranes


def _neuron_backward(
    upstream, carry, x, v, rate, tau, threshold, reset, alpha, kind, decay_input, surrogate, detach
):
    x = usable(x)
    membranes, gradient = _membranes(x, v, reset), new_sequence(x)
    carry = torch.zeros_like(membranes) if carry is None else torch.empty_like(membranes).copy_(carry)
    constants = _constants(membranes, rate, tau, threshold, reset, alpha)
    size = membranes.numel()
    sums = torch.zeros(-(-size // kernels.BLOCK), dtype=torch.float64)
    upstream = in_layout_of(gradient, upstream)
    buffers = flat(x), x.stride(0), flat(membranes), flat(upstream), flat(carry), flat(gradient), flat(sums)
    parallel(
        lambda begin, end: kernels.backward(
            *buffers, begin, end, size, constants, kind, decay_input, surrogate, detach
        ),
        size,
        grain=kernels.BLOCK,
        steps=len(x),
    )
    return gradient, carry, sums.sum().to(membranes.dtype)


def _fake(x, v, rate, *_settings):
    x = usable(x)
    return new_sequence(x), _membranes(x, None, 0.0)


def _fake_backward(_upstream, _carry, x, *_settings):
    x = usable(x)
    membranes = _membranes(x, None, 0.0)
    return new_sequence(x), membranes, membranes.new_empty(())


def _save(ctx, inputs, output) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:3])
    ctx.settings = inputs[3:]


def _differentiate(ctx, upstream, carry):
    x, v, rate = ctx.saved_tensors
    if upstream is None:
        upstream = torch.zeros_like(x)
    gradient, before, of_rate = torch.ops.bkdsnn.neuron_backward(upstream, carry, x, v, rate, *ctx.settings)
    before = None if v is None else before.to(v.dtype)
    of_rate = None if rate is None else of_rate.to(rate.dtype)
    return gradient, before, of_rate, *([None] * len(ctx.settings))


_library = torch.library.Library("bkdsnn", "DEF")
_library.define(f"neuron(Tensor x, Tensor? v, Tensor? rate, {_SCHEMA}) -> (Tensor, Tensor)")
_library.define(
    f"neuron_backward(Tensor upstream, Tensor? carry, Tensor x, Tensor? v, Tensor? rate, {_SCHEMA})"
    " -> (Tensor, Tensor, Tensor)"
)
_library.impl("neuron", _neuron, "CPU")
_library.impl("neuron_backward", _neuron_backward, "CPU")
torch.library.register_fake("bkdsnn::neuron", _fake, lib=_library)
torch.library.register_fake("bkdsnn::neuron_backward", _fake_backward, lib=_library)
torch.library.register_autograd("bkdsnn::neuron", _differentiate, setup_context=_save, lib=_library)
