"""What several tests share: composed params, a small data set, and where the reference vectors lie."""

import copy
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from reference_vectors import LARGEST

from bkdsnn.data.arrays import ArrayData, Prepared, create_inputs, write_manifest
from bkdsnn.files import new_folder
from bkdsnn.params.recipe import Augmentation
from bkdsnn.params.schema import Dataset
from bkdsnn.tools import parts

if "PYTEST_XDIST_WORKER" in os.environ:  # the cores are the workers': threads on busy ones wait for each other
    torch.set_num_threads(1)
ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
NEURON = {
    "kind": "if",
    "tau": 2.0,
    "v_threshold": 1.0,
    "v_reset": 0.0,
    "decay_input": True,
    "detach_reset": True,
    "surrogate": "atan",
    "surrogate_alpha": 2.0,
}


def augmentation(**changes) -> Augmentation:
    """An augmentation that does nothing but what is asked for."""
    nothing = {"resized_crop": None, "flip": 0.0, "shift": 0, "rand_augment": None, "snn_augment": False}
    return Augmentation(**{"views": 1, "augment_seed": 0, **nothing, "mixup": None, "erase": 0.0, **changes})


def pytest_collection_modifyitems(items) -> None:
    """The longest file begins, so that on several cores the others run beside it."""
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")


@pytest.fixture(scope="session")
def composed():
    """`composed("table=tiny", ...)`: a copy of what the catalogue composes, once, as a plain dict."""
    made = cache(parts.composed)
    return lambda *overrides: copy.deepcopy(made(*overrides))


def write_data(folder: Path, *, shape: tuple[int, ...], samples: int = 60, classes: int = 3) -> ArrayData:
    """A data set of random uint8 inputs, 2/3 training, the rest halved."""
    random = np.random.Generator(np.random.Philox(0))
    labels = np.arange(samples) % classes
    with new_folder(folder) as partial:
        inputs = create_inputs(partial, (samples, *shape))
        for row in range(samples):
            inputs.write(row, random.integers(0, 256, shape).astype(np.uint8))
        third = samples // 6
        order = np.arange(samples)
        splits = {
            "train": order[: 4 * third],
            "validation": order[4 * third : 5 * third],
            "test": order[5 * third :],
        }
        prepared = Prepared(
            classes=[str(c) for c in range(classes)], labels=labels, splits=splits, facts={"split": "made up"}
        )
        channels = shape[-3]
        normalise = {"scale": 255, "mean": (0.5,) * channels, "std": (0.25,) * channels}
        dataset = Dataset(source="made_up", settings={}, normalise=normalise)
        write_manifest(partial, prepared, dataset=dataset)
    return ArrayData(folder)


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "images", shape=(1, 8, 8))


def pytest_sessionfinish(session) -> None:
    """Where several processes test, each hands its deviations to the one that prints."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["largest"] = LARGEST


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node) -> None:
    for name, deviation in getattr(node, "workeroutput", {}).get("largest", {}).items():
        LARGEST[name] = max(LARGEST.get(name, 0.0), deviation)


def pytest_terminal_summary(terminalreporter):
    """How far from the official implementation's numbers we were, at most, in each file of them."""
    if LARGEST:
        terminalreporter.section("largest relative deviation from the reference vectors")
        for name, deviation in sorted(LARGEST.items()):
            terminalreporter.write_line(f"{name:32} {deviation:.1e}")
