"""How kernels read and write numbers: bfloat16 is stored as its bits (uint16) and computed in float32."""

import hashlib
import os
from pathlib import Path

import numpy as np
from numba import config, types
from numba.extending import overload

# Numba tells by the date of a kernel's own file whether compiled code is of today, not by those files that it has
# functions from: a folder for each state of all of them.
_HERE = Path(__file__).parent
if not config.CACHE_DIR and os.access(_HERE, os.W_OK):
    _STATE = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(_HERE.glob("*.py")))).hexdigest()[:16]
    config.CACHE_DIR = str(_HERE / "__pycache__" / _STATE)

BLOCK = 512  # values that a kernel works on at once
CONTRACTED = {"fastmath": {"contract"}}  # a product and its sum may be rounded once: no charge, no spike depends on it
OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy"}  # without numpy's, a test for 0 in every division


def read(_value):
    """A stored value as a number."""


def write(_target, _i, _value):
    """Stores a number, rounded to nearest where the target holds bfloat16."""


@overload(read)
def _(value):
    if value == types.uint16:
        return lambda value: np.uint32(np.uint32(value) << np.uint32(16)).view(np.float32)
    return lambda value: value


@overload(write)
def _(target, i, value):
    if target.dtype == types.uint16:

        def round_to_bfloat16(target, i, value):
            bits = np.float32(value).view(np.uint32)
            even = (bits >> np.uint32(16)) & np.uint32(1)
            target[i] = np.uint16((bits + np.uint32(0x7FFF) + even) >> np.uint32(16))

        return round_to_bfloat16

    def store(target, i, value):
        target[i] = value

    return store
