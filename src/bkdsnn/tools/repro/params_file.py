"""params.yaml as another composition (and dvc.lock kept) for a while, and one `make repro` or `make row` at a time."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from bkdsnn import paths
from bkdsnn.errors import InputError
from bkdsnn.files import sha256
from bkdsnn.tools.compose import compose

_LOCK = Path("dvc.lock")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Raises `InputError` where another such command works in this folder; first undoes what a killed one left."""
    lock = paths.unfinished() / "repro.lock"
    lock.parent.mkdir(exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            _undo()
            yield
    except Timeout as error:
        raise InputError("another `make repro` or `make row` works in this folder: wait for it, or stop it") from error


@contextlib.contextmanager
def composed(overrides: list[str]) -> Iterator[None]:
    """Inside, params.yaml is the composition with these Hydra overrides; then it is as it was, to the byte."""
    fresh = paths.unfinished() / f"composed-{paths.PARAMS}"  # DVC writes YAML where the name ends so
    try:
        compose(fresh, overrides)
        shutil.copy2(paths.PARAMS, _kept("partial"))
        os.replace(_kept("partial"), _kept(sha256(fresh)))
        os.replace(fresh, paths.PARAMS)
        yield
    finally:
        fresh.unlink(missing_ok=True)
        _undo()


@contextlib.contextmanager
def lock_kept() -> Iterator[None]:
    """Afterwards dvc.lock is as it was: what ran is no part of the table. DVC's cache of runs still knows them."""
    kept = paths.unfinished() / "dvc.lock.kept"
    kept.parent.mkdir(exist_ok=True)
    there = _LOCK.exists()
    if there:
        shutil.copy2(_LOCK, kept)
    try:
        yield
    finally:
        if there:
            shutil.move(kept, _LOCK)
        else:
            _LOCK.unlink(missing_ok=True)


def _undo() -> None:
    """Puts the kept params.yaml back, unless somebody has written another one since."""
    for kept in paths.unfinished().glob(_kept("*").name):
        if kept.name == _kept("partial").name:
            kept.unlink()
        elif kept.name == _kept(sha256(paths.PARAMS)).name:
            os.replace(kept, paths.PARAMS)
        else:
            print(f"{paths.PARAMS}: written since `make row` was killed: it stays as it is", flush=True)
            kept.unlink()


def _kept(composition: str) -> Path:
    """Where params.yaml waits while it is the composition with this SHA-256."""
    return paths.unfinished() / f"params.yaml.kept-{composition}"
