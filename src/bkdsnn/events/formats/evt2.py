"""EVT 2.0: RAW files of Prophesee's cameras with 32-bit words, each event with the lower 6 bits of its time."""

from functools import partial

from bkdsnn.events.formats import _evt
from bkdsnn.events.formats._evt import LIBRARY, SUFFIX, sensor_of

__all__ = ["LIBRARY", "SUFFIX", "decode", "passed_over", "sensor_of"]

# Source: Prophesee's documentation of the encoding format EVT 2.0.
_VERSION = _evt.Version(name="2.0", word="<u4", single=(0, 1), vector=(), timed=(0, 1, 10), shift=22, low=6, bits=34)

decode = partial(_evt.decode, version=_VERSION)
passed_over = partial(_evt.passed_over, version=_VERSION)
