"""Prophesee `.dat` files with CD events, as N-Cars has them."""

import re
from pathlib import Path

import numpy as np

from bkdsnn.errors import InputError
from bkdsnn.events.recording import Events, check_whole, in_order

SUFFIX = ".dat"

_HEADER_LINE = re.compile(rb"%[^\n]*\n")
_EVENT_BYTES = 8
_CD_TYPES = (0x00, 0x0C)  # of older and of newer recorders


def decode(content: bytes, *, where: Path) -> Events:
    """The events (t int64 us; x, y uint16; p uint8): 32 bits time, then 14 bits x, 14 bits y, 4 bits polarity.

    Raises InputError for a file without events, events of another kind, a truncated event and time that goes back (a
    32-bit wrap-around is undone).
    Source: Prophesee's documentation of the DAT format, version 2.
    """
    start = 0
    while line := _HEADER_LINE.match(content, start):
        start = line.end()
    if start == 0:
        raise InputError(f"{where}: no header lines with %, so no Prophesee .dat file")
    if len(content) < start + 2:
        raise InputError(f"{where}: truncated, the kind of event at byte {start} is cut off")
    kind, width = content[start], content[start + 1]
    if kind not in _CD_TYPES or width != _EVENT_BYTES:
        raise InputError(
            f"{where}: events of kind {kind:#x} and {width} bytes at byte {start}, only CD events (8) are read"
        )
    start += 2
    check_whole(content, start=start, width=_EVENT_BYTES, where=where)
    words = np.frombuffer(content, dtype="<u4", offset=start).reshape(-1, 2)  # [N, 2]: stamp, data
    data = words[:, 1]
    return Events(
        t=in_order(words[:, 0].astype(np.int64), bits=32, byte_of=lambda n: start + n * _EVENT_BYTES, where=where),
        x=(data & 0x3FFF).astype(np.uint16),
        y=(data >> 14 & 0x3FFF).astype(np.uint16),
        p=(data >> 28 & 1).astype(np.uint8),
    )
