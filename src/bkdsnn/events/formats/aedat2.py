"""AEDAT 2.0 files in the address layout of CIFAR10-DVS, read and written."""

import os
import re
from functools import lru_cache
from pathlib import Path

import numpy as np

from bkdsnn.errors import InputError
from bkdsnn.events.frames import bounds_of, cells_of
from bkdsnn.events.kernels import count_aedat2, decode_aedat2
from bkdsnn.events.recording import Events, check_whole, in_order

SUFFIX = ".aedat"

SENSOR = (128, 128)
_LAST = 127  # the last row and column
_USED_BITS = 0x7FFF
# jAER's entries that are no events of a pixel: SYNC_EVENT_BITMASK of the DVS128, SPECIAL_EVENT_BIT_MASK of all cameras.
_SPECIAL = 0x8000_8000
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


def decode(content: bytes, *, where: Path) -> Events:
    """The events of a CIFAR10-DVS recording (t int64 us; x, y, p uint8), those that SpikingJelly's reader gives.

    jAER's special events (address bit 15 or 31) are passed over; SpikingJelly takes them for events of a pixel.
    Raises InputError for a file without events, another AEDAT version, a truncated event, an address with other bits
    outside the sensor's 15 (SpikingJelly masks them), a timestamp that goes back (a 32-bit wrap-around is undone).
    Source: Li et al. 2017, doi:10.3389/fnins.2017.00309; layout as in spikingjelly.datasets.cifar10_dvs.
    """
    start, everything = _words(content, where)
    kept = np.flatnonzero(~_is_special(everything))
    if not len(kept):
        raise InputError(f"{where}: no events, {len(everything)} special events are all there is")
    words = everything if len(kept) == len(everything) else everything[kept]

    def byte_of(event: int) -> int:
        return start + int(kept[event]) * _EVENT_BYTES

    t = np.empty(len(words), dtype=np.int64)
    x, y, p = (np.empty(len(words), dtype=np.uint8) for _ in range(3))
    if decode_aedat2(words, t, x, y, p) > _USED_BITS:
        address = words[:, 0].byteswap()
        event = int(np.argmax(address > _USED_BITS))
        raise InputError(
            f"{where}: event {event} at byte {byte_of(event)} has address {address[event]:#x},"
            f" but a DVS128 uses 15 bits (at most {_USED_BITS:#x})"
        )
    return Events(t=in_order(t, bits=32, byte_of=byte_of, where=where), x=x, y=y, p=p)


def passed_over(content: bytes, *, where: Path) -> int:
    """How many special events a recording has."""
    return int(np.count_nonzero(_is_special(_words(content, where)[1])))


def straight_to_frames(
    content: bytes, *, where: Path, time_steps: int, split_by: str, duration_us: int | None, size: tuple[int, int]
) -> tuple[np.ndarray, int] | None:
    """What `events_to_frames` makes of `decode`'s events, in one pass that never holds them (half the time).

    None where something about the recording needs the long way: a mistake to be named, a special event to be passed
    over, a wrap-around to be undone.
    """
    _, words = _words(content, where)
    stamps = words[:, 1] if split_by == "number" else words[:, 1].byteswap()  # by number no stamp's value is looked at
    try:
        bounds = bounds_of(stamps, time_steps=time_steps, split_by=split_by, duration_us=duration_us)
    except InputError:
        return None
    frames = np.zeros((time_steps, 2, *size), dtype=np.uint8)
    lost, used, falls = count_aedat2(words, cell=_cells(size), bounds=bounds, frames=frames.reshape(time_steps, -1))
    if used > _USED_BITS or falls:
        return None
    return frames, int(lost) + len(words) - int(bounds[-1])


@lru_cache(maxsize=2)
def _cells(size: tuple[int, int]) -> np.ndarray:
    """The place of every address among the counts `[2, *size]` of a frame, uint16 `[2**16]`."""
    row, column = cells_of(sensor=SENSOR, size=size)
    address = np.arange(1 << 16) & _USED_BITS
    x, y, p = _LAST - (address >> 8), _LAST - (address >> 1 & _LAST), 1 - (address & 1)
    return (p * size[0] * size[1] + row[y] + column[x]).astype(np.uint16)


def write(path: str | Path, events: Events) -> None:
    """Writes the events `[N]` so that `decode` gives them back; the same events always give the same bytes.

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


def _is_special(words: np.ndarray) -> np.ndarray:
    """Which of the entries `[N, 2]` are no events of a pixel."""
    return (words[:, 0] & np.uint32(_SPECIAL).byteswap()) != 0


def _words(content: bytes, where: Path) -> tuple[int, np.ndarray]:
    """Where the events begin, and they as pairs of address and stamp, big-endian read as little-endian `[N, 2]`."""
    start = _header_bytes(content, where)
    check_whole(content, start=start, width=_EVENT_BYTES, where=where)
    return start, np.frombuffer(content, dtype="<u4", offset=start).reshape(-1, 2)


def _header_bytes(content: bytes, where: Path) -> int:
    """The length of the header."""
    if content.startswith(b"#!AER-DAT") and not content.startswith(b"#!AER-DAT2.0"):
        raise InputError(f"{where}: is {content[1:13].decode('ascii', 'replace').strip()!r}, only AER-DAT2.0 is read")
    start = 0
    while start < len(content) and (line := _HEADER_LINE.match(content, start)):
        start = line.end()
    return start
