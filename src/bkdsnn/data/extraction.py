"""An archive's members become files of one folder: none elsewhere, none hidden, and no more than it can hold."""

import errno
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from bkdsnn.data.files import OF_THE_MACHINE, visible
from bkdsnn.errors import InputError

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_NOT_PLAIN = "leads out of the folder or is no plain file"
_DENSEST, _SMALL = 100, 64 << 20  # no images or recordings are packed closer; up to so many bytes anything may be
_OF_THE_MACHINE = OF_THE_MACHINE | {errno.EACCES, errno.EPERM, errno.EIO}  # as for the folder that is written


def extract(archive: Path, target: Path, *, known: bool = False) -> None:
    """Unpacks a zip or tar archive into a folder, without hidden members.

    `InputError` for a damaged one, for paths that lead out of the folder, and for more bytes than the disk has, or than
    an archive of its size holds that is not `known` by its MD5.
    """
    room = _room(archive, target, known=known)
    with _readable(archive, target):
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                members = file.infolist()
                _check(archive, ((one.filename, one.file_size, _why_not(one)) for one in members), room=room)
                file.extractall(target, [one for one in members if _is_visible(one.filename)])
        else:
            with tarfile.open(archive) as file:
                listed = ((one.name, one.size, _NOT_PLAIN * (not (one.isreg() or one.isdir()))) for one in file)
                _check(archive, listed, room=room)
                file.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.4; no owners, no odd modes
                file.extractall(target, [one for one in file.getmembers() if _is_visible(one.name)])


class _Room(NamedTuple):
    size: int  # bytes
    why: str


def _room(archive: Path, target: Path, *, known: bool) -> _Room:
    """How much an archive may unpack to, by its own listing."""
    free = _Room(shutil.disk_usage(target).free, f"the disk of {target} has free")
    if known:
        return free
    dense = max(_DENSEST * archive.stat().st_size, _SMALL)
    return min(free, _Room(dense, "an archive of its size may hold; where it is right, unpack it beside it yourself"))


@contextmanager
def _readable(archive: Path, target: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # unpackers fail on damaged bytes with whatever they meet first
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            raise OSError(error.errno, error.strerror, error.filename or str(target)) from error
        why = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{archive}: no readable archive ({why})") from error


def _check(archive: Path, members: Iterable[tuple[str, int, str]], *, room: _Room) -> None:
    """`InputError` where a member (its name, its size, what is wrong with it) cannot be unpacked, or all are too large.

    zipfile drops `..` from a path without a word, an old tarfile follows it; such an archive is refused instead.
    """
    total = 0
    for name, size, wrong in members:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]):
            wrong = _NOT_PLAIN
        if wrong:
            raise InputError(f"{archive}: member {name!r} {wrong}")
        total += size
        if total > room.size:
            raise InputError(f"{archive}: unpacks to more than the {room.size:,} bytes that {room.why}")


def _why_not(member: zipfile.ZipInfo) -> str:
    """What is wrong with a member of a zip, or nothing."""
    if stat.S_ISLNK(member.external_attr >> 16):
        return _NOT_PLAIN
    if member.flag_bits & 1:
        return "is encrypted; unpack it beside the archive yourself"
    if member.compress_type not in _METHODS:
        method = zipfile.compressor_names.get(member.compress_type, str(member.compress_type))
        return f"is packed by {method}, which Python cannot unpack; unpack it beside the archive, as with `7z x`"
    return ""


def _is_visible(member: str) -> bool:
    return all(map(visible, PurePosixPath(member.replace("\\", "/")).parts))
