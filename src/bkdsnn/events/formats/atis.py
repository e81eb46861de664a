"""ATIS `.bin` files of N-MNIST and N-Caltech101: 40-bit words."""

from pathlib import Path

import numpy as np

from bkdsnn.errors import InputError
from bkdsnn.events.recording import Events, check_whole, in_order

SUFFIX = ".bin"

_EVENT_BYTES = 5
_OVERFLOW_ROW = 240  # an "event" here says that the stamps to come are 2^13 us later
_OVERFLOW_US = 1 << 13


def decode(content: bytes, *, where: Path) -> Events:
    """The events (t int64 us; x, y, p uint8): 8 bits x, 8 bits y, 1 bit polarity, 23 bits time.

    Without overflow words those that SpikingJelly's reader gives, and with them tonic's. Raises InputError for a
    truncated event and for time that goes back (a 23-bit wrap-around is undone).
    Source: Orchard et al. 2015, doi:10.3389/fnins.2015.00437.
    """
    check_whole(content, start=0, width=_EVENT_BYTES, where=where)
    words = np.frombuffer(content, dtype=np.uint8).reshape(-1, _EVENT_BYTES)  # [N, 5]
    stamp = (words[:, 2].astype(np.int64) & 127) << 16 | words[:, 3].astype(np.int64) << 8 | words[:, 4]
    overflow = words[:, 1] == _OVERFLOW_ROW
    if overflow.all():
        raise InputError(f"{where}: no events, {len(words)} overflow words are all there is")
    kept = np.flatnonzero(~overflow)
    return Events(
        t=in_order(
            (stamp + np.cumsum(overflow) * _OVERFLOW_US)[kept],
            bits=23,
            byte_of=lambda event: int(kept[event]) * _EVENT_BYTES,
            where=where,
        ),
        x=words[kept, 0],
        y=words[kept, 1],
        p=words[kept, 2] >> 7,
    )
