"""Max-pooling of what a batch norm makes of channels-last maps, forward and backward, compiled for the CPU.

Maps `[N, C, H, W]` come as flat buffers, channel by channel within a pixel; what belongs to a channel, as rows `[C]`.
The place of a maximum is its number within the window, row by row: the first of several, as torch's.
"""

import numpy as np

from bkdsnn.layers.fused.norm_kernels import add, combine
from bkdsnn.layers.fused.numbers import kernel, read, write


@kernel
def _take_larger(x, scale, shift, number, best, places):
    for c in range(best.size):
        value = read(x[c]) * scale[c] + shift[c]
        larger = value > best[c] or value != value  # a NaN stays
        best[c] = value if larger else best[c]
        places[c] = number if larger else places[c]


@kernel
def _store(best, places, pooled, where):
    for c in range(best.size):
        write(pooled, c, best[c])
        where[c] = places[c]


@kernel
def _add_where(gradient, where, number, total):
    none = total.dtype.type(0)
    for c in range(total.size):
        total[c] += read(gradient[c]) if where[c] == number else none


@kernel
def forward(x, norm, pooled, where, begin, end, sizes, window):
    """Fills the maps begin .. end - 1 of `pooled` and `where`; `norm`: scale and shift."""
    channels, height, width, rows, columns = sizes
    kernel, stride, padding = window
    best, places = np.empty(channels, norm.dtype), np.empty(channels, np.int32)
    for out in range(begin * rows * columns, end * rows * columns):
        pixel, column = divmod(out, columns)
        number_of_map, row = divmod(pixel, rows)
        best[:] = -np.inf
        places[:] = 0
        for i in range(kernel):
            y = row * stride - padding + i
            for j in range(kernel):
                at = column * stride - padding + j
                if 0 <= y < height and 0 <= at < width:
                    start = ((number_of_map * height + y) * width + at) * channels
                    _take_larger(x[start : start + channels], norm[0], norm[1], i * kernel + j, best, places)
        place = slice(out * channels, (out + 1) * channels)
        _store(best, places, pooled[place], where[place])


@kernel
def _of_pixel(gradient, where, number_of_map, y, at, sizes, window, total):
    """total = the gradient of a pixel before pooling, from all windows that it lies in."""
    channels, _, _, rows, columns = sizes
    kernel, stride, padding = window
    total[:] = 0
    for i in range((y + padding) % stride, kernel, stride):
        row = (y + padding - i) // stride
        for j in range((at + padding) % stride, kernel, stride):
            column = (at + padding - j) // stride
            if 0 <= row < rows and 0 <= column < columns:
                start = ((number_of_map * rows + row) * columns + column) * channels
                place = slice(start, start + channels)
                _add_where(gradient[place], where[place], i * kernel + j, total)


@kernel
def add_gradients(gradient, where, x, mean, sums, begin, end, sizes, window):
    """Adds the gradients of normalised pixels, and their products with x - mean, to `sums[n]` of the maps n."""
    channels, height, width, _, _ = sizes
    total = np.empty(channels, mean.dtype)
    for number_of_map in range(begin, end):
        first, second = sums[number_of_map][0], sums[number_of_map][1]
        for y in range(height):
            for at in range(width):
                _of_pixel(gradient, where, number_of_map, y, at, sizes, window, total)
                start = ((number_of_map * height + y) * width + at) * channels
                add(total, x[start : start + channels], mean, first, second)


@kernel
def backward(gradient, where, x, factors, of_x, begin, end, sizes, window):
    """Fills the maps begin .. end - 1 of `of_x`: three factors per channel, of the normalised's gradient, x and 1."""
    channels, height, width, _, _ = sizes
    total = np.empty(channels, factors.dtype)
    for number_of_map in range(begin, end):
        for y in range(height):
            for at in range(width):
                _of_pixel(gradient, where, number_of_map, y, at, sizes, window, total)
                start = ((number_of_map * height + y) * width + at) * channels
                place = slice(start, start + channels)
                combine(total, x[place], factors[0], factors[1], factors[2], of_x[place])
