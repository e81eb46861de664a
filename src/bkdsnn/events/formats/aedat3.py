"""AEDAT 3.1 files with polarity events, as DVS128 Gesture has them."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bkdsnn.errors import InputError
from bkdsnn.events.recording import Events, in_order

SUFFIX = ".aedat"

_END = b"#!END-HEADER\r\n"
# Type, source, event size, offset of the stamp, overflows of the stamp, capacity, number, valid.
_PACKET = struct.Struct("<HHIIIIII")
_POLARITY = 1
_EVENT_BYTES = 8


class _Packet(NamedTuple):
    """Where a packet's events begin (bytes), what kind they are, how many, and how often the stamp had overflowed."""

    start: int
    kind: int
    number: int
    overflows: int


def decode(content: bytes, *, where: Path) -> Events:
    """The polarity events (t int64 us; x, y uint16; p uint8), those that SpikingJelly's reader gives.

    Packets of other kinds are passed over, as there, and events that are marked as invalid, which it takes; what a
    packet has room for beyond its `number` of events is no event. Raises InputError for a file without events, another
    AEDAT version, a packet that is cut off or does not hold what its header says, and time that goes back.
    Source: the AEDAT 3.1 specification of iniVation; layout as in spikingjelly.datasets.utils.load_aedat_v3.
    """
    packets = [packet for packet in _packets(content, where) if packet.kind == _POLARITY]
    words = [_words(content, packet) for packet in packets]  # each [N, 2]: data, stamp
    everything = np.concatenate([*words, np.empty((0, 2), dtype=np.uint32)])
    kept = np.flatnonzero(everything[:, 0] & 1)
    if not len(kept):
        invalid = f", {len(everything)} are marked as invalid" if len(everything) else ""
        raise InputError(f"{where}: no polarity events in {len(content)} bytes{invalid}")
    lengths = [packet.number for packet in packets]
    high = np.repeat(np.array([packet.overflows for packet in packets], dtype=np.int64) << 31, lengths)
    first = np.cumsum([0, *lengths])

    def byte_of(event: int) -> int:
        place = int(kept[event])
        packet = int(np.searchsorted(first, place, side="right")) - 1
        return packets[packet].start + (place - int(first[packet])) * _EVENT_BYTES

    data = everything[kept, 0]
    return Events(
        t=in_order((everything[:, 1] | high)[kept], bits=None, byte_of=byte_of, where=where),
        x=(data >> 17).astype(np.uint16),
        y=(data >> 2 & 0x7FFF).astype(np.uint16),
        p=(data >> 1 & 1).astype(np.uint8),
    )


def passed_over(content: bytes, *, where: Path) -> int:
    """How many entries are of another kind (special events, frames, movements), or marked as invalid."""
    return sum(
        packet.number if packet.kind != _POLARITY else int(np.count_nonzero(~_words(content, packet)[:, 0] & 1))
        for packet in _packets(content, where)
    )


def _words(content: bytes, packet: _Packet) -> np.ndarray:
    return np.frombuffer(content, "<u4", 2 * packet.number, packet.start).reshape(-1, 2)


def _packets(content: bytes, where: Path) -> Iterator[_Packet]:
    """All packets in order."""
    place = _header_bytes(content, where)
    while place < len(content):
        if place + _PACKET.size > len(content):
            raise InputError(f"{where}: truncated, the packet header at byte {place} has {len(content) - place} of 28")
        kind, _, size, _, overflows, capacity, number, _ = _PACKET.unpack_from(content, place)
        start, stop = place + _PACKET.size, place + _PACKET.size + size * capacity
        if stop > len(content):
            raise InputError(
                f"{where}: truncated, the packet at byte {place} has {len(content) - start} of {stop - start}"
            )
        if number > capacity:
            raise InputError(f"{where}: the packet at byte {place} has {number} events, but room for {capacity}")
        if kind == _POLARITY and size != _EVENT_BYTES:
            raise InputError(f"{where}: the packet at byte {place} has events of {size} bytes, polarity events have 8")
        yield _Packet(start, kind, number, overflows)
        place = stop


def _header_bytes(content: bytes, where: Path) -> int:
    """The length of the text header."""
    if not content.startswith(b"#!AER-DAT3.1"):
        raise InputError(f"{where}: does not begin with #!AER-DAT3.1")
    end = content.find(_END)
    if end < 0:
        raise InputError(f"{where}: no line #!END-HEADER, the file is cut off in its header")
    return end + len(_END)
