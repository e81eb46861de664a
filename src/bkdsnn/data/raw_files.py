"""What tells a data set's files, as published, from others: cheap enough to be looked at before every `dvc repro`.

Names and sizes count, and contents where all files together are small, else the times of their last change.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bkdsnn.errors import InputError
from bkdsnn.files import sha256
from bkdsnn.params.schema import Dataset

SMALL = 64 << 20  # bytes of a whole data set
MADE = {"extracted", "downloaded"}  # folders that prepare_data makes below a data set's own


class RawFile(NamedTuple):
    """A file below a data set's folder: its name from there on, its size (bytes), and when it was changed (ns)."""

    name: str
    size: int
    changed: int


def fingerprints(datasets: dict[str, Dataset], *, raw: Path) -> dict[str, dict[str, object]]:
    """The fingerprint of every data set that has files of its own below `raw`, by key."""
    roots = {key: dataset.settings.get("root") for key, dataset in datasets.items()}
    return {key: fingerprint(raw / root) if root else {"files": 0} for key, root in roots.items()}


def fingerprint(root: Path) -> dict[str, object]:
    """How many files lie below a folder, how large they are, and a SHA-256 that changes with any of them."""
    files = sorted(_below(root))
    size = sum(file.size for file in files)
    digest = hashlib.sha256()
    for file in files:
        state = sha256(root / file.name) if size <= SMALL else str(file.changed)
        digest.update(f"{file.name}\0{file.size}\0{state}\n".encode(errors="surrogateescape"))
    return {"files": len(files), "bytes": size, "sha256": digest.hexdigest()}


def _below(root: Path) -> Iterator[RawFile]:
    """All files below a folder, none where there is no folder; of a folder that is linked into itself each once."""
    pending, seen = [""], set()
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    name, found = os.path.join(folder, entry.name), entry.stat()
                    if not entry.is_dir():
                        yield RawFile(name, found.st_size, found.st_mtime_ns)
                    elif name not in MADE and (place := (found.st_dev, found.st_ino)) not in seen:
                        seen.add(place)
                        pending.append(name)
        except FileNotFoundError as error:
            if folder or root.is_dir():
                raise InputError(f"{error.filename}: a link that leads nowhere, or it vanished just now") from error
        except OSError as error:
            raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error
