"""Forward and backward of IF, LIF and PLIF neurons over all time steps, compiled for the CPU.

A tensor `[T, ...]` comes as a flat buffer: step t begins at `t * stride` (0: one current feeds every step), and its
values lie in any order, the same for all arguments. bfloat16 comes as its bits (uint16); it is computed in float32.
A block of neurons goes through all time steps at once, so that its membranes stay in the processor's cache. The
charge is SpikingJelly's term by term, so that spikes are the same to the bit.

With a `norm` (see norm_kernels; empty: none) the buffer x holds what a batch norm before the neurons is given.
"""

import math

import numpy as np
from numba import types
from numba.extending import overload

from bkdsnn.fused.norm_kernels import CHUNK, normalise
from bkdsnn.fused.numbers import BLOCK, CONTRACTED, contracted_kernel, kernel, read, write

IF, LIF, PLIF = 0, 1, 2
SIGMOID, ATAN = 0, 1


def _exp2(_y):
    """2 ** y for y <= 0."""


@overload(_exp2, jit_options=CONTRACTED)
def _(y):
    if y == types.float64:
        return lambda y: 2.0**y

    def exp2(y):  # 1e-7 relative, and a loop over it becomes vector instructions
        y = max(y, np.float32(-125.0))
        shifted = y + np.float32(12582912.0)  # 1.5 * 2^23: its last bits are the integer nearest to y
        r = y - (shifted - np.float32(12582912.0))
        p = np.float32(1.32647e-3)  # minimax on -0.5 .. 0.5, with p(0) = 1
        p = p * r + np.float32(9.67151e-3)
        p = p * r + np.float32(5.550734e-2)
        p = p * r + np.float32(2.4022242e-1)
        p = p * r + np.float32(6.9314698e-1)
        p = p * r + np.float32(1.0)
        exponent = np.int32(np.float32(shifted).view(np.int32) << np.int32(23))
        return np.int32(np.float32(p).view(np.int32) + exponent).view(np.float32)

    return exp2


@kernel
def _charge(x, v, h, after, kind, decay_input, decay, threshold, reset):
    """h = the membranes v after the currents x; after = h behind the reset. decay: tau of a LIF, 1 / tau of a PLIF."""
    if kind == IF:
        for i in range(h.size):
            h[i] = v[i] + x[i]
            after[i] = reset if h[i] >= threshold else h[i]
    elif kind == LIF and decay_input:
        for i in range(h.size):
            h[i] = v[i] + (x[i] - (v[i] - reset)) / decay
            after[i] = reset if h[i] >= threshold else h[i]
    elif kind == LIF:
        for i in range(h.size):
            h[i] = v[i] - (v[i] - reset) / decay + x[i]
            after[i] = reset if h[i] >= threshold else h[i]
    elif decay_input:
        for i in range(h.size):
            h[i] = v[i] + (x[i] - (v[i] - reset)) * decay
            after[i] = reset if h[i] >= threshold else h[i]
    else:
        for i in range(h.size):
            h[i] = v[i] - (v[i] - reset) * decay + x[i]
            after[i] = reset if h[i] >= threshold else h[i]


@contracted_kernel
def _slope(h, slope, threshold, surrogate, alpha):
    """slope = the surrogate's derivative at h - threshold."""
    one = h.dtype.type(1)
    if surrogate == SIGMOID:
        factor = h.dtype.type(math.log2(math.e)) * alpha
        for i in range(h.size):
            e = _exp2(-abs(factor * (h[i] - threshold)))
            s = one / (one + e)
            slope[i] = alpha * (one - s) * s
    else:
        half, scale = alpha / h.dtype.type(2), h.dtype.type(math.pi / 2) * alpha
        for i in range(h.size):
            z = (h[i] - threshold) * scale
            slope[i] = half / (one + z * z)


@kernel
def _fire(h, spikes, threshold):
    one, zero = h.dtype.type(1), h.dtype.type(0)
    for i in range(h.size):
        write(spikes, i, one if h[i] >= threshold else zero)


@kernel
def _gradient_of_charged(upstream, h, slope, back, threshold, reset, detach):
    """back: the gradient of the membranes behind the reset becomes that of the charged membranes h."""
    one, zero = h.dtype.type(1), h.dtype.type(0)
    for i in range(h.size):
        kept = one if h[i] < threshold else zero
        if not detach:
            kept += (reset - h[i]) * slope[i]
        back[i] = read(upstream[i]) * slope[i] + back[i] * kept


@contracted_kernel
def _gradient_of_decay(h, v, back, sums, decay_input, reset):
    """Adds a step's part in the gradient of a PLIF's 1 / tau to `sums`: times 1 / tau if it scales the input too."""
    if decay_input:
        for i in range(v.size):
            sums[i] += back[i] * (h[i] - v[i])
    else:
        for i in range(v.size):
            sums[i] -= back[i] * (v[i] - reset)


@kernel
def _gradient_of_input(back, gradient, scale, kept):
    """gradient: that of the current; back: the gradient of h becomes that of the membranes before the charge."""
    for i in range(back.size):
        write(gradient, i, back[i] * scale)
        back[i] = back[i] * kept


@contracted_kernel
def _gradient_of_normalised(back, gradient, scale, kept, x, mean, first, second):
    """The same, and what norm_kernels.add does."""
    for i in range(back.size):
        write(gradient, i, back[i] * scale)
        back[i] = back[i] * kept
        g = read(gradient[i])
        first[i] += g
        second[i] += g * (read(x[i]) - mean[i])


@kernel
def _currents(x, norm, start, y):
    """y = the currents of the neurons from `start` on."""
    if norm.size:
        first = start % (norm.shape[1] - BLOCK)
        place = slice(first, first + y.size)
        normalise(x, norm[0][place], norm[1][place], y)
    else:
        for i in range(y.size):
            y[i] = read(x[i])


@kernel
def forward(x, stride, before, after, spikes, norm, begin, end, size, constants, kind, decay_input):
    """Fills `spikes` of the neurons begin .. end - 1.

    `before` [size]: the membranes at the start (empty: at rest). `after` [size] receives those at the end (empty: not).
    """
    decay, threshold, reset = constants[0], constants[1], constants[2]
    rows = np.empty((4, BLOCK), constants.dtype)
    first, second, charged, inputs = rows[0], rows[1], rows[2], rows[3]  # unpacked, they would not be contiguous
    for start in range(begin, end, BLOCK):
        count = min(BLOCK, end - start)
        v, after_step, h, current = first[:count], second[:count], charged[:count], inputs[:count]
        v[:] = reset
        if before.size:
            v[:] = before[start : start + count]
        for t in range(spikes.size // size):
            _currents(x[t * stride + start : t * stride + start + count], norm, start, current)
            _charge(current, v, h, after_step, kind, decay_input, decay, threshold, reset)
            _fire(h, spikes[t * size + start : t * size + start + count], threshold)
            v, after_step = after_step, v
        if after.size:
            after[start : start + count] = v


@kernel
def backward(
    x, stride, before, upstream, carry, gradient, of_before, totals, norm, sums, begin, end, size, constants, kind,
    decay_input, surrogate, detach,
):  # fmt: skip
    """Fills `gradient` (of the currents) of the neurons begin .. end - 1.

    `before` as in the forward; `carry` [size]: the gradient of the membranes at the end (empty: none); `of_before`
    [size] receives that of those at the start (empty: not); `totals` the blocks' parts in that of a PLIF's 1 / tau
    (empty: not). Membranes are computed anew from x: none are stored.
    """
    decay, threshold, reset, alpha = constants[0], constants[1], constants[2], constants[3]
    steps, dtype = gradient.size // size, constants.dtype
    rate = dtype.type(1) / decay if kind == LIF else decay
    membranes, charged = np.empty((steps + 1, BLOCK), dtype), np.empty((steps, BLOCK), dtype)
    scale = rate if kind != IF and decay_input else dtype.type(1)
    kept = dtype.type(1) if kind == IF else dtype.type(1) - rate
    rows = np.empty((4, BLOCK), dtype)
    slopes, backs, parts, inputs = rows[0], rows[1], rows[2], rows[3]
    for start in range(begin, end, BLOCK):
        count = min(BLOCK, end - start)
        back, slope, current = backs[:count], slopes[:count], inputs[:count]
        membranes[0][:] = reset
        if before.size:
            membranes[0][:count] = before[start : start + count]
        for t in range(steps):
            h = charged[t][:count]
            _currents(x[t * stride + start : t * stride + start + count], norm, start, current)
            after = membranes[t + 1][:count]
            _charge(current, membranes[t][:count], h, after, kind, decay_input, decay, threshold, reset)
        back[:] = 0
        if carry.size:
            back[:] = carry[start : start + count]
        parts[:] = 0
        for t in range(steps - 1, -1, -1):
            h, place = charged[t][:count], slice(t * size + start, t * size + start + count)
            _slope(h, slope, threshold, surrogate, alpha)
            _gradient_of_charged(upstream[place], h, slope, back, threshold, reset, detach)
            if totals.size:
                _gradient_of_decay(h, membranes[t][:count], back, parts, decay_input, reset)
            if norm.size:
                first = start % (norm.shape[1] - BLOCK)
                mean, row = norm[2][first : first + count], sums[start // CHUNK]
                of_shift, of_scale = row[0][first : first + count], row[1][first : first + count]
                _gradient_of_normalised(back, gradient[place], scale, kept, x[place], mean, of_shift, of_scale)
            else:
                _gradient_of_input(back, gradient[place], scale, kept)
        if totals.size:
            totals[start // BLOCK] = parts.sum() / (decay if decay_input else dtype.type(1))
        if of_before.size:
            of_before[start : start + count] = back
