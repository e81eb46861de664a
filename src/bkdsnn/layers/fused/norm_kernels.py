"""What a batch norm computes over channels-last maps, compiled for the CPU.

The maps come as flat buffers, channel by channel within a pixel. What belongs to a channel comes as rows of
`channels + BLOCK` values, repeated from the first channel on, so that a block that begins anywhere finds its channels
next to each other. Sums are taken over chunks of fixed size, so that they do not depend on the number of threads.
"""

from functools import cache

import numpy as np

from bkdsnn.layers.fused.numbers import BLOCK, contracted_kernel, kernel, read, write

CHUNK = 32 * BLOCK  # values whose sums are kept apart
NO_NORM = np.empty((0, 1 + BLOCK))


def per_channel(rows: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Rows `[n, C]` as the kernels want them."""
    return rows.astype(dtype).take(_repeated(rows.shape[1]), axis=1)


@cache
def _repeated(channels: int) -> np.ndarray:
    return np.arange(channels + BLOCK) % channels


def new_sums(size: int, channels: int, dtype: np.dtype) -> np.ndarray:
    """Two sums per channel for every chunk of `size` values."""
    return np.zeros((-(-size // CHUNK), 2, channels + BLOCK), dtype)


def per_map(sums: np.ndarray, channels: int) -> np.ndarray:
    """The sums `[2, C]` over all chunks, in float64."""
    width = -(-sums.shape[2] // channels) * channels
    whole = np.zeros((2, width))
    whole[:, : sums.shape[2]] = sums.sum(0, dtype=np.float64)
    return whole.reshape(2, -1, channels).sum(1)


@kernel
def normalise(x, scale, shift, y):
    """y = x * scale + shift, rounded in one way wherever it is computed anew."""
    for i in range(y.size):
        write(y, i, read(x[i]) * scale[i] + shift[i])


@kernel
def normalise_all(x, norm, y, begin, end):
    """Fills the values begin .. end - 1 of y; `norm`: scale and shift."""
    channels = norm.shape[1] - BLOCK
    for start in range(begin, end, BLOCK):
        stop, first = min(start + BLOCK, end), start % channels
        place = slice(first, first + stop - start)
        normalise(x[start:stop], norm[0][place], norm[1][place], y[start:stop])


@contracted_kernel
def add(gradient, x, mean, first, second):
    """first += gradient, second += gradient * (x - mean)."""
    for i in range(x.size):
        g = read(gradient[i])
        first[i] += g
        second[i] += g * (read(x[i]) - mean[i])


@contracted_kernel
def _add_squares(x, origin, first, second):
    for i in range(x.size):
        d = read(x[i]) - origin[i]
        first[i] += d
        second[i] += d * d


@kernel
def add_moments(x, origin, sums, begin, end):
    """Adds the values begin .. end - 1 less their channels' origin, and the squares of that, to `sums`."""
    channels = origin.size - BLOCK
    for start in range(begin, end, BLOCK):
        stop, first = min(start + BLOCK, end), start % channels
        place, row = slice(first, first + stop - start), sums[start // CHUNK]
        _add_squares(x[start:stop], origin[place], row[0][place], row[1][place])


@kernel
def add_gradients(gradient, x, norm, sums, begin, end):
    """Adds the gradients of the normalised values begin .. end - 1, and their products with x - mean, to `sums`."""
    channels = norm.shape[1] - BLOCK
    for start in range(begin, end, BLOCK):
        stop, first = min(start + BLOCK, end), start % channels
        place, row = slice(first, first + stop - start), sums[start // CHUNK]
        add(gradient[start:stop], x[start:stop], norm[2][place], row[0][place], row[1][place])


@contracted_kernel
def combine(gradient, x, of_gradient, of_x, constant, target):
    """target = gradient * of_gradient + x * of_x + constant."""
    for i in range(x.size):
        write(target, i, read(gradient[i]) * of_gradient[i] + read(x[i]) * of_x[i] + constant[i])


@kernel
def through_norm(gradient, x, factors, target, begin, end):
    """The gradient of normalised values becomes that of x in `target`, which may be the memory of `gradient`.

    By three factors per channel, for gradient, x and 1.
    """
    channels = factors.shape[1] - BLOCK
    scratch = np.empty(BLOCK, factors.dtype)
    for start in range(begin, end, BLOCK):
        stop, first = min(start + BLOCK, end), start % channels
        place, values = slice(first, first + stop - start), scratch[: stop - start]
        for i in range(values.size):  # a loop that reads and writes one memory does not become vector instructions
            values[i] = read(gradient[start + i])
        combine(values, x[start:stop], factors[0][place], factors[1][place], factors[2][place], target[start:stop])
