"""SpikingJelly's `.npz` recordings: arrays t, x, y, p."""

import io
import zipfile
from pathlib import Path

import numpy as np

from bkdsnn.errors import InputError
from bkdsnn.events.recording import Events, in_order

SUFFIX = ".npz"


def decode(content: bytes, *, where: Path) -> Events:
    """The events as they are stored, t as int64 us.

    Raises InputError for a damaged file, a missing array, arrays that are no integers or of unequal lengths, no events,
    polarities other than 0 and 1, and time that goes back.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            fields = {name: stored[name] for name in "txyp"}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{where}: no readable .npz with the arrays t, x, y, p ({' '.join(str(error).split())})"
        ) from error
    lengths = {name: len(field) for name, field in fields.items() if field.ndim == 1 and field.dtype.kind in "biu"}
    if len(lengths) < 4 or len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {field.dtype}{list(field.shape)}" for name, field in fields.items())
        raise InputError(f"{where}: t, x, y, p must be integers of one length, found {found}")
    if not lengths["t"]:
        raise InputError(f"{where}: no events")
    p = fields["p"].astype(np.int64)
    if p.min() < 0 or p.max() > 1:
        raise InputError(f"{where}: p must be 0 or 1, found {p.min()} to {p.max()}")
    t = in_order(fields["t"].astype(np.int64), bits=None, byte_of=None, where=where)
    return Events(t=t, x=fields["x"], y=fields["y"], p=p.astype(np.uint8))
