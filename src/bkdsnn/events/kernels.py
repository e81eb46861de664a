"""The two loops over events that must be fast, compiled; both leave the checks that name a mistake to their callers."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def decode_aedat2(words, t, x, y, p):
    """Fills t, x, y, p `[N]` from big-endian (address, stamp) words read as little-endian uint32 `[N, 2]`.

    Returns all address bits that any event has set.
    """
    used = np.uint32(0)
    for i in range(words.shape[0]):
        address, stamp = words[i, 0], words[i, 1]
        address = ((address & 0xFF) << 24) | ((address & 0xFF00) << 8) | ((address >> 8) & 0xFF00) | (address >> 24)
        used |= address
        t[i] = ((stamp & 0xFF) << 24) | ((stamp & 0xFF00) << 8) | ((stamp >> 8) & 0xFF00) | (stamp >> 24)
        x[i] = 127 - ((address >> 8) & 127)
        y[i] = 127 - ((address >> 1) & 127)
        p[i] = 1 - (address & 1)
    return used


@njit(cache=True, nogil=True)
def count_events(x, y, p, *, row, column, bounds, frames):
    """Adds each event to `frames` `[T, 2 * cells]`, uint8; returns how many found their count at 255 and were lost.

    Frame k takes the events bounds[k] .. bounds[k + 1] - 1. `row[y] + column[x]` is an event's cell.
    """
    lost = 0
    cells = np.uint64(frames.shape[1] // 2)
    for k in range(frames.shape[0]):
        frame = frames[k]
        for i in range(np.uint64(bounds[k]), np.uint64(bounds[k + 1])):  # unsigned: no test for negative indices
            cell = np.uint64(p[i]) * cells + np.uint64(row[y[i]]) + np.uint64(column[x[i]])
            count = frame[cell]
            if count == 255:
                lost += 1
            else:
                frame[cell] = count + np.uint8(1)
    return lost
