"""A prepared data set: uint8 inputs (or the images' files), labels and splits in one folder, the manifest last."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bkdsnn.contracts import Shape
from bkdsnn.data.images import ImageFiles, Picture
from bkdsnn.data.splits import SPLITS, Splits, check_disjoint
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
            os.pwrite(handle, np.ascontiguousarray(values).data, self.offset + position * values.size)
        finally:
            os.close(handle)


def create_inputs(folder: Path, shape: Shape) -> InputFile:
    """A new `inputs.npy` of zeros, for which the disk has room."""
    path = folder / "inputs.npy"
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
    """A prepared data set, memory-mapped or read from image files; raises `InputError` where the folder is not whole.

    `inputs[index]` are the samples as uint8 `[B, ...]`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_json(folder / "manifest.json")
        self.classes: list[str] = self.manifest["classes"]
        self.normalise = Normalise(**self.manifest["normalise"])
        self.labels = np.array(self._open("labels"))
        self.splits = {name: np.array(self._open(name)) for name in SPLITS}
        stored = self.manifest["inputs"]["stored"]
        array = self._open(stored)
        if list(array.shape) != self.manifest["inputs"]["shape"]:
            raise InputError(f"{folder}: {stored}.npy has shape {array.shape}, the manifest says otherwise")
        self.inputs: np.ndarray | ImageFiles = array if stored == "inputs" else self._images(array)

    @property
    def input_shape(self) -> Shape:
        """`(C, H, W)` of an image or `(T, C, H, W)` of a recording."""
        return tuple(self.inputs.shape[1:])

    def _images(self, files: np.ndarray) -> ImageFiles:
        settings = self.manifest["settings"]
        return ImageFiles(files, root=raw_data() / settings["root"], picture=Picture(**settings["picture"]))

    def _open(self, name: str) -> np.ndarray:
        try:
            return np.load(self.folder / f"{name}.npy", mmap_mode="r")
        except (OSError, ValueError) as error:
            raise InputError(f"{self.folder / name}.npy: missing or damaged; run `dvc repro prepare_data`") from error
