"""A prepared data set: uint8 inputs, labels and splits in one folder, with a manifest that is written last."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from bkdsnn.contracts import Shape
from bkdsnn.errors import InputError
from bkdsnn.params import Closed, Normalise
from bkdsnn.paths import read_json, sha256, write_json

SPLITS = ("train", "validation", "test")


class Split(Closed):
    """A fixed stratified split: so many samples for training and validation, the rest for the test."""

    train: PositiveInt
    validation: PositiveInt
    seed: NonNegativeInt
    samples: PositiveInt | None


@dataclass(frozen=True)
class Prepared:
    """What a source found: class names, one index array per split, facts for the manifest; inputs lie in the folder."""

    classes: list[str]
    labels: np.ndarray
    splits: dict[str, np.ndarray]
    facts: dict[str, object]


def create_inputs(folder: Path, shape: Shape) -> np.ndarray:
    """A new memory-mapped uint8 array `[N, ...]` for a source to fill."""
    return np.lib.format.open_memmap(folder / "inputs.npy", mode="w+", dtype=np.uint8, shape=shape)


def stratified_split(labels: np.ndarray, split: Split) -> dict[str, np.ndarray]:
    """Disjoint, sorted index arrays by split name, with equal class shares; `InputError` where it cannot be."""
    try:
        return _stratified_split(labels, split)
    except ValueError as error:  # scikit-learn's: fewer samples than classes somewhere
        raise InputError(f"split: {' '.join(str(error).split())}") from error


def _stratified_split(labels: np.ndarray, split: Split) -> dict[str, np.ndarray]:
    from sklearn.model_selection import train_test_split

    chosen = np.arange(len(labels))
    wanted = split.train + split.validation
    if split.samples is not None and split.samples > len(labels):
        raise InputError(f"split.samples: {split.samples}, but the data set has {len(labels)}")
    if split.samples is not None and split.samples < len(labels):
        chosen, _ = train_test_split(chosen, train_size=split.samples, stratify=labels, random_state=split.seed)
    if wanted >= len(chosen):
        raise InputError(f"split: train + validation is {wanted}, which leaves no test sample of {len(chosen)}")
    rest, test = train_test_split(chosen, train_size=wanted, stratify=labels[chosen], random_state=split.seed)
    train, validation = train_test_split(rest, train_size=split.train, stratify=labels[rest], random_state=split.seed)
    return {name: np.sort(part) for name, part in zip(SPLITS, (train, validation, test), strict=True)}


def write_manifest(folder: Path, prepared: Prepared, *, settings: dict, normalise: Normalise) -> None:
    """Stores labels and splits beside the inputs and, last of all, the manifest."""
    arrays = {"labels": prepared.labels.astype(np.int64), **prepared.splits}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    inputs = np.load(folder / "inputs.npy", mmap_mode="r")
    write_json(
        folder / "manifest.json",
        {
            "classes": prepared.classes,
            "counts": {
                name: np.bincount(prepared.labels[part], minlength=len(prepared.classes)).tolist()
                for name, part in prepared.splits.items()
            },
            "facts": prepared.facts,
            "inputs": {"shape": list(inputs.shape), "dtype": str(inputs.dtype)},
            "normalise": normalise.model_dump(mode="json"),
            "settings": settings,
            "sha256": {name: sha256(folder / f"{name}.npy") for name in ("inputs", *arrays)},
        },
    )


class ArrayData:
    """A prepared data set, memory-mapped; raises `InputError` where the folder is not whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_json(folder / "manifest.json")
        self.classes: list[str] = self.manifest["classes"]
        self.normalise = Normalise(**self.manifest["normalise"])
        self.inputs = self._open("inputs")
        self.labels = np.array(self._open("labels"))
        self.splits = {name: np.array(self._open(name)) for name in SPLITS}
        if list(self.inputs.shape) != self.manifest["inputs"]["shape"]:
            raise InputError(f"{folder}: inputs.npy has shape {self.inputs.shape}, the manifest says otherwise")

    @property
    def input_shape(self) -> Shape:
        """`(C, H, W)` of an image or `(T, C, H, W)` of a recording."""
        return tuple(self.inputs.shape[1:])

    def _open(self, name: str) -> np.ndarray:
        try:
            return np.load(self.folder / f"{name}.npy", mmap_mode="r")
        except (OSError, ValueError) as error:
            raise InputError(f"{self.folder / name}.npy: missing or damaged; run `dvc repro prepare_data`") from error
