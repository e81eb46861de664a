"""ImageNet-1k in its usual folders, `train/<wnid>/*.JPEG` and `val/<wnid>/*.JPEG`: indexed, decoded in training."""

import os
from collections import defaultdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bkdsnn.data.arrays import Prepared
from bkdsnn.data.decoding import check_header
from bkdsnn.data.files import Expected, as_facts, check_contents, class_folders, listing_sha256
from bkdsnn.data.sources.image_folder import Folders as Settings
from bkdsnn.data.sources.image_folder import Found
from bkdsnn.data.splits import without
from bkdsnn.errors import InputError
from bkdsnn.files import sha256

__all__ = ["Settings", "check_raw", "expected", "prepare"]

_TRAIN, _CLASSES = 1_281_167, 1000
_HOME = "https://image-net.org/download.php (ILSVRC2012, asks for an account)"


def expected(settings: Settings) -> Expected:
    size = settings.picture.size
    return Expected((3, size, size), settings.classes or _CLASSES, _TRAIN - settings.split.validation, home=_HOME)


def check_raw(settings: Settings, *, raw: Path) -> None:
    wanted = settings.classes or _CLASSES
    for part in (settings.train, settings.test):
        found = len(class_folders(raw / settings.root / part))
        if found != wanted:
            raise InputError(f"{raw / settings.root / part}: has {found} class folders, wanted {wanted}")


def prepare(settings: Settings, *, raw: Path, folder: Path) -> Prepared:
    """Writes the index `files.npy`, `[N]` paths below the root, after a look at every image's header."""
    found = Found(settings, raw=raw)
    _check_copies(found.files)
    damaged: dict[int, str] = {}
    for row, path in enumerate(tqdm(found.files, desc="headers", disable=None)):
        try:
            check_header(path)
        except InputError as error:
            damaged[row] = str(error)
            if len(damaged) > settings.skip_corrupt:
                raise InputError(f"{error} (skip_corrupt: {settings.skip_corrupt})") from error
    names = [os.fsencode(path.relative_to(found.root)) for path in found.files]
    np.save(folder / "files.npy", np.array(names))
    return Prepared(
        classes=found.classes,
        labels=found.labels,
        splits=without(found.splits, np.array(list(damaged), dtype=np.int64)),
        facts={
            "origin": "ImageNet-1k folders, decoded on the fly",
            "files_sha256": listing_sha256(found.files, root=found.root),  # of names and sizes
            "skipped": as_facts(damaged.values(), root=found.root),
            **found.facts,
        },
    )


def _check_copies(files: list[Path]) -> None:
    """`InputError` where files of one name and size are the same; of ImageNet none are, so that none is read here."""
    alike = defaultdict(list)
    for path in files:
        alike[path.name, path.stat().st_size].append(path)
    for group in alike.values():
        if len(group) > 1:
            check_contents((str(path), sha256(path)) for path in group)
