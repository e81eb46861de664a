"""A student as a registered MLflow model: weights and what its network is built of, nothing that runs code."""

import shutil
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from bkdsnn import paths
from bkdsnn.data.arrays import ArrayData
from bkdsnn.errors import InputError
from bkdsnn.export.student import REGISTERED, Names, read_student
from bkdsnn.files import digest, sha256, write_json
from bkdsnn.params.schema import Params
from bkdsnn.tracking import opening, registry

_CODE = Path(__file__).with_name("pyfunc_code.py")
_INSIDE = Path("artifacts", "student")  # where MLflow keeps the folder in a model of its own
_LIBRARIES = ("torch", "spikingjelly", "safetensors", "pydantic", "numba", "numpy")  # what reading one needs


def winner(params: Params, results: Path, *, rows: Iterable[str]) -> tuple[str, float]:
    """The run to register, and its row's accuracy: never chosen on the test split.

    The row whose validation accuracy after the last epoch is highest in the mean over the seeds, and of that row the
    seed that is best on it; the first of equals.
    """
    accuracy = {
        row: {key: _validation_top1(results / key) for key, run in params.runs.items() if run.row == row}
        for row in rows
        if params.recipes[params.rows[row].recipe].epochs
    }
    if not accuracy:
        raise InputError("nothing of this was trained here (as published): no validation accuracy says what is best")
    means = {row: sum(runs.values()) / len(runs) for row, runs in accuracy.items()}
    best = max(means, key=means.get)
    return max(accuracy[best], key=accuracy[best].get), means[best]


def write_model(folder: Path, key: str, params: Params, *, names: Names = REGISTERED, **more: object) -> dict:
    """A student's folder: the weights after the last epoch, and a card that says how they are used; gives the card."""
    run = params.runs[key]
    source = paths.student(run.table, key)
    part, data = params.students[run.student], ArrayData(paths.dataset(run.dataset))
    shutil.copyfile(source / "last.safetensors", folder / names.weights)
    card = {
        "network": part.network,
        "settings": part.settings,
        "input_shape": data.input_shape,
        "classes": data.classes,
        "normalise": data.normalise.model_dump(mode="json"),
        "run": {"key": key, **run.model_dump(include={"table", "row", "seed", "dataset", "teacher", "method"})},
        "model_sha256": digest(source),
        "weights_sha256": sha256(folder / names.weights),
        **more,
    }
    write_json(folder / names.card, card)
    return card


def write_pyfunc(folder: Path, student: Path) -> None:
    """A model of MLflow's own kind around a student's folder: a few lines of code, signature, example, no pickle."""
    opening.be_quiet()
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    card = read_student(student, REGISTERED).card
    inputs = TensorSpec(np.dtype(np.float32), (-1, *card["input_shape"]))
    outputs = TensorSpec(np.dtype(np.float32), (-1, len(card["classes"])))
    pyfunc.save_model(
        folder,
        python_model=str(_CODE),
        artifacts={_INSIDE.name: str(student)},
        signature=ModelSignature(Schema([inputs]), Schema([outputs])),
        input_example=np.zeros((1, *card["input_shape"]), np.float32),
        pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in _LIBRARIES],
    )


def load(uri: str) -> nn.Module:
    """A registered model (`models:/bkdsnn-digits/1`), or a folder of that form, in eval mode; its `card` is beside it.

    Raises `InputError` where there is no such model, or the weights are not those of its card.
    """
    if not uri.startswith("models:/"):
        return _read(Path(uri))
    with tempfile.TemporaryDirectory() as folder:
        return _read(registry.download(uri, Path(folder)))


def _read(folder: Path) -> nn.Module:
    inside = folder / _INSIDE
    return read_student(inside if inside.is_dir() else folder, REGISTERED)


def _validation_top1(folder: Path) -> float:
    path = folder / "history.csv"
    if not path.is_file():
        raise InputError(f"{path}: missing; run `dvc repro`")
    return float(pd.read_csv(path)["validation_top1"].iloc[-1])
