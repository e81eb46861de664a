"""Files of a data set as published: found by class, told from others, named where they are damaged."""

import errno
import hashlib
import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable
from pathlib import Path, PurePath
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import AfterValidator

from bkdsnn.contracts import Shape
from bkdsnn.data.raw_files import below
from bkdsnn.errors import InputError

log = logging.getLogger(__name__)

# Errors in which no file that is read is at fault.
OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_LEFT_BEHIND = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found"}
_LEFT_BEHIND |= {"system volume information"}


def _is_below(name: str) -> str:
    parts = PurePath(name).parts
    if not parts or PurePath(name).is_absolute() or ".." in parts:
        raise ValueError("a path below the data set's root, as train or part/train")
    return name


Below = Annotated[str, AfterValidator(_is_below)]  # a folder, or a pattern of files


class Expected(NamedTuple):
    """What a data set will be once it is prepared, said without a look at its files.

    A source that can say it has `expected(settings)`, and `check_raw(settings, *, raw)`, an `InputError` where files
    are missing: it reads names alone, writes nothing and downloads nothing.
    input_shape: of one sample; train: how many samples are for training; home: where the files are to be had.
    """

    input_shape: Shape
    classes: int
    train: int
    home: str


def visible(name: str) -> bool:
    """Whether a file or folder is the publisher's: not hidden, and not what a desktop or file server leaves behind."""
    return not name.startswith(".") and name.lower() not in _LEFT_BEHIND


def visible_files(root: Path) -> list[Path]:
    """All visible files below a folder, also in its sub-folders, in one order."""
    found = below(root, ignored=lambda name: not visible(os.path.basename(name)))
    return [root / file.name for file in found if visible(os.path.basename(file.name))]


def class_folders(root: Path) -> list[str]:
    """The classes: the names of a folder's visible folders, sorted."""
    names = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    names = [name for name in names if visible(name)]
    if not names:
        raise InputError(f"{root}: missing, or without class folders")
    for name in names:
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
            raise InputError(
                f"{root}: the class folder {os.fsencode(name)!r} has a name that is no text in UTF-8; rename it"
            )
    return names


def files_of_classes(root: Path, classes: list[str], *, suffixes: tuple[str, ...]) -> tuple[list[Path], np.ndarray]:
    """All files by class and name, and their labels; `InputError` for a class folder that is missing or empty."""
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        there = visible_files(root / name)
        found = [path for path in there if path.name.lower().endswith(suffixes)]
        if not found:
            others = f"; has {_in_words(_by_suffix(there))}" if there else ""
            raise InputError(f"{root / name}: class folder missing or without {', '.join(suffixes)} files{others}")
        files += found
        labels += [label] * len(found)
    return files, np.array(labels)


def left_out(root: Path, read: Iterable[Path]) -> dict[str, int]:
    """How many visible files below a folder are not among those that are read, by suffix; says so where there are."""
    read = set(read)
    counts = _by_suffix(path for path in visible_files(root) if path not in read)
    if counts:
        log.warning("%s: left out, as no samples by place or suffix: %s", root, _in_words(counts))
    return counts


def _by_suffix(files: Iterable[Path]) -> dict[str, int]:
    suffixes = (ascii(path.suffix.lower())[1:-1] for path in files)
    return dict(sorted(Counter(suffix or "no suffix" for suffix in suffixes).items()))


def _in_words(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {suffix}" for suffix, count in counts.items())


def check_each_once(files: Iterable[Path]) -> None:
    """`InputError` where one file is listed twice, be it by another path, a symbolic or a hard link."""
    first: dict[tuple[int, int], Path] = {}
    for path in files:
        try:
            found = path.stat()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        place = (found.st_dev, found.st_ino)
        if place in first:
            same = "listed twice" if first[place] == path else f"the same file as {first[place]}"
            raise InputError(f"{path}: {same}; a file may be in one split and class, once")
        first[place] = path


def check_contents(digests: Iterable[tuple[str, Hashable]], *, allowed: int | None = None) -> dict[str, str]:
    """Of samples (what to call one, digest of its content) those whose content was there before, and where.

    `InputError` where they are more than the setting `duplicates` allows (None: there is no such setting, and none is).
    """
    first: dict[Hashable, str] = {}
    repeated: dict[str, str] = {}
    for name, digest in digests:
        if digest in first:
            repeated[name] = first[digest]
        first.setdefault(digest, name)
    if len(repeated) > (allowed or 0):
        name, other = next(iter(repeated.items()))
        more = f", and {len(repeated) - 1} more are there twice" if len(repeated) > 1 else ""
        setting = "" if allowed is None else f" (duplicates: {allowed})"
        raise InputError(f"{name}: the same content as {other}{more}; a sample may be there once{setting}")
    return repeated


def listing_sha256(files: Iterable[Path], *, root: Path) -> str:
    """The SHA-256 of the names and sizes of files: no content is read."""
    digest = hashlib.sha256()
    for path in files:
        try:
            digest.update(os.fsencode(f"{path.relative_to(root).as_posix()} {path.stat().st_size}\n"))
        except OSError as error:
            raise InputError(f"{path}: missing") from error
    return digest.hexdigest()


def as_facts(reasons: Iterable[str], *, root: Path) -> dict[str, str]:
    """Messages `<where>: <why>` as the manifest keeps them: where (below the root) to why."""
    parts = (reason.replace(f"{root}{os.sep}", "").partition(": ") for reason in reasons)
    return {where: why for where, _, why in parts}
