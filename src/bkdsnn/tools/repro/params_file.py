"""params.yaml as another composition for a while, and one `make repro` or `make row` at a time."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from bkdsnn import paths
from bkdsnn.errors import InputError
from bkdsnn.tools.compose import compose


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Raises `InputError` where another such command works in this folder; first undoes what a killed one left."""
    lock = paths.unfinished() / "repro.lock"
    lock.parent.mkdir(exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            if _kept().is_file():
                os.replace(_kept(), paths.PARAMS)
            yield
    except Timeout as error:
        raise InputError("another `make repro` or `make row` works in this folder: wait for it, or stop it") from error


@contextlib.contextmanager
def composed(overrides: list[str]) -> Iterator[None]:
    """Inside, params.yaml is the composition with these Hydra overrides; then it is as it was, to the byte."""
    partial = _kept().with_suffix(".partial")
    shutil.copy2(paths.PARAMS, partial)
    os.replace(partial, _kept())
    try:
        compose(paths.PARAMS, overrides)
        yield
    finally:
        os.replace(_kept(), paths.PARAMS)


def _kept() -> Path:
    return paths.unfinished() / "params.yaml.kept"
