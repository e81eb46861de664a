"""What the tests of data sources share: a source run as the stage runs it, and the line that a mistake ends in."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bkdsnn import plugins
from bkdsnn.data.arrays import ArrayData, write_manifest
from bkdsnn.errors import InputError
from bkdsnn.params.schema import Dataset

FRAMES = {"time_steps": 4, "split_by": "number", "duration_us": None, "size": [16, 16]}
HELD = {"validation": 4, "seed": 0}
NORMALISE = {"scale": 255, "mean": [0.5] * 3, "std": [0.25] * 3}
RANDOM = np.random.default_rng(0)


def prepare(source: str, settings: dict, raw: Path, folder: Path) -> ArrayData:
    module = plugins.load("source", source)
    parsed = module.Settings.model_validate(settings)
    dataset = Dataset(source=source, settings=settings, normalise=NORMALISE)
    folder.mkdir(parents=True)
    write_manifest(folder, module.prepare(parsed, raw=raw, folder=folder), dataset=dataset)
    return ArrayData(folder)


def told(source: str, settings: dict, raw: Path) -> str:
    with pytest.raises(InputError) as caught:
        prepare(source, settings, raw, raw / f"told-{RANDOM.integers(1 << 60)}")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def picture(*, size: tuple[int, int] = (8, 8)) -> tuple[np.ndarray, bytes]:
    """Random pixels `[3, H, W]`, and the PNG of them."""
    pixels = RANDOM.integers(0, 256, (*size, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return pixels.transpose(2, 0, 1), buffer.getvalue()
