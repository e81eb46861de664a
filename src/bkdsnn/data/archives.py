"""Archives as published: found, checked, and unpacked without leaving the folder they are unpacked into."""

import os
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

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
    target = root / "extracted" / folder
    partial = root / "extracted" / f".{folder}.partial-{os.getpid()}"
    try:
        partial.mkdir(parents=True)
        extract(found, partial)
        if not (partial / folder).is_dir():
            raise InputError(f"{found}: holds no folder {folder}")
        os.sync()  # all bytes first, then the name that makes them count
        os.replace(partial / folder, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def extract(archive: Path, target: Path) -> None:
    """Unpacks a zip or tar archive into a folder; `InputError` for a damaged one and for paths that lead out of it."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                for member in file.infolist():
                    _check_inside(archive, member.filename, plain=not stat.S_ISLNK(member.external_attr >> 16))
                file.extractall(target)
        else:
            with tarfile.open(archive) as file:
                for member in file:
                    _check_inside(archive, member.name, plain=member.isreg() or member.isdir())
                file.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.4; no owners, no odd modes
                file.extractall(target)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, ValueError) as error:
        raise InputError(f"{archive}: no readable archive ({' '.join(str(error).split())})") from error


def _check_inside(archive: Path, member: str, *, plain: bool) -> None:
    """zipfile drops `..` from a path without a word, an old tarfile follows it; such an archive is refused instead."""
    path = PurePosixPath(member.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]) or not plain:
        raise InputError(f"{archive}: member '{member}' leads out of the folder or is no plain file")
