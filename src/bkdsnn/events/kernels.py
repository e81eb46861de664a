"""The loops over events that must be fast, compiled; they leave the checks that name a mistake to their callers."""

import numpy as np
from numba import njit

_BLOCK = 2048


@njit(cache=True, nogil=True)
def _swapped(word):
    """A uint32 with its four bytes in the other order."""
    return (
        ((word & np.uint32(0xFF)) << np.uint32(24))
        | ((word & np.uint32(0xFF00)) << np.uint32(8))
        | ((word >> np.uint32(8)) & np.uint32(0xFF00))
        | (word >> np.uint32(24))
    )


@njit(cache=True, nogil=True)
def decode_aedat2(words, t, x, y, p):
    """Fills t, x, y, p `[N]` from big-endian (address, stamp) words read as little-endian uint32 `[N, 2]`.

    Returns all address bits that any event has set.
    """
    used = np.uint32(0)
    for i in range(words.shape[0]):
        address = _swapped(words[i, 0])
        used |= address
        t[i] = _swapped(words[i, 1])
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


@njit(cache=True, nogil=True)
def count_aedat2(words, *, cell, bounds, frames):
    """As `count_events`, straight from the words `[N, 2]`: `cell` `[2**16]` says where the lower address half counts.

    Returns also all address bits that any of the events has set, and whether any stamp is below the one before.
    """
    lost, used, falls = 0, words[0, 0], np.uint32(0)
    for start in range(0, words.shape[0], _BLOCK):
        stop = min(start + _BLOCK, words.shape[0])
        # Two loops over a block that stays in the cache: this one is vectorised, the other one cannot be.
        for i in range(np.uint64(max(start, 1)), np.uint64(stop)):
            used |= words[i, 0]
            falls |= np.uint32(_swapped(words[i, 1]) < _swapped(words[i - np.uint64(1), 1]))
        for k in range(frames.shape[0]):
            frame = frames[k]
            for i in range(np.uint64(max(start, bounds[k])), np.uint64(min(stop, bounds[k + 1]))):
                address = words[i, 0]
                place = cell[((address >> np.uint32(8)) & np.uint32(0xFF00)) | (address >> np.uint32(24))]
                count = frame[place]
                if count == 255:
                    lost += 1
                else:
                    frame[place] = count + np.uint8(1)
    return lost, _swapped(used), falls != 0
