"""SpikingJelly's `.npz` recordings: arrays t, x, y, p."""

import io
import lzma
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from bkdsnn.errors import InputError
from bkdsnn.events.recording import Events, in_order, may_unpack_to

SUFFIX = ".npz"

_LARGEST = np.iinfo(np.int64).max
_DAMAGED = (
    *(OSError, ValueError, TypeError, EOFError, KeyError, SyntaxError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)


def decode(content: bytes, *, where: Path) -> Events:
    """The events as they are stored, all fields but p as int64, t in us.

    Raises InputError for a damaged file, a missing array, arrays that are no integers or of unequal lengths, no events,
    numbers of 2^63 or more, polarities other than 0 and 1, and time that goes back.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as stored:
            fields = {name: _array(stored, f"{name}.npy") for name in "txyp"}
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{where}: no readable .npz with the arrays t, x, y, p ({reason[:200]})") from error
    lengths = {name: len(field) for name, field in fields.items() if field.ndim == 1 and field.dtype.kind in "biu"}
    if len(lengths) < 4 or len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {field.dtype}{list(field.shape)}" for name, field in fields.items())
        raise InputError(f"{where}: t, x, y, p must be integers of one length, found {found}")
    if not lengths["t"]:
        raise InputError(f"{where}: no events")
    for name, field in fields.items():
        if field.max() > _LARGEST:  # only unsigned ones do, and would become negative
            raise InputError(f"{where}: {name} goes up to {field.max()}, wanted at most {_LARGEST}")
    t, x, y, p = (field.astype(np.int64) for field in fields.values())
    if p.min() < 0 or p.max() > 1:
        raise InputError(f"{where}: p must be 0 or 1, found {p.min()} to {p.max()}")
    return Events(t=in_order(t, bits=None, byte_of=None, where=where), x=x, y=y, p=p.astype(np.uint8))


def _array(stored: zipfile.ZipFile, name: str) -> np.ndarray:
    """An array, mapped from its bytes: its header alone never has memory set aside."""
    member = stored.getinfo(name)
    if member.file_size > may_unpack_to(member.compress_size):
        raise ValueError(f"{name} would have {member.file_size:,} bytes, unpacked from {member.compress_size:,}")
    content = stored.read(member)
    buffer = io.BytesIO(content)
    version = np.lib.format.read_magic(buffer)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = read_header[version](buffer)
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects")
    return np.frombuffer(content, dtype, int(np.prod(shape, dtype=object)), buffer.tell()).reshape(shape)
