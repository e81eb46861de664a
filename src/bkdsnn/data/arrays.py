"""A prepared data set: uint8 inputs (or the images' files), labels and splits in one folder, the manifest last."""

import errno
import functools
import os
import shutil
import tokenize
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from bkdsnn.contracts import Shape
from bkdsnn.data.images import ImageFiles, Picture
from bkdsnn.data.splits import SPLITS, Splits, check_disjoint, check_trained
from bkdsnn.errors import InputError
from bkdsnn.files import read_json, sha256, write_json
from bkdsnn.params.schema import Dataset, Normalise
from bkdsnn.paths import raw_data


@dataclass(frozen=True)
class Prepared:
    """What a source found: class names, one index array per split, facts for the manifest; inputs lie in the folder.

    facts["split"] says in words how the splits were cut.
    """

    classes: list[str]
    labels: np.ndarray
    splits: Splits
    facts: dict[str, object]


@dataclass(frozen=True)
class InputFile:
    """The array `inputs.npy`, uint8 `[N, ...]`, of a data set that is being prepared, written row by row.

    Rows are written at their place in the file, not through mapped memory: it grows no process, several may write at
    once, and a full disk is an error, not a crash.
    """

    path: Path
    offset: int
    row: Shape

    def write(self, position: int, values: np.ndarray) -> None:
        """Stores one sample; `ValueError` for another shape or type."""
        if values.shape != self.row or values.dtype != np.uint8:
            raise ValueError(f"a row is uint8 {self.row}, got {values.dtype} {values.shape}")
        handle = os.open(self.path, os.O_WRONLY)
        try:
            written = os.pwrite(handle, np.ascontiguousarray(values).data, self.offset + position * values.size)
        finally:
            os.close(handle)
        if written < values.size:
            raise OSError(errno.ENOSPC, "No space left on device", str(self.path))


def create_inputs(folder: Path, shape: Shape) -> InputFile:
    """A new `inputs.npy` of zeros, for which the disk has room."""
    path = folder / "inputs.npy"
    if prod(shape) > (free := shutil.disk_usage(folder).free):  # also where no file may be so large
        raise InputError(f"the disk is full: inputs {shape} are {prod(shape):,} bytes, {free:,} are free for {folder}")
    offset = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape).offset
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                raise OSError(error.errno, f"{path.stat().st_size:,} bytes are needed", str(folder)) from error
    return InputFile(path, offset, tuple(shape[1:]))


def write_manifest(folder: Path, prepared: Prepared, *, dataset: Dataset) -> None:
    """Stores labels and splits beside the inputs and, last of all, the manifest."""
    check_disjoint(prepared.splits)
    check_trained(prepared.classes, prepared.labels, prepared.splits)
    arrays = {"labels": prepared.labels.astype(np.int64), **prepared.splits}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    stored = "inputs" if (folder / "inputs.npy").is_file() else "files"
    inputs = np.load(folder / f"{stored}.npy", mmap_mode="r")
    write_json(
        folder / "manifest.json",
        {
            **dataset.model_dump(mode="json"),
            "classes": prepared.classes,
            "counts": {
                name: np.bincount(prepared.labels[part], minlength=len(prepared.classes)).tolist()
                for name, part in prepared.splits.items()
            },
            "facts": prepared.facts,
            "inputs": {"shape": list(inputs.shape), "dtype": str(inputs.dtype), "stored": stored},
            "sha256": {name: sha256(folder / f"{name}.npy") for name in (stored, *arrays)},
        },
    )


class ArrayData:
    """A prepared data set, memory-mapped or read from image files.

    `inputs[index]` are the samples as uint8 `[B, ...]`. `InputError` where the folder is not whole, or a file is not
    the one that the manifest names: labels and splits are hashed at every opening, inputs once in a process.
    """

    classes: list[str]
    normalise: Normalise
    labels: np.ndarray
    splits: Splits
    inputs: np.ndarray | ImageFiles

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_json(folder / "manifest.json")
        try:
            self._read()
        except (KeyError, TypeError, ValueError) as error:
            why = " ".join(str(error).split())
            raise InputError(f"{folder / 'manifest.json'}: not as it was written ({why}); {self._remedy}") from error

    @property
    def input_shape(self) -> Shape:
        """`(C, H, W)` of an image or `(T, C, H, W)` of a recording."""
        return tuple(self.inputs.shape[1:])

    def _read(self) -> None:
        self.classes = list(self.manifest["classes"])
        self.normalise = Normalise(**self.manifest["normalise"])
        self.labels = np.array(self._open("labels"))
        self.splits = {name: np.array(self._open(name)) for name in SPLITS}
        stored = self.manifest["inputs"]["stored"]
        array = self._open(stored)
        if list(array.shape) != self.manifest["inputs"]["shape"] or len(array) != len(self.labels):
            raise InputError(f"{self.folder}: {stored}.npy has shape {array.shape}, the manifest says otherwise")
        self.inputs = array if stored == "inputs" else self._images(array)
        limits = {"labels": len(self.classes), **dict.fromkeys(SPLITS, len(self.labels))}
        for name, limit in limits.items():
            numbers = self.labels if name == "labels" else self.splits[name]
            if numbers.ndim != 1 or numbers.dtype.kind != "i" or not np.isin(numbers, np.arange(limit)).all():
                raise InputError(f"{self.folder / name}.npy: not integers of 0 to {limit - 1}; {self._remedy}")

    def _images(self, files: np.ndarray) -> ImageFiles:
        settings = self.manifest["settings"]
        return ImageFiles(files, root=raw_data() / settings["root"], picture=Picture(**settings["picture"]))

    def _open(self, name: str) -> np.ndarray:
        path = self.folder / f"{name}.npy"
        try:
            actual = _sha256_once(path, _state(path)) if name == "inputs" else sha256(path)
        except OSError as error:
            raise InputError(f"{path}: missing or damaged ({error.strerror}); {self._remedy}") from error
        if actual != self.manifest["sha256"][name]:
            raise InputError(f"{path}: its bytes are not those that were prepared (by SHA-256); {self._remedy}")
        return read_array(path, remedy=self._remedy)

    @property
    def _remedy(self) -> str:
        return f"run `dvc repro -f -s prepare_data@{self.folder.name}`"


def read_array(path: Path, *, remedy: str) -> np.ndarray:
    """An array file, mapped; `InputError` with what to do about it where it holds none."""
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError, TypeError, EOFError, SyntaxError, tokenize.TokenError) as error:
        raise InputError(f"{path}: no readable array; {remedy}") from error


def _state(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@functools.cache
def _sha256_once(path: Path, _state: tuple[int, ...]) -> str:
    return sha256(path)
