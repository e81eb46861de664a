"""Small image sets as published: parquet files and class folders, and the settings that read them."""

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from sources import HELD, picture

PICTURE = {"size": 8, "resize": 8, "interpolation": "bilinear"}
CELL = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def write_parquet(path: Path, cells: list[tuple[bytes | None, int]], *, column: str = "img") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = pyarrow.array([{"bytes": content, "path": "0.png"} for content, _ in cells], CELL)
    pyarrow.parquet.write_table(pyarrow.table({column: images, "label": [label for _, label in cells]}), path)


def cells(count: int) -> list[tuple[bytes, int]]:
    return [(picture()[1], n % 2) for n in range(count)]


PARQUET = {"root": "p", "train": "train*.parquet", "test": "test.parquet", "classes": ["cat", "dog"]}
PARQUET |= {"picture": PICTURE, "split": HELD, "skip_corrupt": 0}


def write_images(root: Path, *, test: str = "test", suffix: str = ".png", size=(8, 8)) -> list[np.ndarray]:
    """Two classes of 10 training and 5 test images; gives all pixels in the order of their rows."""
    made = []
    for part, count in (("train", 10), (test, 5)):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                pixels, content = picture(size=size)
                (root / part / name / f"{number}{suffix}").write_bytes(content)
                made.append(pixels)
    return made


FOLDER = {"root": "images", "train": "train", "test": "test", "classes": None}
FOLDER |= {"picture": PICTURE, "split": HELD, "skip_corrupt": 0}
IMAGENET = FOLDER | {"test": "val", "classes": 2}
