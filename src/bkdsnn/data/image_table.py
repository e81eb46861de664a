"""One parquet file of images and labels, in the columns of Hugging Face: `img` or `image` {bytes, path} and `label`."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bkdsnn.errors import InputError


class ImageTable:
    """One parquet file; `InputError` where it is damaged, lacks a column, or has labels of other classes."""

    def __init__(self, path: Path, *, classes: list[str]) -> None:
        import pyarrow
        import pyarrow.parquet

        self.path = path
        try:
            self.file = pyarrow.parquet.ParquetFile(path)
            self.image = self._image_column()
            self._check_names(classes)
            column = self.file.read(["label"])["label"]
        except (pyarrow.ArrowException, OSError, ValueError, TypeError, RecursionError) as error:
            raise InputError(f"{path}: no readable parquet ({' '.join(str(error).split())})") from error
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy()))
            raise InputError(f"{path}: row {row} has no label; wanted 0 to {len(classes) - 1}")
        labels = column.to_numpy()
        outside = (labels < 0) | (labels >= len(classes))
        if outside.any():
            row = int(np.argmax(outside))
            raise InputError(f"{path}: row {row} has label {labels[row]}, there are {len(classes)} classes")
        self.labels = labels.astype(np.int64)

    def images(self) -> Iterator[tuple[bytes, str]]:
        """Every image's bytes, and what to call it."""
        import pyarrow

        row = 0
        try:
            for batch in self.file.iter_batches(1000, columns=[f"{self.image}.bytes"]):
                for cell in batch.column(0).to_pylist():
                    yield (cell or {}).get("bytes") or b"", f"{self.path} row {row}"
                    row += 1
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise InputError(f"{self.path} row {row}: unreadable ({' '.join(str(error).split())})") from error

    def _image_column(self) -> str:
        """The name of the column of images, once it and the labels are found to be of the right type."""
        from pyarrow import types

        schema = self.file.schema_arrow
        name = next((name for name in ("img", "image") if name in schema.names), None)
        if name is None or "label" not in schema.names:
            raise InputError(f"{self.path}: needs columns img or image, and label; has {', '.join(schema.names)}")
        label, image = schema.field("label").type, schema.field(name).type
        if not types.is_integer(label):
            raise InputError(f"{self.path}: column label holds {label}, wanted whole numbers")
        fields = {field.name: field.type for field in image} if types.is_struct(image) else {}
        binary = (types.is_binary, types.is_large_binary, types.is_binary_view)
        if "bytes" not in fields or not any(of_type(fields["bytes"]) for of_type in binary):
            raise InputError(f"{self.path}: column {name} holds {image}, wanted a struct with bytes of type binary")
        return name

    def _check_names(self, classes: list[str]) -> None:
        """`InputError` where the file itself names its classes, and otherwise than the settings."""
        about = json.loads((self.file.schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
        try:
            names = about["info"]["features"]["label"]["names"]
            names = list(names.values() if isinstance(names, dict) else names)  # {"0": "cat", "1": "dog"}
        except (KeyError, TypeError):  # it names none
            return
        for label, (theirs, ours) in enumerate(itertools.zip_longest(names, classes)):
            if theirs != ours:
                said = f"is {theirs} in the file and {ours} in settings.classes"
                raise InputError(f"{self.path}: label {label} {said}; wanted are the file's names, in its order")
