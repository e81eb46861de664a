"""How kernels read and write numbers: bfloat16 is stored as its bits (uint16) and computed in float32."""

import numpy as np
from numba import types
from numba.extending import overload

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
