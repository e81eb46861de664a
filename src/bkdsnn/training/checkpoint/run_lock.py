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
from bkdsnn.files import is_running, new_folder, read_json, remove, sweep, write_json

log = logging.getLogger(__name__)
_KEY = 16  # hex digits


@contextlib.contextmanager
def claimed(made_of: dict[str, Any], *, made_by: dict[str, Any], target: Path) -> Iterator[tuple[Path, bool]]:
    """Gives the folder for the states of the run that `made_of` describes, and whether `target` is already there.

    It is where another process was training this run, with the same code, and this one has waited. The folder is gone
    when the block has succeeded; while others wait it holds a copy of `target` for them.
    """
    key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:_KEY]
    folder = paths.unfinished() / key
    folder.parent.mkdir(exist_ok=True)
    lock = FileLock(folder.with_suffix(".lock"))
    waited = _acquire(lock, folder)
    try:
        _sweep(folder.parent, own=folder)
        result, makers = folder / "result", folder / "made_by.json"
        taken = waited and result.is_dir() and read_json(makers) == made_by
        if taken:
            _copy(result, target)
            log.info("%s: trained by the process that was waited for", target)
        else:
            remove(result)
        yield folder, taken
        if _others_wait(folder):
            _hand_over(target, result, made_by=made_by)
        else:
            _forget(folder)
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
        number, _, host = mark.name.partition(".waits-")[2].partition("@")
        if host == socket.gethostname() and not (number.isdecimal() and is_running(int(number))):
            remove(mark)
    return any(folder.parent.glob(f"{folder.name}.waits-*"))


def _hand_over(target: Path, result: Path, *, made_by: dict[str, Any]) -> None:
    """Copies what was made for those who wait; where there is no room they go on from the last state themselves."""
    try:
        result.parent.mkdir(exist_ok=True)
        write_json(result.with_name("made_by.json"), made_by)
        _copy(target, result)
    except OSError as error:
        log.warning("%s: could not be handed over (%s): who waits makes it too", target, error)


def _forget(folder: Path) -> None:
    """Removes a run's folder and its lock, which is held: who has it open sees that it is gone, and opens another."""
    remove(folder)
    remove(folder.with_suffix(".lock"))


def _sweep(unfinished: Path, *, own: Path) -> None:
    """Removes what killed processes have left that no run goes on from; states stay, also those of dead runs."""
    for folder in (unfinished, unfinished.parent):  # the second one is MLflow's
        sweep(folder)
    others = set(unfinished.glob(f"{'[0-9a-f]' * _KEY}.lock")) - {own.with_suffix(".lock")}
    for file in others:
        lock, folder = FileLock(file), file.with_suffix("")
        with contextlib.suppress(Timeout, OSError):
            lock.acquire(blocking=False)
            if not _others_wait(folder) and not any(folder.glob("*.safetensors")):
                _forget(folder)
            lock.release()


def _copy(source: Path, target: Path) -> None:
    with new_folder(target) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)
