"""How files are written, whole or not at all, and how they are told from others."""

import contextlib
import csv
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from bkdsnn.errors import InputError


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Gives a temporary folder beside `target` and renames it to `target` once the block has succeeded."""
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for path in sorted(partial.rglob("*")):
            if path.is_file():
                flush(path)
        old = target.with_name(f"{target.name}.partial-old-{os.getpid()}")
        if target.exists():
            os.replace(target, old)
        os.replace(partial, target)
        shutil.rmtree(old, ignore_errors=True)
        flush(target.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def json_text(content: object) -> str:
    """JSON in a fixed layout, so that equal contents are equal bytes."""
    return json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"


def write_json(path: Path, content: object) -> None:
    """Writes JSON as `json_text` lays it out."""
    path.write_text(json_text(content), encoding="utf-8")


def write_csv(path: Path, columns: dict[str, list]) -> None:
    """Writes columns of equal length; floats in full, so that they are read back as they were."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def read_json(path: Path) -> dict:
    """Reads a JSON object; a missing or damaged file is an `InputError` that names it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no readable JSON here ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a JSON {type(content).__name__}, wanted an object")
    return content


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5(path: Path) -> str:
    """The MD5 of a file's bytes, in hex: what the publishers of data sets give."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def digest(folder: Path) -> str:
    """What tells a folder with a manifest (a data set, a trained network, a cache) from every other."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise InputError(f"{path}: missing: the folder is not whole; run `dvc repro`")
    return sha256(path)


def flush(path: Path) -> None:
    """Makes a file's bytes, or a folder's entries, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
