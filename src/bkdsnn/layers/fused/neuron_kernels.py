"""Forward and backward of IF, LIF and PLIF neurons over all time steps, compiled for the CPU.

A tensor `[T, ...]` comes as a flat buffer: step t begins at `t * stride` (0: one current feeds every step), and its
values lie in any order, the same for all arguments. A block of neurons goes through all time steps at once, so that
its membranes stay in the processor's cache.

With a `norm` (see norm_kernels; empty: none) the buffer x holds what a batch norm before the neurons is given.
"""

import numpy as np

from bkdsnn.layers.fused.neuron_steps import (
    IF,
    LIF,
    charge,
    currents,
    fire,
    gradient_of_charged,
    gradient_of_decay,
    gradient_of_input,
    gradient_of_normalised,
    surrogate_slope,
)
from bkdsnn.layers.fused.norm_kernels import CHUNK
from bkdsnn.layers.fused.numbers import BLOCK, kernel


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
            currents(x[t * stride + start : t * stride + start + count], norm, start, current)
            charge(current, v, h, after_step, kind, decay_input, decay, threshold, reset)
            fire(h, spikes[t * size + start : t * size + start + count], threshold)
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
            currents(x[t * stride + start : t * stride + start + count], norm, start, current)
            after = membranes[t + 1][:count]
            charge(current, membranes[t][:count], h, after, kind, decay_input, decay, threshold, reset)
        back[:] = 0
        if carry.size:
            back[:] = carry[start : start + count]
        parts[:] = 0
        for t in range(steps - 1, -1, -1):
            h, place = charged[t][:count], slice(t * size + start, t * size + start + count)
            surrogate_slope(h, slope, threshold, surrogate, alpha)
            gradient_of_charged(upstream[place], h, slope, back, threshold, reset, detach)
            if totals.size:
                gradient_of_decay(h, membranes[t][:count], back, parts, decay_input, reset)
            if norm.size:
                first = start % (norm.shape[1] - BLOCK)
                mean, row = norm[2][first : first + count], sums[start // CHUNK]
                of_shift, of_scale = row[0][first : first + count], row[1][first : first + count]
                gradient_of_normalised(back, gradient[place], scale, kept, x[place], mean, of_shift, of_scale)
            else:
                gradient_of_input(back, gradient[place], scale, kept)
        if totals.size:
            totals[start // BLOCK] = parts.sum() / (decay if decay_input else dtype.type(1))
        if of_before.size:
            of_before[start : start + count] = back
