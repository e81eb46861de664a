"""Which samples are for training, validation and the test; every way to cut has a name that the manifest keeps."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from bkdsnn.errors import InputError
from bkdsnn.params.recipe import Closed

SPLITS = ("train", "validation", "test")
Splits = dict[str, np.ndarray]


class Split(Closed):
    """A stratified split of a set that has none: so many samples for training and validation, the rest for the test."""

    train: PositiveInt
    validation: PositiveInt
    seed: NonNegativeInt
    samples: PositiveInt | None

    def in_words(self) -> str:
        """What the tables print."""
        return f"stratified {self.train} / {self.validation} / rest (seed {self.seed})"


class HeldOut(Closed):
    """How many training samples of a set with a published test split are held out for validation, class by class."""

    validation: PositiveInt
    seed: NonNegativeInt

    def in_words(self) -> str:
        """What the tables print."""
        return f"published, {self.validation} training samples held out (seed {self.seed})"


class Protocol(HeldOut):
    """How a set without a published test split is cut, class by class.

    first_900: by file name in string order the first 90 % are for training (the official code's). random_90: a random
    90 %, from the seed. tebn: the files numbered 0 to 99 are the test (TEBN, Duan et al. 2022; SpikingJelly's
    CIFAR10DVSTEBNSplit).
    """

    protocol: Literal["first_900", "random_90", "tebn"]

    def in_words(self) -> str:
        """What the tables print."""
        return f"{self.protocol}, {self.validation} training samples held out (seed {self.seed})"


def stratified_split(labels: np.ndarray, split: Split) -> Splits:
    """Disjoint, sorted index arrays by split name, with equal parts of each class; `InputError` where it cannot be."""
    chosen = np.arange(len(labels))
    wanted = split.train + split.validation
    if split.samples is not None and split.samples > len(labels):
        raise InputError(f"split.samples: {split.samples}, but the data set has {len(labels)}")
    if split.samples is not None and split.samples < len(labels):
        chosen, _ = _cut(chosen, labels, split.samples, seed=split.seed)
    if wanted >= len(chosen):
        raise InputError(f"split: train + validation is {wanted}, which leaves no test sample of {len(chosen)}")
    rest, test = _cut(chosen, labels, wanted, seed=split.seed)
    train, validation = _cut(rest, labels, split.train, seed=split.seed)
    return _sorted(train, validation, test)


def hold_out(train: np.ndarray, test: np.ndarray, labels: np.ndarray, held: HeldOut) -> Splits:
    """A published split whose training samples give some away for validation."""
    if held.validation >= len(train):
        raise InputError(f"split.validation: {held.validation}, but there are {len(train)} training samples")
    kept, validation = _cut(train, labels, len(train) - held.validation, seed=held.seed, setting="split.validation")
    return _sorted(kept, validation, test)


def by_protocol(files: list[Path], labels: np.ndarray, protocol: Protocol) -> Splits:
    """The split of recordings `files`, whose classes are `labels` `[N]`, that a protocol names."""
    train = _PROTOCOLS[protocol.protocol](files, labels, protocol.seed)
    if train.all() or not train.any():
        raise InputError(f"split.protocol: {protocol.protocol} leaves no training or no test sample of {len(files)}")
    return hold_out(np.flatnonzero(train), np.flatnonzero(~train), labels, protocol)


def without(splits: Splits, rows: np.ndarray) -> Splits:
    """The same splits, less some samples; `InputError` where nothing of one is left."""
    kept = {name: part[~np.isin(part, rows)] for name, part in splits.items()}
    for name, part in kept.items():
        if not len(part):
            raise InputError(f"no whole sample is left in the split '{name}'")
    return kept


def check_disjoint(splits: Splits) -> None:
    """`InputError` where a sample is in two splits."""
    together = np.concatenate(list(splits.values()))
    if len(np.unique(together)) < len(together):
        raise InputError(f"{len(together) - len(np.unique(together))} samples are in two splits")


def check_trained(classes: list[str], labels: np.ndarray, splits: Splits) -> None:
    """`InputError` where there is one class alone, a split has no sample, or a class no training sample."""
    if len(classes) < 2:
        raise InputError(f"'{classes[0]}' is the only class; wanted are two or more")
    for name, part in splits.items():
        if not len(part):
            raise InputError(f"no whole sample is in the split '{name}'")
    missing = sorted(set(labels.tolist()) - set(labels[splits["train"]].tolist()))
    if missing:
        more = f", nor have {len(missing) - 1} others" if len(missing) > 1 else ""
        raise InputError(f"class '{classes[missing[0]]}' has no whole sample in the split 'train'{more}")


def _first_900(files: list[Path], labels: np.ndarray, _seed: int) -> np.ndarray:
    train = np.zeros(len(files), dtype=bool)
    for label in np.unique(labels):
        own = sorted(np.flatnonzero(labels == label), key=lambda row: files[row].name)
        train[own[: -(-9 * len(own) // 10)]] = True  # rounded up, as SpikingJelly's split_to_train_test_set
    return train


def _random_90(files: list[Path], labels: np.ndarray, seed: int) -> np.ndarray:
    chosen, _ = _cut(np.arange(len(files)), labels, -(-9 * len(files) // 10), seed=seed)
    return np.isin(np.arange(len(files)), chosen)


def _tebn(files: list[Path], _labels: np.ndarray, _seed: int) -> np.ndarray:
    numbers = [path.stem.rpartition("_")[2] for path in files]
    for path, number in zip(files, numbers, strict=True):
        if not number.isdecimal():
            raise InputError(f"{path}: split.protocol tebn needs file names that end in a number, as cat_17")
    return np.array([int(number) >= 100 for number in numbers])


_PROTOCOLS: dict[str, Callable[[list[Path], np.ndarray, int], np.ndarray]] = {
    "first_900": _first_900,
    "random_90": _random_90,
    "tebn": _tebn,
}


def _cut(
    index: np.ndarray, labels: np.ndarray, count: int, *, seed: int, setting: str = "split"
) -> tuple[np.ndarray, np.ndarray]:
    """`count` of the samples `index`, with equal parts of each class, and the others."""
    from sklearn.model_selection import train_test_split

    classes, sizes = np.unique(labels[index], return_counts=True)
    if min(sizes) < 2:
        raise InputError(f"{setting}: class {classes[np.argmin(sizes)]} (from 0) has 1 sample to be cut, needed are 2")
    rest, least = len(index) - count, len(classes)
    if min(count, rest) < least:
        allowed = f"each needs one of every class, so {least} to {len(index) - least} samples"
        raise InputError(f"{setting}: cuts {len(index)} samples into {count} and {rest}; {allowed}")
    return train_test_split(index, train_size=count, stratify=labels[index], random_state=seed)


def _sorted(*parts: np.ndarray) -> Splits:
    return {name: np.sort(part) for name, part in zip(SPLITS, parts, strict=True)}
