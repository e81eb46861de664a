"""Archives as published: found, checked by their MD5, and unpacked once."""

import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from bkdsnn import paths
from bkdsnn.data.extraction import extract
from bkdsnn.errors import InputError
from bkdsnn.files import md5

DOWNLOADED = "downloaded"  # where we put an archive; its MD5 is known
_PLACES = ("", "extracted", "extract")  # the second is ours, the third SpikingJelly's
_DOWNLOADS = ("", "download", DOWNLOADED)


def located(root: Path, folder: str, *, archive: str) -> Path:
    """The folder `folder` of a data set below `root`, or else its archive; `InputError` where neither is there."""
    for place in _PLACES:
        if (root / place / folder).is_dir():
            return root / place / folder
    for place in _DOWNLOADS:
        if (root / place / archive).is_file():
            return root / place / archive
    raise InputError(f"{root}: has neither the folder {folder} nor {archive}; see docs/data.md on where to get it")


def unpacked(root: Path, folder: str, *, archive: str, expected_md5: str | None) -> Path:
    """The folder `folder` of a data set below `root`: as it is there, or unpacked from its archive.

    `InputError` where neither is there, the archive is another (by its MD5), damaged, or would write elsewhere.
    """
    found = located(root, folder, archive=archive)
    if found.is_dir():
        return found
    if expected_md5 is not None and (actual := md5(found)) != expected_md5:
        raise InputError(f"{found}: has the MD5 {actual}, the published archive has {expected_md5}")
    place = _place(root, found)
    target, partial = place / folder, place / f".{folder}.partial-{os.getpid()}"
    if target.is_dir():
        return target
    try:
        partial.mkdir(parents=True)
        extract(found, partial, known=expected_md5 is not None)
        if not (partial / folder).is_dir():
            raise InputError(f"{found}: holds no folder {folder}")
        os.sync()  # all bytes first, then the name that makes them count
        _rename(partial / folder, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _place(root: Path, archive: Path) -> Path:
    """Where to unpack: beside the archive, or where nothing can be written there, below the project."""
    beside = root / "extracted"
    try:
        beside.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=beside):
            return beside
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
    found = archive.stat()
    which = f"{archive.resolve()} {found.st_size} {found.st_mtime_ns}"
    return paths.unpacked(hashlib.sha256(os.fsencode(which)).hexdigest()[:12])


def _rename(folder: Path, target: Path) -> None:
    try:
        os.replace(folder, target)
    except OSError:
        if not target.is_dir():  # it is where another stage was faster
            raise
