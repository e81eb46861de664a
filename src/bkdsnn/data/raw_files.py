"""What tells a data set's files, as published, from others: cheap enough to be looked at before every `dvc repro`.

Names and sizes count, and contents where all files together are small, else the times of their last change.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
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
    files = size = 0
    digest = hashlib.sha256()
    for file in below(root, ignored=MADE.__contains__):
        files, size = files + 1, size + file.size
        digest.update(f"{file.name}\0{file.size}\0{file.changed}\n".encode(errors="surrogateescape"))
    if size <= SMALL:
        digest = hashlib.sha256()
        for file in below(root, ignored=MADE.__contains__):
            digest.update(f"{file.name}\0{_content(root / file.name)}\n".encode(errors="surrogateescape"))
    return {"files": files, "bytes": size, "sha256": digest.hexdigest()}


def _content(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def below(root: Path, *, ignored: Callable[[str], bool]) -> Iterator[RawFile]:
    """All files below a folder in one order, none where there is no folder; one that is linked into itself once.

    A folder whose name from the root on is `ignored` is passed over with all that is in it.
    """
    pending, seen = [""], {_place(root.stat())} if root.is_dir() else set()
    while pending:
        folder = pending.pop()
        files, folders = [], []
        try:
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    name, found = os.path.join(folder, entry.name), entry.stat()
                    if entry.is_file():
                        files.append(RawFile(name, found.st_size, found.st_mtime_ns))
                    elif entry.is_dir() and not ignored(name) and (place := _place(found)) not in seen:
                        seen.add(place)
                        folders.append(name)
        except FileNotFoundError as error:
            if folder or root.is_dir():
                raise InputError(f"{error.filename}: a link that leads nowhere, or it vanished just now") from error
        except OSError as error:
            raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error
        yield from sorted(files)
        pending += sorted(folders, reverse=True)


def _place(found: os.stat_result) -> tuple[int, int]:
    """What tells a folder from others, by whatever name it is reached."""
    return found.st_dev, found.st_ino
