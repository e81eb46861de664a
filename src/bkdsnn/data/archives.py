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
    """The folder `folder` of a data set below `root`, or else its archive; `InputError` where neither is there.

    What we unpacked from another archive than the one that is there now does not count.
    """
    packed = next((root / place / archive for place in _DOWNLOADS if (root / place / archive).is_file()), None)
    for place in _PLACES:
        if _is_current(root / place / folder, packed):
            return root / place / folder
    if packed is None:
        raise InputError(f"{root}: has neither the folder {folder} nor {archive}; see docs/data.md on where to get it")
    return packed


def unpacked(root: Path, folder: str, *, archive: str, expected_md5: str | None, bare: bool = False) -> Path:
    """The folder `folder` of a data set below `root`: as it is there, or unpacked from its archive.

    A `bare` archive holds what belongs into the folder, and not the folder.

    `InputError` where neither is there, the archive is another (by its MD5), damaged, or would write elsewhere.
    """
    found = located(root, folder, archive=archive)
    if found.is_dir():
        return found
    if expected_md5 is not None and (actual := md5(found)) != expected_md5:
        raise InputError(f"{found}: has the MD5 {actual}, the published archive has {expected_md5}")
    place = _place(root, found)
    target, partial = place / folder, place / f".{folder}.partial-{os.getpid()}"
    if _is_current(target, found):
        return target
    try:
        inside = partial / folder if bare else partial
        inside.mkdir(parents=True)
        extract(found, inside, known=expected_md5 is not None)
        if not (partial / folder).is_dir():
            raise InputError(f"{found}: holds no folder {folder}")
        os.sync()  # all bytes first, then the name that makes them count
        if not _is_current(target, found):  # else another stage was faster
            _replace(target, partial, archive=found)
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
    which = f"{archive.resolve()} {_state(archive)}"
    return paths.unpacked(hashlib.sha256(os.fsencode(which)).hexdigest()[:12])


def _is_current(folder: Path, archive: Path | None) -> bool:
    """Whether a folder is there, and was not unpacked from an archive that has been replaced since."""
    origin = _origin(folder)
    return folder.is_dir() and (archive is None or not origin.is_file() or origin.read_text() == _state(archive))


def _replace(target: Path, partial: Path, *, archive: Path) -> None:
    """Puts what lies unpacked in `partial` where it counts; what was there goes with the rest of `partial`."""
    if target.is_dir():
        os.replace(target, partial / ".old")
    _origin(target).write_text(_state(archive))
    os.replace(partial / target.name, target)


def _origin(folder: Path) -> Path:
    """Where it is kept which archive a folder was unpacked from."""
    return folder.with_name(f".{folder.name}.from")


def _state(archive: Path) -> str:
    found = archive.stat()
    return f"{found.st_size} bytes of {found.st_mtime_ns}"
