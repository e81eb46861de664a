"""IF, LIF and PLIF neurons whose whole sequence of steps is one operator on a CPU.

They are SpikingJelly's classes: on any other device, or for what the kernels do not know, they run SpikingJelly's own
code, which picks its Triton or CUDA kernels there.
"""

import copy
import math
from typing import Any

import torch
from spikingjelly.activation_based import neuron, surrogate
from torch import Tensor, nn

from bkdsnn.fused import neuron_kernels as kernels
from bkdsnn.fused.memory import flat, in_layout_of, new_sequence, parallel, usable
from bkdsnn.fused.norm_kernels import CHUNK, NO_NORM, new_sums
from bkdsnn.fused.numbers import BLOCK

_SURROGATES = {surrogate.Sigmoid: kernels.SIGMOID, surrogate.ATan: kernels.ATAN}
_SCHEMA = "float tau, float threshold, float reset, float alpha, int kind, bool decay_input, int surrogate, bool detach"
DTYPES = (torch.float32, torch.float64, torch.bfloat16)


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
    kind = kernels.IF


class LIFNode(Fused, neuron.LIFNode):
    @property
    def kind(self) -> int:
        return kernels.PLIF if self._exact else kernels.LIF

    def _decay(self) -> tuple[float, Tensor | None]:
        return 1 / self.tau if self._exact else self.tau, None

    @property
    def _exact(self) -> bool:
        """Whether to multiply by 1 / tau, as a PLIF does and which is faster, is to divide by tau, to the bit."""
        return math.frexp(self.tau)[0] == 0.5  # a power of 2


class ParametricLIFNode(Fused, neuron.ParametricLIFNode):
    kind = kernels.PLIF

    def _decay(self) -> tuple[float, Tensor | None]:
        return 1.0, self.w.sigmoid()


def stock(node: nn.Module) -> nn.Module:
    """The same neuron, of SpikingJelly's own class, with the same parameters."""
    if not isinstance(node, Fused):
        return node
    plain = copy.copy(node)
    plain.__class__ = type(node).__bases__[1]
    return plain


def _membranes(x: Tensor, v: Tensor | None) -> Tensor:
    """Membranes in the layout of one step of x, float32 but for float64; none (empty) for None."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    if v is None:
        return torch.empty(0, dtype=dtype, device=x.device)
    if v.stride() == x.stride()[1:] and v.dtype == dtype:
        return v
    return torch.empty_strided(x.shape[1:], x.stride()[1:], dtype=dtype, device=x.device).copy_(v)


def _new_membranes(x: Tensor, wanted: bool) -> Tensor:
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    shape, stride = (x.shape[1:], x.stride()[1:]) if wanted else ((0,), (1,))
    return torch.empty_strided(shape, stride, dtype=dtype, device=x.device)


def _neuron(x, v, rate, keep, *settings):
    return charge_and_fire(usable(x), v, rate, keep, settings)


def charge_and_fire(x, v, rate, keep, settings, norm=NO_NORM):
    """Spikes and, if kept, membranes at the end, of a usable x; `norm` as in neuron_kernels."""
    tau, threshold, reset, alpha, kind, decay_input, _, _ = settings
    spikes, after = new_sequence(x), _new_membranes(x, keep)
    constants = _constants(after, rate, tau, threshold, reset, alpha)
    norm = norm.astype(constants.dtype, copy=False)
    buffers = flat(x), x.stride(0), flat(_membranes(x, v)), flat(after), flat(spikes), norm
    size = x[0].numel()
    parallel(
        lambda begin, end: kernels.forward(*buffers, begin, end, size, constants, kind, decay_input),
        size,
        grain=BLOCK,
        steps=len(x),
    )
    return spikes, after


def _neuron_backward(upstream, carry, x, v, rate, *settings):
    gradient, of_before, of_rate, _ = differentiate(upstream, carry, usable(x), v, rate, settings)
    return gradient, of_before, of_rate


def differentiate(upstream, carry, x, v, rate, settings, norm=NO_NORM):
    """The gradients of the currents, of v and of the rate, and sums over the currents' where there is a norm."""
    tau, threshold, reset, alpha, *kinds = settings
    size = x[0].numel()
    gradient, of_before = new_sequence(x), _new_membranes(x, v is not None)
    totals = torch.empty(0 if rate is None else -(-size // BLOCK), dtype=torch.float64)
    constants = _constants(of_before, rate, tau, threshold, reset, alpha)
    norm = norm.astype(constants.dtype, copy=False)
    sums = new_sums(size if norm.size else 0, norm.shape[1] - BLOCK, constants.dtype)
    tensors = _membranes(x, v), in_layout_of(gradient, upstream), _membranes(x, carry), gradient, of_before, totals
    buffers = flat(x), x.stride(0), *map(flat, tensors), norm, sums
    parallel(
        lambda begin, end: kernels.backward(*buffers, begin, end, size, constants, *kinds),
        size,
        grain=CHUNK if norm.size else BLOCK,
        steps=len(x),
    )
    return gradient, of_before, totals.sum().to(of_before.dtype), sums


def _constants(like: Tensor, rate: Tensor | None, tau: float, *others: float):
    return torch.tensor([tau if rate is None else rate.item(), *others], dtype=like.dtype).numpy()


def _fake(x, _v, _rate, keep, *_settings):
    x = usable(x)
    return new_sequence(x), _new_membranes(x, keep)


def _fake_backward(_upstream, _carry, x, v, *_settings):
    x = usable(x)
    of_before = _new_membranes(x, v is not None)
    return new_sequence(x), of_before, of_before.new_empty(())


def _save(ctx, inputs, output) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:3])
    ctx.settings = inputs[4:]


def _differentiate(ctx, upstream, carry):
    x, v, rate = ctx.saved_tensors
    if upstream is None:
        upstream = torch.zeros_like(x)
    gradient, before, of_rate = torch.ops.bkdsnn.neuron_backward(upstream, carry, x, v, rate, *ctx.settings)
    before = None if v is None else before.to(v.dtype)
    of_rate = None if rate is None else of_rate.to(rate.dtype)
    return gradient, before, of_rate, None, *([None] * len(ctx.settings))


_library = torch.library.Library("bkdsnn", "DEF")
_library.define(f"neuron(Tensor x, Tensor? v, Tensor? rate, bool keep, {_SCHEMA}) -> (Tensor, Tensor)")
_library.define(
    f"neuron_backward(Tensor upstream, Tensor? carry, Tensor x, Tensor? v, Tensor? rate, {_SCHEMA})"
    " -> (Tensor, Tensor, Tensor)"
)
_library.impl("neuron", _neuron, "CPU")
_library.impl("neuron_backward", _neuron_backward, "CPU")
torch.library.register_fake("bkdsnn::neuron", _fake, lib=_library)
torch.library.register_fake("bkdsnn::neuron_backward", _fake_backward, lib=_library)
torch.library.register_autograd("bkdsnn::neuron", _differentiate, setup_context=_save, lib=_library)
