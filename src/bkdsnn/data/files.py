"""Files of a data set as published: found by class, told from others, named where they are damaged."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bkdsnn.contracts import Shape
from bkdsnn.errors import InputError


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


def class_folders(root: Path) -> list[str]:
    """The classes: the names of a folder's folders, sorted."""
    names = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if not names:
        raise InputError(f"{root}: missing, or without class folders")
    return names


def files_of_classes(root: Path, classes: list[str], *, suffixes: tuple[str, ...]) -> tuple[list[Path], np.ndarray]:
    """All files by class and name, and their labels; `InputError` for a class folder that is missing or empty."""
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        folder = root / name
        entries = sorted(os.listdir(folder)) if folder.is_dir() else []
        found = [folder / entry for entry in entries if entry.lower().endswith(suffixes)]
        if not found:
            raise InputError(f"{folder}: class folder missing or without {' or '.join(suffixes)} files")
        files += found
        labels += [label] * len(found)
    return files, np.array(labels)


def listing_sha256(files: Iterable[Path], *, root: Path) -> str:
    """The SHA-256 of the names and sizes of files: no content is read."""
    digest = hashlib.sha256()
    for path in files:
        try:
            digest.update(f"{path.relative_to(root).as_posix()} {path.stat().st_size}\n".encode())
        except OSError as error:
            raise InputError(f"{path}: missing") from error
    return digest.hexdigest()


def as_facts(reasons: Iterable[str], *, root: Path) -> dict[str, str]:
    """Messages `<where>: <why>` as the manifest keeps them: where (below the root) to why."""
    parts = (reason.replace(f"{root}{os.sep}", "").partition(": ") for reason in reasons)
    return {where: why for where, _, why in parts}
