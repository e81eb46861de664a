"""How files are written, whole or not at all, and how they are told from others."""

import contextlib
import csv
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from bkdsnn.errors import InputError, errno_of, is_disk_full

_PARTIAL = re.compile(r"\.partial-(?:old-)?(\d+)(?:@(.+?))?(?:-journal)?$")  # whose it is: process and machine


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Gives a temporary folder beside `target` and renames it to `target` once the block has succeeded."""
    with _temporary(target) as partial:
        yield partial
        for path in sorted(partial.rglob("*")):
            if path.is_file():
                flush(path)
        old = partial.with_name(partial.name.replace(".partial-", ".partial-old-"))
        if target.exists():
            os.replace(target, old)
        os.replace(partial, target)
        remove(old)
        flush(target.parent)


@contextlib.contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Gives a temporary path and renames what was written there to `target` once the block has succeeded."""
    with _temporary(target) as partial:
        yield partial / target.name
        flush(partial / target.name)
        os.replace(partial / target.name, target)
        flush(target.parent)


def check_writable(target: Path) -> None:
    """Raises the system's error now where `target` could not be written later, after hours of work."""
    with _temporary(target):
        pass


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A folder beside `target`, gone afterwards; a full disk is told with the target's name, a library's error too."""
    sweep(target.parent)
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}@{socket.gethostname()}")
    remove(partial)
    lock = _locked(partial)
    try:
        yield partial
    except Exception as error:
        if is_disk_full(error) and not getattr(error, "filename", None):
            raise OSError(errno_of(error), str(error), str(target)) from error
        raise
    finally:
        os.close(lock)
        remove(partial)


def _locked(folder: Path) -> int:
    """Makes a folder and locks it: while its owner lives nobody sweeps it."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
        _lock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):  # swept before it was locked: once more
            if os.path.samestat(os.fstat(lock), folder.stat()):
                return lock
        os.close(lock)


def sweep(folder: Path) -> None:
    """Removes what dead processes of this machine have left half-written in a folder.

    A living owner holds the lock; what another machine has left stays, as only that one knows whether its owner lives.
    """
    for partial in folder.glob("*.partial-*"):
        owner = _PARTIAL.search(partial.name)
        if owner and owner[2] in (None, socket.gethostname()) and not _is_alive(partial, int(owner[1])):
            remove(partial)


def _is_alive(partial: Path, process: int) -> bool:
    """Whether the owner lives: by its lock, since numbers of processes come again; a file has none, it must be so."""
    if not partial.is_dir() or "@" not in partial.name.rpartition(".partial-")[2]:
        return is_running(process)
    try:
        handle = os.open(partial, os.O_RDONLY)
    except OSError:
        return True
    try:
        return not _lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(handle)


def _lock(handle: int, how: int) -> bool:
    """Takes a lock; False where somebody else has it, or the file system knows no locks."""
    try:
        fcntl.flock(handle, how)
    except OSError:
        return False
    return True


def is_running(process: int) -> bool:
    """Whether a process of this machine lives."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def remove(path: Path) -> None:
    """Removes a file, or a folder with all that is in it, if it is there; what cannot be removed stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def json_text(content: object) -> str:
    """JSON in a fixed layout, so that equal contents are equal bytes."""
    return json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"


def write_json(path: Path, content: object) -> None:
    """Writes JSON as `json_text` lays it out."""
    path.write_text(json_text(content), encoding="utf-8")


def write_csv(path: Path, columns: dict[str, list]) -> None:
    """Writes columns of equal length; floats in full, so that they are read back as they were."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def read_json(path: Path) -> dict:
    """Reads a JSON object; a missing or damaged file is an `InputError` that names it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no readable JSON here: it is missing; `dvc repro` makes it") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no readable JSON here ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a JSON {type(content).__name__}, wanted an object")
    return content


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5(path: Path) -> str:
    """The MD5 of a file's bytes, in hex: what the publishers of data sets give."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def digest(folder: Path) -> str:
    """What tells a folder with a manifest (a data set, a trained network, a cache) from every other."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise InputError(f"{path}: missing: the folder is not whole; run `dvc repro`")
    return sha256(path)


def flush(path: Path) -> None:
    """Makes a file's bytes, or a folder's entries, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
