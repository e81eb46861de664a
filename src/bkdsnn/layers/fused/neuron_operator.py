"""All time steps of IF, LIF and PLIF neurons as one operator of torch, `bkdsnn::neuron`, and its gradient."""

import torch
from torch import Tensor

from bkdsnn.layers.fused import neuron_kernels as kernels
from bkdsnn.layers.fused.memory import flat, in_layout_of, new_sequence, parallel, usable
from bkdsnn.layers.fused.norm_kernels import CHUNK, NO_NORM, new_sums
from bkdsnn.layers.fused.numbers import BLOCK

DTYPES = (torch.float32, torch.float64, torch.bfloat16)  # of the currents
_SCHEMA = "float tau, float threshold, float reset, float alpha, int kind, bool decay_input, int surrogate, bool detach"


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
