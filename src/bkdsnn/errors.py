"""The one exception that a user's mistake raises, and what errors of the system and of libraries are in one line."""

import errno
import os
import re
import tempfile
import traceback
from pathlib import Path

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# By number: what is wrong there, and what helps.
_SYSTEM = {
    errno.ENOSPC: "the disk is full; make room there",
    errno.EDQUOT: "the disk is full: the quota is used up; make room there",
    errno.EFBIG: "a file may not be so large there (ulimit -f, or the file system)",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "no right to read or write here",
    errno.EPERM: "no right to read or write here",
    errno.ENAMETOOLONG: "the name is too long for this file system; shorter keys or a shorter folder help",
    errno.EMFILE: "too many open files; raise `ulimit -n`, or lower BKDSNN_WORKERS",
    errno.ENFILE: "too many open files on this machine",
}
_ROOM = 16 << 20  # bytes; a disk with more is not meant by "full"
_FULL_TEXT = re.compile(r"\d+ requested and \d+ written|no space left on device|disk is full|file write failed", re.I)
_NUMBER = re.compile(r"(?:os error |\[?errno\]? ?=? ?)(\d+)", re.I)
_NO_MEMORY = re.compile(
    r"out of memory|not enough memory|(can't|cannot) allocate memory|bad_alloc|alloc(ation)?[ _]failed|MemoryAllocation"
    r"|OUT_OF_HOST_MEMORY|can't start new thread|failed to map segment",
    re.I,
)
_DAMAGED = ("SafetensorError", "BadZipFile", "BadGzipFile", "LZMAError", "zlib.error", "tarfile.ReadError")
_CUT_OFF = "Compressed file ended"  # an EOFError, which pipes raise too
_GONE = ("BrokenProcessPool", "exited unexpectedly", "is killed by signal", "terminated abruptly")
_HANDING_OVER = "multiprocessing"  # where a tensor's handle goes from one process to another


class InputError(Exception):
    """A mistake in what the user gave us, told in one line: what is wrong, where, what is allowed."""


def explained(error: BaseException) -> str | None:
    """One line about an error that is no mistake of ours; None where only a traceback helps."""
    if isinstance(error, InputError):
        return str(error)
    if is_out_of_memory(error):
        return f"out of memory ({_first_line(error)}); smaller batches or networks, or fewer processes take less"
    kind = f"{type(error).__module__}.{type(error).__name__}"
    if any(sign in f"{kind} {error}" for sign in _GONE) or _handing_over(error):
        return f"a helper process was ended from outside, mostly since memory ran out ({_first_line(error)})"
    if number := errno_of(error):
        return _of_system(error, number)
    if isinstance(error, NotImplementedError) and "flock" in str(error):
        return "the file system here has no locks (flock), by which runs wait for each other; use another"
    if kind.endswith(_DAMAGED) or _CUT_OFF in str(error):
        return f"{_file_of(error) or 'a file'}: damaged, or no file of its kind ({_first_line(error)})"
    return None


def _handing_over(error: BaseException) -> bool:
    """Whether a connection broke off between a loader and its worker, not one to a server."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, ConnectionError) and any(_HANDING_OVER in Path(frame.filename).parts for frame in frames)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory did not suffice, the machine's or a GPU's; libraries say so in their own words."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    hidden = isinstance(error, RuntimeError | ImportError) and _NO_MEMORY.search(str(error))
    return isinstance(error, MemoryError) or bool(hidden)


def errno_of(error: BaseException) -> int | None:
    """The system's number for an error, also where a library hides it in its text; None: the system had no part."""
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return error.errno
    if isinstance(error, OSError | RuntimeError) or type(error).__name__ in ("SafetensorError", "OperationalError"):
        if _FULL_TEXT.search(str(error)):
            return errno.ENOSPC
        if "Too many open files" in str(error):
            return errno.EMFILE
        found = _NUMBER.search(str(error))
        return int(found[1]) if found and int(found[1]) in errno.errorcode else None
    return None


def is_disk_full(error: BaseException) -> bool:
    """Whether a write failed since there is no room for it."""
    return errno_of(error) in _DISK_FULL


def _of_system(error: BaseException, number: int) -> str | None:
    """None for what has neither a place nor a known remedy, such as a pipe that broke."""
    named = getattr(error, "filename2", None) or getattr(error, "filename", None)  # of a copy the target
    place = os.fsdecode(named) if isinstance(named, str | bytes | os.PathLike) else None
    if place is None and number in _DISK_FULL:
        place = _fullest()
    place = re.sub(r"\.partial-[^/]*(/.*)?$", "", place) if place else None  # ours, and gone with the error
    words = _SYSTEM.get(number) or (os.strerror(number) if place else None)
    return f"{place}: {words}" if place else words and f"{words} ({_first_line(error)})"


def _fullest() -> str | None:
    """Of the folders that a stage writes to the one with the least room; None: all have some."""
    places = [Path.cwd(), Path(tempfile.gettempdir()), *map(Path, ("data", "models", "results", "/dev/shm"))]

    def room(place: Path) -> int:
        found = os.statvfs(place)
        return found.f_bavail * found.f_frsize

    fullest = min((place for place in places if place.is_dir()), key=room)
    return str(fullest) if room(fullest) < _ROOM else None


def _file_of(error: BaseException) -> Path | None:
    """The file that the innermost function with a path at hand was about."""
    found, trace = None, error.__traceback__
    while trace:
        paths = [value for value in trace.tb_frame.f_locals.values() if isinstance(value, Path) and value.is_file()]
        found, trace = (paths[-1] if paths else found), trace.tb_next
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
