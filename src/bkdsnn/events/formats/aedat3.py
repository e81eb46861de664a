"""AEDAT 3.1 files with polarity events, as DVS128 Gesture has them."""

import struct
from pathlib import Path

import numpy as np

from bkdsnn.errors import InputError
from bkdsnn.events.recording import Events, in_order

SUFFIX = ".aedat"

_END = b"#!END-HEADER\r\n"
# Type, source, event size, offset of the stamp, overflows of the stamp, capacity, number, valid.
_PACKET = struct.Struct("<HHIIIIII")
_POLARITY = 1
_EVENT_BYTES = 8


def decode(content: bytes, *, where: Path) -> Events:
    """The polarity events (t int64 us; x, y uint16; p uint8), those that SpikingJelly's reader gives.

    Packets of other kinds are passed over, as there. Raises InputError for a file without events, another AEDAT
    version, a packet that is cut off or does not hold what its header says, and time that goes back.
    Source: the AEDAT 3.1 specification of iniVation; layout as in spikingjelly.datasets.utils.load_aedat_v3.
    """
    place, packets = _header_bytes(content, where), []
    while place < len(content):
        if place + _PACKET.size > len(content):
            raise InputError(f"{where}: truncated, the packet header at byte {place} has {len(content) - place} of 28")
        kind, _, size, _, overflows, capacity, _, _ = _PACKET.unpack_from(content, place)
        start, stop = place + _PACKET.size, place + _PACKET.size + size * capacity
        if stop > len(content):
            raise InputError(
                f"{where}: truncated, the packet at byte {place} has {len(content) - start} of {stop - start}"
            )
        if kind == _POLARITY:
            if size != _EVENT_BYTES:
                raise InputError(
                    f"{where}: the packet at byte {place} has events of {size} bytes, polarity events have 8"
                )
            packets.append((start, overflows, np.frombuffer(content, "<u4", 2 * capacity, start).reshape(-1, 2)))
        place = stop
    if not sum(len(words) for _, _, words in packets):
        raise InputError(f"{where}: no polarity events in {len(content)} bytes")
    words = np.concatenate([words for _, _, words in packets])  # [N, 2]: data, stamp
    lengths = [len(words) for _, _, words in packets]
    high = np.repeat(np.array([overflows for _, overflows, _ in packets], dtype=np.int64) << 31, lengths)
    first = np.cumsum([0, *lengths])

    def byte_of(event: int) -> int:
        packet = int(np.searchsorted(first, event, side="right")) - 1
        return packets[packet][0] + (event - int(first[packet])) * _EVENT_BYTES

    data = words[:, 0]
    return Events(
        t=in_order(words[:, 1] | high, bits=None, byte_of=byte_of, where=where),
        x=(data >> 17).astype(np.uint16),
        y=(data >> 2 & 0x7FFF).astype(np.uint16),
        p=(data >> 1 & 1).astype(np.uint8),
    )


def _header_bytes(content: bytes, where: Path) -> int:
    """The length of the text header."""
    if not content.startswith(b"#!AER-DAT3.1"):
        raise InputError(f"{where}: does not begin with #!AER-DAT3.1")
    end = content.find(_END)
    if end < 0:
        raise InputError(f"{where}: no line #!END-HEADER, the file is cut off in its header")
    return end + len(_END)
