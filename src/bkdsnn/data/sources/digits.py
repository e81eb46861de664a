"""Real handwritten digits: scikit-learn's copy of the UCI optical digits test set, 1,797 images, no download."""

from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import Field

from bkdsnn.data.arrays import Prepared, Split, create_inputs, stratified_split
from bkdsnn.params import Closed


class Settings(Closed):
    """The side of the square images in pixels (bilinear, from 8), and the split."""

    size: int = Field(ge=8, le=128)
    split: Split


def load() -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 `[1797, 8, 8]` with values 0 to 16, and their labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images.astype(np.uint8), digits.target.astype(np.int64)


def prepare(settings: Settings, *, raw: Path, folder: Path) -> Prepared:
    """Writes the images `[N, 1, size, size]`, brightness 0 to 255; `raw` is not needed."""
    images, labels = load()
    inputs = create_inputs(folder, (len(images), 1, settings.size, settings.size))
    for position, image in enumerate(images):
        bright = np.minimum(image.astype(np.uint16) * 16, 255).astype(np.uint8)
        inputs[position, 0] = Image.fromarray(bright).resize((settings.size,) * 2, Image.Resampling.BILINEAR)
    inputs.flush()
    return Prepared(
        classes=[str(digit) for digit in range(10)],
        labels=labels,
        splits=stratified_split(labels, settings.split),
        facts={"origin": "sklearn.datasets.load_digits"},
    )
