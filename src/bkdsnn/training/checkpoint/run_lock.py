"""One process trains a run; another that wants the same waits for it and takes what it made."""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bkdsnn import paths
from bkdsnn.files import new_folder, read_json, write_json

log = logging.getLogger(__name__)


@contextlib.contextmanager
def claimed(made_of: dict[str, Any], *, made_by: dict[str, Any], target: Path) -> Iterator[tuple[Path, bool]]:
    """Gives the folder for the states of the run that `made_of` describes, and whether `target` is already there.

    It is where another process was training this run, with the same code, and this one has waited. The folder is gone
    when the block has succeeded; while others wait it holds a copy of `target` for them.
    """
    key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]
    folder = paths.unfinished() / key
    folder.parent.mkdir(exist_ok=True)
    lock = FileLock(folder.with_suffix(".lock"))
    waited = _acquire(lock, folder)
    try:
        result, makers = folder / "result", folder / "made_by.json"
        taken = waited and result.is_dir() and read_json(makers) == made_by
        if taken:
            _copy(result, target)
            log.info("%s: trained by the process that was waited for", target)
        else:
            shutil.rmtree(result, ignore_errors=True)
        yield folder, taken
        if _others_wait(folder):
            folder.mkdir(exist_ok=True)
            write_json(makers, made_by)
            _copy(target, result)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            Path(lock.lock_file).unlink(missing_ok=True)  # those who have it open see that it is gone, and open another
    finally:
        lock.release()


def _acquire(lock: FileLock, folder: Path) -> bool:
    """Takes the lock; whether another process had it."""
    with contextlib.suppress(Timeout):
        lock.acquire(blocking=False)
        return False
    mark = folder.with_suffix(f".waits-{os.getpid()}@{socket.gethostname()}")
    try:
        mark.touch()
        log.info("%s: another process is training this run: this one waits for it", folder)
        lock.acquire()
    finally:
        mark.unlink(missing_ok=True)
    return True


def _others_wait(folder: Path) -> bool:
    """Whether a process waits for the lock; the marks of those that were killed meanwhile are removed."""
    for mark in folder.parent.glob(f"{folder.name}.waits-*"):
        number, host = mark.name.partition(".waits-")[2].split("@", 1)
        if host == socket.gethostname():
            try:
                os.kill(int(number), 0)
            except ProcessLookupError:
                mark.unlink()
    return any(folder.parent.glob(f"{folder.name}.waits-*"))


def _copy(source: Path, target: Path) -> None:
    with new_folder(target) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)
