"""How kernels read and write numbers: bfloat16 is stored as its bits (uint16) and computed in float32."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numba import config, njit, types
from numba.extending import overload

BLOCK = 1024  # values that a kernel works on at once
CONTRACTED = {"fastmath": {"contract"}}

_HERE = Path(__file__).parent
_OWN = _HERE / "__pycache__" if os.access(_HERE, os.W_OK) else Path.home() / ".cache" / "bkdsnn"
_STATE = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(_HERE.glob("*.py")))).hexdigest()[:16]


def kernel(function: Callable) -> Callable:
    """Compiles a function for the CPU when it is first called; the next process finds it compiled."""
    return _compiled(function)


def contracted_kernel(function: Callable) -> Callable:
    """The same, where a product and its sum may be rounded once: no charge, and so no spike, may depend on it."""
    return _compiled(function, **CONTRACTED)


def _compiled(function: Callable, **options: object) -> Callable:
    """Numba tells by the date of a function's own file whether its machine code is of today, not by those of the files
    that it has functions from: hence a folder for each state of all of them."""
    before = config.CACHE_DIR
    config.CACHE_DIR = str(Path(before or _OWN) / _STATE)
    try:  # without numpy's error model, a test for 0 in every division
        return njit(cache=True, nogil=True, error_model="numpy", **options)(function)
    finally:
        config.CACHE_DIR = before


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
