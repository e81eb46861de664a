"""Images in parquet files as the Hugging Face data sets lay them out: `img` or `image` {bytes, path} and `label`."""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field, NonNegativeInt

from bkdsnn.data.arrays import Prepared, create_inputs
from bkdsnn.data.files import Below, as_facts, check_contents, check_each_once, left_out, visible
from bkdsnn.data.image_table import ImageTable
from bkdsnn.data.images import Picture, fill
from bkdsnn.data.splits import HeldOut, hold_out, without
from bkdsnn.errors import InputError
from bkdsnn.files import sha256
from bkdsnn.params.recipe import Closed, unique


class Settings(Closed):
    """The folder below BKDSNN_DATA, the files of each split (patterns), class names, images, split; how many images may
    be damaged, and how many may show the same picture as another one, before preparing stops."""

    root: str
    train: Below
    test: Below
    classes: Annotated[list[str], Field(min_length=2), AfterValidator(unique)]
    picture: Picture
    split: HeldOut
    skip_corrupt: NonNegativeInt
    duplicates: NonNegativeInt = 0


def prepare(settings: Settings, *, raw: Path, folder: Path) -> Prepared:
    """Writes all images `[N, 3, size, size]`, training images first."""
    root = raw / settings.root
    train, test = _files(root, settings.train), _files(root, settings.test)
    check_each_once([*train, *test])
    hashes = {path.relative_to(root).as_posix(): sha256(path) for path in (*train, *test)}
    check_contents((str(root / name), digest) for name, digest in hashes.items())
    tables = [ImageTable(path, classes=settings.classes) for path in (*train, *test)]
    labels = np.concatenate([table.labels for table in tables])
    if missing := set(range(len(settings.classes))) - set(labels.tolist()):
        raise InputError(f"{root}: no row has the label {min(missing)}, settings.classes names it")
    rows, first = np.arange(len(labels)), sum(len(table.labels) for table in tables[: len(train)])
    splits = hold_out(rows[:first], rows[first:], labels, settings.split)
    inputs = create_inputs(folder, (len(labels), 3, settings.picture.size, settings.picture.size))
    filled = fill(
        inputs.write,
        (image for table in tables for image in table.images()),
        settings.picture,
        total=len(labels),
        skip_corrupt=settings.skip_corrupt,
    )
    repeated = check_contents(filled.digests.items(), allowed=settings.duplicates)
    return Prepared(
        classes=settings.classes,
        labels=labels,
        splits=without(splits, np.array(list(filled.damaged), dtype=np.int64)),
        facts={
            "origin": "parquet",
            "files_sha256": hashes,
            "skipped": as_facts(filled.damaged.values(), root=root),
            "duplicates": as_facts((f"{name}: {other}" for name, other in repeated.items()), root=root),
            "left_out": left_out(root, [*train, *test]),
            "split": settings.split.in_words(),
        },
    )


def _files(root: Path, pattern: str) -> list[Path]:
    try:
        found = sorted(root.glob(pattern))
    except ValueError as error:  # as `a**b`
        raise InputError(f"{root}: '{pattern}' is no pattern of files ({error})") from error
    found = [path for path in found if path.is_file() and all(map(visible, path.relative_to(root).parts))]
    if not found:
        raise InputError(f"{root}: no file is called {pattern}")
    return found
