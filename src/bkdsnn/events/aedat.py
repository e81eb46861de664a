"""AEDAT 2.0 files in the address layout of CIFAR10-DVS, read and written."""

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bkdsnn.errors import InputError

_LAST = 127  # the last row and column of a DVS128
_USED_BITS = 0x7FFF
_EVENT_BYTES = 8

# A header line is text. Events cannot be taken for one: the two upper bytes of a valid address are NUL, so an event
# neither begins with '#' nor is free of control characters. Bytes above 0x7F are allowed (a user's name in Latin-1).
_HEADER_LINE = re.compile(rb"[ \t]*#[^\x00-\x08\x0a-\x0c\x0e-\x1f]*(\n|\Z)")
_HEADER = (
    b"#!AER-DAT2.0\r\n"
    b"# This is a raw AE data file - do not edit\r\n"
    b"# Data format is int32 address, int32 timestamp (8 bytes total), repeated for each event\r\n"
    b"# Timestamps tick is 1 us\r\n"
)


class Events(NamedTuple):
    """A recording, one entry per event, all fields `[N]`: t int64 in microseconds, never falling; x, y; p (1 = ON)."""

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray


def read_aedat2(path: str | Path) -> Events:
    """The events of a CIFAR10-DVS recording (t int64 us; x, y, p uint8), those that SpikingJelly's reader gives.

    Raises InputError, naming file and byte offset, for a file without events, another AEDAT version, a truncated event,
    an address with bits outside the sensor's 15, a timestamp that goes back (a 32-bit wrap-around is unwrapped).
    Source: Li et al. 2017, doi:10.3389/fnins.2017.00309; layout as in spikingjelly.datasets.cifar10_dvs.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    start = _header_bytes(content, path)
    extra = (len(content) - start) % _EVENT_BYTES
    if extra:
        raise InputError(
            f"{path}: truncated, the event at byte {len(content) - extra} has {extra} of {_EVENT_BYTES} bytes"
        )
    words = np.frombuffer(content, dtype=">u4", offset=start).reshape(-1, 2)  # [N, 2]: address, timestamp
    address = words[:, 0].astype(np.uint32)
    if address.max() > _USED_BITS:
        index = int(np.argmax(address > _USED_BITS))
        raise InputError(
            f"{path}: event {index} at byte {start + index * _EVENT_BYTES} has address {address[index]:#x},"
            f" but a DVS128 uses 15 bits (at most {_USED_BITS:#x})"
        )
    return Events(
        t=_unwrap(words[:, 1].astype(np.int64), path=path, start=start),
        x=(_LAST - (address >> 8)).astype(np.uint8),
        y=(_LAST - ((address & 0xFE) >> 1)).astype(np.uint8),
        p=(1 - (address & 1)).astype(np.uint8),
    )


def write_aedat2(path: str | Path, events: Events) -> None:
    """Writes the events `[N]` so that `read_aedat2` gives them back; the same events always give the same bytes.

    Raises InputError for what the format cannot hold: no events, pixels outside 128 x 128, p other than 0 and 1, times
    that fall, start outside 32 bits or pause for 2**31 us or more.
    """
    path = Path(path)
    t, x, y, p = (np.asarray(field).astype(np.int64) for field in events)
    if not len(t) == len(x) == len(y) == len(p) > 0:
        raise InputError(f"{path}: needs at least one event and t, x, y, p of one length")
    for name, field, highest in (("x", x, _LAST), ("y", y, _LAST), ("p", p, 1)):
        if field.min() < 0 or field.max() > highest:
            raise InputError(f"{path}: {name} must lie in 0..{highest}, found {field.min()}..{field.max()}")
    pauses = np.diff(t)
    if not 0 <= t[0] < 1 << 32 or np.any(pauses < 0) or np.any(pauses >= 1 << 31):
        raise InputError(f"{path}: t must start in 0..2**32-1 and grow by 0..2**31-1 us from event to event")
    words = np.empty((len(t), 2), dtype=">u4")
    words[:, 0] = (_LAST - x) << 8 | (_LAST - y) << 1 | (1 - p)
    words[:, 1] = t & 0xFFFFFFFF
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(_HEADER + words.tobytes())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _header_bytes(content: bytes, path: Path) -> int:
    """The length of the header; InputError if no event follows it."""
    if not content:
        raise InputError(f"{path}: the file is empty")
    if content.startswith(b"#!AER-DAT") and not content.startswith(b"#!AER-DAT2.0"):
        raise InputError(f"{path}: is {content[1:13].decode('ascii', 'replace').strip()!r}, only AER-DAT2.0 is read")
    start = 0
    while start < len(content) and (line := _HEADER_LINE.match(content, start)):
        start = line.end()
    if start == len(content):
        raise InputError(f"{path}: no events, the header is all there is ({start} bytes)")
    return start


def _unwrap(stamps: np.ndarray, *, path: Path, start: int) -> np.ndarray:
    """Times `[N]` without the wrap-around of the 32-bit counter, in us; InputError where they go back."""
    steps = np.diff(stamps)
    wraps = steps < -(1 << 31)
    back = (steps < 0) & ~wraps
    if back.any():
        index = int(np.argmax(back)) + 1
        raise InputError(
            f"{path}: event {index} at byte {start + index * _EVENT_BYTES} goes back in time,"
            f" from {stamps[index - 1]} to {stamps[index]} us"
        )
    stamps[1:] += np.cumsum(wraps) << 32
    return stamps
