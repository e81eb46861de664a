"""Real handwritten digits: scikit-learn's copy of the UCI optical digits test set, 1,797 images, no download."""

from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import Field

from bkdsnn.data.arrays import Prepared, create_inputs
from bkdsnn.data.files import Expected
from bkdsnn.data.splits import Split, stratified_split
from bkdsnn.params.recipe import Closed


class Settings(Closed):
    """The side of the square images in pixels (bilinear, from 8), and the split."""

    size: int = Field(ge=8, le=128)
    split: Split


ORIGIN = "sklearn.datasets.load_digits"


def expected(settings: Settings) -> Expected:
    return Expected((1, settings.size, settings.size), 10, settings.split.train, home=ORIGIN)


def check_raw(settings: Settings, *, raw: Path) -> None:
    """The images come with scikit-learn."""


def load() -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 `[1797, 8, 8]` with values 0 to 16, and their labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images.astype(np.uint8), digits.target.astype(np.int64)


def prepare(settings: Settings, *, raw: Path, folder: Path) -> Prepared:
    """Writes the images `[N, 1, size, size]`, brightness 0 to 255; `raw` is not needed."""
    images, labels = load()
    sides = (settings.size, settings.size)
    inputs = create_inputs(folder, (len(images), 1, *sides))
    for position, image in enumerate(images):
        bright = np.minimum(image.astype(np.uint16) * 16, 255).astype(np.uint8)
        inputs.write(position, np.asarray(Image.fromarray(bright).resize(sides, Image.Resampling.BILINEAR))[None])
    return Prepared(
        classes=[str(digit) for digit in range(10)],
        labels=labels,
        splits=stratified_split(labels, settings.split),
        facts={"origin": ORIGIN, "split": settings.split.in_words()},
    )
