"""EVT 3.0: RAW files of Prophesee's cameras with 16-bit words, each of which says what has changed."""

from functools import partial

from bkdsnn.events.formats import _evt
from bkdsnn.events.formats._evt import LIBRARY, SUFFIX, sensor_of

__all__ = ["LIBRARY", "SUFFIX", "decode", "passed_over", "sensor_of"]

# Source: Prophesee's documentation of the encoding format EVT 3.0.
_VERSION = _evt.Version(name="3.0", word="<u2", single=(2,), vector=(4, 5), timed=(6,), shift=0, low=12, bits=24)

decode = partial(_evt.decode, version=_VERSION)
passed_over = partial(_evt.passed_over, version=_VERSION)
