"""Finished shards of a cache that is being written, kept under `.resume/` until all are there."""

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import uuid
from pathlib import Path
from typing import IO, Self

from bkdsnn import paths
from bkdsnn.files import sha256

log = logging.getLogger(__name__)


class ShardStore:
    """The folder `.resume/cache-<key>/`, which all processes share that write the same cache.

    A shard's file is called `<name>.<SHA-256 of its bytes>` and gets this name when it is whole and on the disk, so
    that a name is enough to find it and to check it. Two processes that write the same shard write the same file.
    """

    def __init__(self, key: str) -> None:
        self.folder = paths.unfinished() / f"cache-{key}"
        self._digests: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._lock = _shared_lock(self.folder)
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.close()

    def bytes(self) -> int:
        """How much of the disk the folder takes."""
        return sum(path.stat().st_size for path in self.folder.iterdir())

    def lists(self, name: str) -> bool:
        """Whether some process has finished a shard."""
        return next(self.folder.glob(f"{name}.*"), None) is not None

    def holds(self, name: str) -> bool:
        """Whether a shard is finished and whole; a damaged one is thrown away, and one line says so."""
        for path in () if name in self._digests else self.folder.glob(f"{name}.*"):
            with contextlib.suppress(FileNotFoundError):  # another process threw it away
                digest = path.suffix[1:]
                if sha256(path) == digest:
                    self._digests[name] = digest
                    break
                log.warning("%s: truncated or altered after it was written: it is made again", path.name)
                path.unlink()
        return name in self._digests

    def write(self, name: str, content: bytes) -> None:
        """Keeps a shard, whole or not at all."""
        digest = hashlib.sha256(content).hexdigest()
        partial = self.folder / f"partial-{uuid.uuid4().hex}"
        try:
            with partial.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self.folder / f"{name}.{digest}")
        finally:
            partial.unlink(missing_ok=True)
        self._digests[name] = digest

    def put(self, name: str, folder: Path) -> str:
        """Puts a shard that the store holds into a folder, without a copy where the disk can; returns its SHA-256."""
        path, target = self.folder / f"{name}.{self._digests[name]}", folder / f"{name}.safetensors"
        try:
            os.link(path, target)
        except OSError:  # another disk
            shutil.copyfile(path, target)
        return self._digests[name]

    def clear(self) -> None:
        """Removes the folder, unless another process still uses it: the last one does it."""
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(self.folder)


def _shared_lock(folder: Path) -> IO:
    """A lock that says that the folder is in use; who is alone there first sweeps out what a kill left half-written."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # its last user removed the folder meanwhile: once more
            lock = (folder / "lock").open("a")
            alone = True
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                alone = False
                fcntl.flock(lock, fcntl.LOCK_SH)
            if (folder / "lock").stat().st_ino != os.fstat(lock.fileno()).st_ino:
                continue
            for partial in folder.glob("partial-*") if alone else ():
                partial.unlink()
            fcntl.flock(lock, fcntl.LOCK_SH)
            return lock
