"""Data sets made up on the spot, and how many samples of a recipe's views one core makes a second."""

import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bkdsnn.contracts import Shape
from bkdsnn.data.arrays import ArrayData, Prepared, create_inputs, write_manifest
from bkdsnn.data.views import Views
from bkdsnn.files import new_folder
from bkdsnn.params.recipe import Augmentation
from bkdsnn.params.schema import Dataset

PHOTO = (500, 375)  # pixels, the usual size of ImageNet's
_NORMALISE = {"scale": 255, "mean": [0.5] * 3, "std": [0.25] * 3}
_FILES, _BATCH = 16, 16
_SECONDS, _ROUNDS = 1.0, 3


def random_images(
    folder: Path, *, shape: Shape = (3, 32, 32), samples: int = 5120, normalise: dict | None = None
) -> ArrayData:
    """Noise in ten classes, a tenth of it for validation and a tenth for the test."""
    random = np.random.Generator(np.random.Philox(0))
    with new_folder(folder) as partial:
        inputs = create_inputs(partial, (samples, *shape))
        for row in range(samples):
            inputs.write(row, random.integers(0, 256, shape, dtype=np.uint8))
        _describe(partial, samples, settings={}, normalise=normalise or _NORMALISE)
    return ArrayData(folder)


def photos(folder: Path, *, picture: dict, size: tuple[int, int] = PHOTO, normalise: dict | None = None) -> ArrayData:
    """Soft colours and noise in JPEGs of this width and height (about 60 kB for 500 x 375), which stay in their files.

    picture: what validation makes of one, as a data set's settings have it.
    """
    random = np.random.Generator(np.random.Philox(0))
    names = [f"{number}.JPEG" for number in range(_FILES)]
    with new_folder(folder) as partial:
        for name in names:
            soft = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8))
            soft = np.asarray(soft.resize(size, Image.Resampling.BICUBIC), dtype=np.int64)
            noisy = (soft + random.integers(-12, 13, soft.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(partial / name, quality=90)
        samples = 10 * _FILES
        np.save(partial / "files.npy", np.array([names[n % _FILES].encode() for n in range(samples)]))
        settings = {"root": str(folder.resolve()), "picture": picture}
        _describe(partial, samples, settings=settings, normalise=normalise or _NORMALISE)
    return ArrayData(folder)


def made_a_second(data: ArrayData, rules: Augmentation) -> float:
    """How many samples of a recipe's views one core makes a second (its own time: the best of three rounds)."""
    views, threads = Views(data, rules), torch.get_num_threads()
    torch.set_num_threads(1)  # as a worker process
    index = data.splits["train"]
    batches = [index[start : start + _BATCH] for start in range(0, len(index) - _BATCH + 1, _BATCH)]
    views.make(batches[0], view=0)  # imports, and compiles
    best = 0.0
    for _ in range(_ROUNDS):
        start, count = time.process_time(), 0
        while time.process_time() - start < _SECONDS / _ROUNDS:
            count += len(views.make(batches[count // _BATCH % len(batches)], view=0).labels)
        best = max(best, count / (time.process_time() - start))
    torch.set_num_threads(threads)
    return best


def _describe(folder: Path, samples: int, *, settings: dict, normalise: dict) -> None:
    tenth, classes = samples // 10, 10
    parts = np.split(np.arange(samples), (samples - 2 * tenth, samples - tenth))
    splits = dict(zip(("train", "validation", "test"), parts, strict=True))
    prepared = Prepared([str(n) for n in range(classes)], np.arange(samples) % classes, splits, {"split": "made up"})
    write_manifest(folder, prepared, dataset=Dataset(source="made_up", settings=settings, normalise=normalise))
