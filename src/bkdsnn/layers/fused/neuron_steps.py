"""One time step of IF, LIF and PLIF neurons and of its gradient, over a block of neurons, compiled for the CPU.

The charge is SpikingJelly's term by term, so that spikes are the same to the bit. bfloat16 comes as its bits (uint16);
it is computed in float32.
"""

import math

import numpy as np
from numba import types
from numba.extending import overload

from bkdsnn.layers.fused.norm_kernels import normalise
from bkdsnn.layers.fused.numbers import BLOCK, CONTRACTED, contracted_kernel, kernel, read, write

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
def charge(x, v, h, after, kind, decay_input, decay, threshold, reset):
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
def surrogate_slope(h, slope, threshold, surrogate, alpha):
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
def fire(h, spikes, threshold):
    """spikes = 1 where h reaches the threshold, else 0."""
    one, zero = h.dtype.type(1), h.dtype.type(0)
    for i in range(h.size):
        write(spikes, i, one if h[i] >= threshold else zero)


@kernel
def gradient_of_charged(upstream, h, slope, back, threshold, reset, detach):
    """back: the gradient of the membranes behind the reset becomes that of the charged membranes h."""
    one, zero = h.dtype.type(1), h.dtype.type(0)
    for i in range(h.size):
        kept = one if h[i] < threshold else zero
        if not detach:
            kept += (reset - h[i]) * slope[i]
        back[i] = read(upstream[i]) * slope[i] + back[i] * kept


@contracted_kernel
def gradient_of_decay(h, v, back, sums, decay_input, reset):
    """Adds a step's part in the gradient of a PLIF's 1 / tau to `sums`: times 1 / tau if it scales the input too."""
    if decay_input:
        for i in range(v.size):
            sums[i] += back[i] * (h[i] - v[i])
    else:
        for i in range(v.size):
            sums[i] -= back[i] * (v[i] - reset)


@kernel
def gradient_of_input(back, gradient, scale, kept):
    """gradient: that of the current; back: the gradient of h becomes that of the membranes before the charge."""
    for i in range(back.size):
        write(gradient, i, back[i] * scale)
        back[i] = back[i] * kept


@contracted_kernel
def gradient_of_normalised(back, gradient, scale, kept, x, mean, first, second):
    """The same, and what norm_kernels.add does."""
    for i in range(back.size):
        write(gradient, i, back[i] * scale)
        back[i] = back[i] * kept
        g = read(gradient[i])
        first[i] += g
        second[i] += g * (read(x[i]) - mean[i])


@kernel
def currents(x, norm, start, y):
    """y = the currents of the neurons from `start` on."""
    if norm.size:
        first = start % (norm.shape[1] - BLOCK)
        place = slice(first, first + y.size)
        normalise(x, norm[0][place], norm[1][place], y)
    else:
        for i in range(y.size):
            y[i] = read(x[i])
