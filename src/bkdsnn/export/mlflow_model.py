"""A student as a registered MLflow model: weights and what its network is built of, nothing that runs code."""

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from bkdsnn import paths, plugins
from bkdsnn.contracts import Shape
from bkdsnn.data.arrays import ArrayData
from bkdsnn.errors import InputError
from bkdsnn.files import digest, read_json, sha256, write_json
from bkdsnn.layers.tensors import read_tensors
from bkdsnn.params.read import validated
from bkdsnn.params.schema import Params
from bkdsnn.tracking import registry

CARD, WEIGHTS = "network.json", "weights.safetensors"


def winner(params: Params, results: Path, *, rows: Iterable[str]) -> tuple[str, float]:
    """The run to register, and its row's accuracy: never chosen on the test split.

    The row whose validation accuracy after the last epoch is highest in the mean over the seeds, and of that row the
    seed that is best on it; the first of equals.
    """
    accuracy = {
        row: {key: _validation_top1(results / key) for key, run in params.runs.items() if run.row == row}
        for row in rows
    }
    means = {row: sum(runs.values()) / len(runs) for row, runs in accuracy.items()}
    best = max(means, key=means.get)
    return max(accuracy[best], key=accuracy[best].get), means[best]


def write_model(folder: Path, key: str, params: Params) -> None:
    """The folder that is registered: the weights after the last epoch, and a card that says how they are used."""
    run = params.runs[key]
    source = paths.student(run.table, key)
    part, data = params.students[run.student], ArrayData(paths.dataset(run.dataset))
    shutil.copyfile(source / "last.safetensors", folder / WEIGHTS)
    card = {
        "network": part.network,
        "settings": part.settings,
        "input_shape": data.input_shape,
        "classes": data.classes,
        "normalise": data.normalise.model_dump(mode="json"),
        "run": {"key": key, **run.model_dump(include={"table", "row", "seed", "dataset", "teacher", "method"})},
        "model_sha256": digest(source),
        "weights_sha256": sha256(folder / WEIGHTS),
    }
    write_json(folder / CARD, card)


def load(uri: str) -> nn.Module:
    """A registered model (`models:/bkdsnn-digits/1`), or a folder of that form, in eval mode; its `card` is beside it.

    Raises `InputError` where there is no such model, or the weights are not those of its card.
    """
    if not uri.startswith("models:/"):
        return _read(Path(uri))
    with tempfile.TemporaryDirectory() as folder:
        return _read(registry.download(uri, Path(folder)))


def _read(folder: Path) -> nn.Module:
    card = read_json(folder / CARD)
    if not (folder / WEIGHTS).is_file() or sha256(folder / WEIGHTS) != card.get("weights_sha256"):
        raise InputError(f"{folder / WEIGHTS}: missing, or not the weights that {CARD} names")
    weights = read_tensors(folder / WEIGHTS)
    try:
        with torch.device("meta"):  # takes no memory, whatever size the card asks for
            shapes = _shapes(_built(card).state_dict())
        if shapes != _shapes(weights):
            name = next(name for name, _ in sorted(shapes.items() ^ _shapes(weights).items()))
            raise InputError(
                f"{folder / WEIGHTS}: '{ascii(name)[1:-1]}' is not as in the network that {CARD} describes"
            )
        network = _built(card)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError, ArithmeticError) as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise InputError(f"{folder / CARD}: describes no network ({why})") from error
    network.load_state_dict(weights)
    network.card = card
    return network.eval()


def _built(card: dict) -> nn.Module:
    module = plugins.load("network", card["network"])
    with torch.random.fork_rng(devices=[]):  # the weights that a network starts with are of no interest here
        settings = validated(module.Settings, card["settings"], where="settings")
        return module.Network(settings, input_shape=tuple(card["input_shape"]), classes=len(card["classes"]))


def _shapes(weights: dict[str, Tensor]) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def _validation_top1(folder: Path) -> float:
    path = folder / "history.csv"
    if not path.is_file():
        raise InputError(f"{path}: missing; run `dvc repro`")
    return float(pd.read_csv(path)["validation_top1"].iloc[-1])
