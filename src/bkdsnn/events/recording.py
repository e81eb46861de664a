"""A recording as arrays, and the checks that every file format has in common."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bkdsnn.errors import InputError

_LARGEST_RATIO = 200  # of a recording to its compressed form; beyond it, and beyond so many bytes, nobody made it
_SMALL = 256 << 20


class Events(NamedTuple):
    """A recording, one entry per event, all fields `[N]`: t in microseconds, never falling; x; y; p (1 = ON)."""

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray


def read_bytes(path: Path) -> bytes:
    """A file's bytes; `InputError` where it cannot be read or is empty."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not content:
        raise InputError(f"{path}: the file is empty")
    return content


def check_whole(content: bytes, *, start: int, width: int, where: Path) -> None:
    """`InputError` where no event of `width` bytes follows byte `start`, or the last one is cut off."""
    if start == len(content):
        raise InputError(f"{where}: no events, the header is all there is ({start} bytes)")
    extra = (len(content) - start) % width
    if extra:
        raise InputError(f"{where}: truncated, the event at byte {len(content) - extra} has {extra} of {width} bytes")


def may_unpack_to(packed: int) -> int:
    """The bytes that so many compressed ones of a recording may become."""
    return max(_SMALL, _LARGEST_RATIO * packed)


def in_order(stamps: np.ndarray, *, bits: int | None, byte_of: Callable[[int], int] | None, where: Path) -> np.ndarray:
    """Times `[N]` in us, never falling: the counter's wrap-arounds (after `bits` bits; None: it has none) are undone.

    A fall by more than half the counter's range is a wrap-around, any other is an `InputError` that names the event.
    """
    back = stamps[1:] < stamps[:-1]
    if not back.any():
        return stamps
    falls = np.flatnonzero(back) + 1
    times = stamps.astype(np.int64)
    for event in falls:
        if bits is None or times[event - 1] - times[event] <= 1 << (bits - 1):
            place = f" at byte {byte_of(int(event))}" if byte_of else ""
            raise InputError(
                f"{where}: event {event}{place} goes back in time, from {times[event - 1]} to {times[event]} us"
            )
    times[:] += np.cumsum(np.bincount(falls, minlength=len(times))) << bits
    return times
