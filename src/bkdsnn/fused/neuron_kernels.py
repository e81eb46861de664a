"""Forward and backward of IF, LIF and PLIF neurons over all time steps, compiled for the CPU.

A tensor `[T, ...]` comes as a flat buffer: step t begins at `t * stride` (0: one current feeds every step), and its
values lie in any order, the same for all arguments. bfloat16 comes as its bits (uint16); it is computed in float32.
A block of neurons goes through all time steps at once, so that its membranes stay in the processor's cache. The
charge is SpikingJelly's term by term, so that spikes are the same to the bit.

With a `norm` (see norm_kernels; empty: none) the buffer x holds what a batch norm before the neurons is given.
"""

import math

import numpy as np
from numba import njit, types
from numba.extending import overload

from bkdsnn.fused.norm_kernels import add_to_sums, normalise
from bkdsnn.fused.numbers import BLOCK, CONTRACTED, OPTIONS, read, write

IF, LIF, PLIF = 0, 1, 2
SIGMOID, ATAN = 0, 1


def _exp(_z):
    """exp(z) for z <= 0."""


@overload(_exp, jit_options=CONTRACTED)
def _(z):
    if z == types.float64:
        return lambda z: math.exp(z)

    def exp32(z):  # Cephes' expf: 1e-7 relative, and a loop over it becomes vector instructions
        z = max(z, np.float32(-87.0))
        n = z * np.float32(1.44269504) + np.float32(12582912.0) - np.float32(12582912.0)  # 3 * 2^22: nearest integer
        r = z - n * np.float32(0.693359375) - n * np.float32(-2.12194440e-4)
        p = np.float32(1.9875691500e-4)
        p = p * r + np.float32(1.3981999507e-3)
        p = p * r + np.float32(8.3334519073e-3)
        p = p * r + np.float32(4.1665795894e-2)
        p = p * r + np.float32(1.6666665459e-1)
        p = p * r + np.float32(5.0000001201e-1)
        p = p * r * r + r + np.float32(1.0)
        return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)

    return exp32


@njit(**OPTIONS)
def _charge(x, v, h, kind, decay_input, decay, reset):
    """h = the membranes v after the currents x; decay is tau of a LIF, 1 / tau of a PLIF."""
    if kind == IF:
        for i in range(h.size):
            h[i] = v[i] + x[i]
    elif kind == LIF and decay_input:
        for i in range(h.size):
            h[i] = v[i] + (x[i] - (v[i] - reset)) / decay
    elif kind == LIF:
        for i in range(h.size):
            h[i] = v[i] - (v[i] - reset) / decay + x[i]
    elif decay_input:
        for i in range(h.size):
            h[i] = v[i] + (x[i] - (v[i] - reset)) * decay
    else:
        for i in range(h.size):
            h[i] = v[i] - (v[i] - reset) * decay + x[i]


@njit(**OPTIONS, **CONTRACTED)
def _slope(h, slope, threshold, surrogate, alpha):
    """slope = the surrogate's derivative at h - threshold."""
    one = h.dtype.type(1)
    if surrogate == SIGMOID:
        for i in range(h.size):
            e = _exp(-abs(alpha * (h[i] - threshold)))
            s = one / (one + e)
            slope[i] = alpha * (one - s) * s
    else:
        half, scale = alpha / h.dtype.type(2), h.dtype.type(math.pi / 2) * alpha
        for i in range(h.size):
            z = (h[i] - threshold) * scale
            slope[i] = half / (one + z * z)


@njit(**OPTIONS)
def _fire(h, v, spikes, threshold, reset):
    """spikes and the membranes v behind them."""
    one, zero = h.dtype.type(1), h.dtype.type(0)
    for i in range(h.size):
        value = h[i]
        spike = one if value >= threshold else zero
        write(spikes, i, spike)
        v[i] = reset if spike == one else value


@njit(**OPTIONS)
def _gradient_of_charged(upstream, h, slope, back, threshold, reset, detach):
    """back: the gradient of the membranes behind the reset becomes that of the charged membranes h."""
    one, zero = h.dtype.type(1), h.dtype.type(0)
    for i in range(h.size):
        kept = one if h[i] < threshold else zero
        if not detach:
            kept += (reset - h[i]) * slope[i]
        back[i] = read(upstream[i]) * slope[i] + back[i] * kept


@njit(**OPTIONS)
def _gradient_of_rate(x, v, back, sums, decay_input, reset):
    """Adds one step's part in the gradient of 1 / tau to `sums`, one per neuron of the block."""
    if decay_input:
        for i in range(v.size):
            sums[i] += back[i] * (x[i] - (v[i] - reset))
    else:
        for i in range(v.size):
            sums[i] -= back[i] * (v[i] - reset)


@njit(**OPTIONS)
def _gradient_of_input(back, gradient, kind, decay_input, rate):
    """gradient: that of the current; back: the gradient of h becomes that of the membranes before the charge."""
    one = back.dtype.type(1)
    scale = rate if kind != IF and decay_input else one
    kept = one if kind == IF else one - rate
    for i in range(back.size):
        write(gradient, i, back[i] * scale)
        back[i] = back[i] * kept


@njit(**OPTIONS)
def _currents(x, norm, start, y):
    """y = the currents of the neurons from `start` on."""
    if norm.size:
        first = start % (norm.shape[1] - BLOCK)
        place = slice(first, first + y.size)
        normalise(x, norm[0][place], norm[1][place], y)
    else:
        for i in range(y.size):
            y[i] = read(x[i])


@njit(**OPTIONS)
def forward(x, stride, before, after, spikes, norm, begin, end, size, constants, kind, decay_input):
    """Fills `spikes` of the neurons begin .. end - 1.

    `before` [size]: the membranes at the start (empty: at rest). `after` [size] receives those at the end (empty: not).
    """
    decay, threshold, reset = constants[0], constants[1], constants[2]
    rows = np.empty((3, BLOCK), constants.dtype)
    potentials, scratch, inputs = rows[0], rows[1], rows[2]  # unpacked, they would be no contiguous arrays
    for start in range(begin, end, BLOCK):
        count = min(BLOCK, end - start)
        v, h, current = potentials[:count], scratch[:count], inputs[:count]
        v[:] = reset
        if before.size:
            v[:] = before[start : start + count]
        for t in range(spikes.size // size):
            _currents(x[t * stride + start : t * stride + start + count], norm, start, current)
            _charge(current, v, h, kind, decay_input, decay, reset)
            _fire(h, v, spikes[t * size + start : t * size + start + count], threshold, reset)
        if after.size:
            after[start : start + count] = v


@njit(**OPTIONS)
def backward(
    x, stride, before, upstream, carry, gradient, of_before, totals, norm, sums, begin, end, size, constants, kind,
    decay_input, surrogate, detach,
):  # fmt: skip
    """Fills `gradient` (of the currents) of the neurons begin .. end - 1, `totals` of each block for a PLIF's 1 / tau.

    `before` as in the forward; `carry` [size]: the gradient of the membranes at the end (empty: none); `of_before`
    [size] receives that of those at the start (empty: not). Membranes are computed anew from x: none are stored.
    """
    decay, threshold, reset, alpha = constants[0], constants[1], constants[2], constants[3]
    steps, dtype = gradient.size // size, constants.dtype
    rate = dtype.type(1) / decay if kind == LIF else decay
    membranes, charged = np.empty((steps + 1, BLOCK), dtype), np.empty((steps, BLOCK), dtype)
    rows = np.empty((5, BLOCK), dtype)
    spikes, slopes, backs, rates, inputs = rows[0], rows[1], rows[2], rows[3], rows[4]
    for start in range(begin, end, BLOCK):
        count = min(BLOCK, end - start)
        back, slope, current = backs[:count], slopes[:count], inputs[:count]
        membranes[0][:] = reset
        if before.size:
            membranes[0][:count] = before[start : start + count]
        for t in range(steps):
            h = charged[t][:count]
            _currents(x[t * stride + start : t * stride + start + count], norm, start, current)
            _charge(current, membranes[t][:count], h, kind, decay_input, decay, reset)
            _fire(h, membranes[t + 1][:count], spikes, threshold, reset)
        back[:] = 0
        if carry.size:
            back[:] = carry[start : start + count]
        rates[:] = 0
        for t in range(steps - 1, -1, -1):
            h, place = charged[t][:count], slice(t * size + start, t * size + start + count)
            _slope(h, slope, threshold, surrogate, alpha)
            _gradient_of_charged(upstream[place], h, slope, back, threshold, reset, detach)
            if kind == PLIF:
                _currents(x[t * stride + start : t * stride + start + count], norm, start, current)
                _gradient_of_rate(current, membranes[t][:count], back, rates, decay_input, reset)
            _gradient_of_input(back, gradient[place], kind, decay_input, rate)
            if norm.size:
                add_to_sums(gradient[place], x[place], norm, sums, start)
        totals[start // BLOCK] = rates.sum()
        if of_before.size:
            of_before[start : start + count] = back
