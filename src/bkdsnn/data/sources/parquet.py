"""Images in parquet files as the Hugging Face data sets lay them out: `img` or `image` {bytes, path} and `label`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import Field, NonNegativeInt

from bkdsnn.data.arrays import Prepared, create_inputs
from bkdsnn.data.files import as_facts
from bkdsnn.data.images import Picture, fill
from bkdsnn.data.splits import HeldOut, hold_out, without
from bkdsnn.errors import InputError
from bkdsnn.files import sha256
from bkdsnn.params.recipe import Closed


class Settings(Closed):
    """The folder below BKDSNN_DATA, the files of each split (patterns), class names, images, split."""

    root: str
    train: str
    test: str
    classes: list[str] = Field(min_length=2)
    picture: Picture
    split: HeldOut
    skip_corrupt: NonNegativeInt


def prepare(settings: Settings, *, raw: Path, folder: Path) -> Prepared:
    """Writes all images `[N, 3, size, size]`, training images first."""
    root = raw / settings.root
    files = {part: _files(root, part) for part in (settings.train, settings.test)}
    parts = {part: [_Table(path, classes=len(settings.classes)) for path in paths] for part, paths in files.items()}
    tables = [table for part in parts.values() for table in part]
    labels = np.concatenate([table.labels for table in tables])
    inputs = create_inputs(folder, (len(labels), 3, settings.picture.size, settings.picture.size))
    damaged = fill(
        inputs.write,
        (image for table in tables for image in table.images()),
        settings.picture,
        total=len(labels),
        skip_corrupt=settings.skip_corrupt,
    )
    train = sum(len(table.labels) for table in parts[settings.train])
    everything = np.arange(len(labels))
    splits = hold_out(everything[:train], everything[train:], labels, settings.split)
    return Prepared(
        classes=settings.classes,
        labels=labels,
        splits=without(splits, np.array(list(damaged), dtype=np.int64)),
        facts={
            "origin": "parquet",
            "files_sha256": {
                path.relative_to(root).as_posix(): sha256(path) for part in files.values() for path in part
            },
            "skipped": as_facts(damaged.values(), root=root),
            "split": settings.split.in_words(),
        },
    )


def _files(root: Path, pattern: str) -> list[Path]:
    found = sorted(root.glob(pattern))
    if not found:
        raise InputError(f"{root}: no file is called {pattern}")
    return found


class _Table:
    """One parquet file; `InputError` where it is damaged, lacks a column or has a label that is no class."""

    def __init__(self, path: Path, *, classes: int) -> None:
        import pyarrow
        import pyarrow.parquet

        self.path = path
        try:
            self.file = pyarrow.parquet.ParquetFile(path)
            columns = self.file.schema_arrow.names
            self.image = next((name for name in ("img", "image") if name in columns), None)
            if self.image is None or "label" not in columns:
                raise InputError(f"{path}: needs columns img or image, and label; has {', '.join(columns)}")
            self.labels = self.file.read(["label"])["label"].to_numpy().astype(np.int64)
        except (pyarrow.ArrowException, OSError, ValueError, TypeError) as error:
            raise InputError(f"{path}: no readable parquet ({' '.join(str(error).split())})") from error
        outside = (self.labels < 0) | (self.labels >= classes)
        if outside.any():
            row = int(np.argmax(outside))
            raise InputError(f"{path}: row {row} has label {self.labels[row]}, there are {classes} classes")

    def images(self) -> Iterator[tuple[bytes, str]]:
        """Every image's bytes, and what to call it."""
        import pyarrow

        row = 0
        try:
            for batch in self.file.iter_batches(1000, columns=[self.image]):
                for cell in batch.column(0).to_pylist():
                    content = (cell or {}).get("bytes")
                    yield content or b"", f"{self.path} row {row}"
                    row += 1
        except (pyarrow.ArrowException, OSError, AttributeError) as error:
            raise InputError(f"{self.path} row {row}: unreadable ({' '.join(str(error).split())})") from error
