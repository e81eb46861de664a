"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in their binary version, downloaded and checked by torchvision.

torchvision's own version holds pickles, which are not read.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from bkdsnn.data.archives import DOWNLOADED, located, unpacked
from bkdsnn.data.arrays import Prepared, create_inputs
from bkdsnn.data.files import Expected, check_contents
from bkdsnn.data.splits import HeldOut, hold_out
from bkdsnn.errors import InputError
from bkdsnn.files import sha256
from bkdsnn.params.recipe import Closed

_URL = "https://www.cs.toronto.edu/~kriz"
_PIXELS = (3, 32, 32)
_TRAIN = 50_000


class _Version(Closed):
    folder: str
    archive: str
    md5: str  # from https://www.cs.toronto.edu/~kriz/cifar.html
    train: tuple[str, ...]
    test: str
    names: str
    label_bytes: int  # the last one is the label
    classes: int


_VERSIONS = {
    "cifar10": _Version(
        folder="cifar-10-batches-bin",
        archive="cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        test="test_batch.bin",
        names="batches.meta.txt",
        label_bytes=1,
        classes=10,
    ),
    "cifar100": _Version(
        folder="cifar-100-binary",
        archive="cifar-100-binary.tar.gz",
        md5="03b5dce01913d631647c71ecec9e9cb8",
        train=("train.bin",),
        test="test.bin",
        names="fine_label_names.txt",
        label_bytes=2,
        classes=100,
    ),
}


class Settings(Closed):
    """Which of the two, the folder below BKDSNN_DATA, whether to download what is missing, and the split."""

    version: Literal["cifar10", "cifar100"]
    root: str
    download: bool
    split: HeldOut


def expected(settings: Settings) -> Expected:
    version = _VERSIONS[settings.version]
    return Expected(_PIXELS, version.classes, _TRAIN - settings.split.validation, home=f"{_URL}/{version.archive}")


def check_raw(settings: Settings, *, raw: Path) -> None:
    version = _VERSIONS[settings.version]
    located(raw / settings.root, version.folder, archive=version.archive)


def prepare(settings: Settings, *, raw: Path, folder: Path) -> Prepared:
    """Writes all images `[N, 3, 32, 32]`, training images first."""
    version, found = _VERSIONS[settings.version], _found(settings, raw / settings.root)
    classes = [name for name in _text(found / version.names).split("\n") if name]
    parts = [_records(found / name, version, classes=len(classes)) for name in (*version.train, version.test)]
    hashes = {name: sha256(found / name) for name in (*version.train, version.test)}
    check_contents((str(found / name), digest) for name, digest in hashes.items())
    labels = np.concatenate([part[:, version.label_bytes - 1] for part in parts]).astype(np.int64)
    inputs = create_inputs(folder, (len(labels), *_PIXELS))
    row = 0
    for part in parts:
        for record in part:
            inputs.write(row, record[version.label_bytes :].reshape(_PIXELS))
            row += 1
    published = np.arange(len(labels))
    train = len(labels) - len(parts[-1])
    return Prepared(
        classes=classes,
        labels=labels,
        splits=hold_out(published[:train], published[train:], labels, settings.split),
        facts={
            "origin": f"{settings.version}, binary version",
            "files_sha256": hashes,
            "split": settings.split.in_words(),
        },
    )


def _found(settings: Settings, root: Path) -> Path:
    version = _VERSIONS[settings.version]
    there = (root / version.folder, root / version.archive, root / DOWNLOADED / version.archive)
    if settings.download and not any(path.exists() for path in there):
        from http.client import HTTPException

        from torchvision.datasets.utils import download_url

        try:
            download_url(f"{_URL}/{version.archive}", root / DOWNLOADED, md5=version.md5)
        except (OSError, RuntimeError, HTTPException) as error:
            (root / DOWNLOADED / version.archive).unlink(missing_ok=True)
            raise InputError(
                f"{_URL}/{version.archive} could not be downloaded ({' '.join(str(error).split())}); put it into {root}"
            ) from error
    return unpacked(root, version.folder, archive=version.archive, expected_md5=version.md5)


def _records(path: Path, version: _Version, *, classes: int) -> np.ndarray:
    """The file's records, uint8 `[N, label bytes + 3072]`."""
    width = version.label_bytes + int(np.prod(_PIXELS))
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not len(content) or len(content) % width:
        raise InputError(f"{path}: {len(content)} bytes are no whole number of records of {width}: truncated?")
    records = content.reshape(-1, width)
    labels = records[:, version.label_bytes - 1]
    if labels.max() >= classes:
        row = int(np.argmax(labels >= classes))
        raise InputError(f"{path}: row {row} has label {labels[row]}, there are {classes} classes")
    return records


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").replace("\r", "")
    except (OSError, UnicodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
