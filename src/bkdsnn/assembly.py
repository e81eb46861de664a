"""Builds what params.yaml describes: data, networks, methods, and the folder of a trained network."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from bkdsnn import catalogue
from bkdsnn.contracts import Batch, NetOutput
from bkdsnn.data.arrays import ArrayData
from bkdsnn.errors import InputError
from bkdsnn.params import MethodPart, Student, validated
from bkdsnn.paths import digest, read_json, sha256, write_csv, write_json
from bkdsnn.seeding import derive_seed

if TYPE_CHECKING:  # the loop brings the training engine, which an evaluation does not need
    from bkdsnn.training import Trained


def make_network(part: Student, *, data: ArrayData, seed: int) -> nn.Module:
    """A network for a data set with the weights that training starts from, drawn from the seed or made by others."""
    network = _built(part, data=data, seed=seed)
    if hasattr(network, "load_initial_weights"):
        network.load_initial_weights()
    return network


def make_method(
    part: MethodPart, settings: dict, *, student: nn.Module, teacher_output: NetOutput | None, batch: Batch, seed: int
) -> nn.Module:
    """A method for a student and its teacher, whose feature shapes are read off one batch."""
    module = catalogue.load("method", part.method)
    with torch.no_grad():
        student_output = student.eval()(batch.inputs)
    torch.manual_seed(derive_seed("method", seed))
    return module.Method(
        validated(module.Settings, settings, where=f"{part.method}.settings"),
        student=student_output.feature_shapes(),
        teacher=teacher_output.feature_shapes() if teacher_output else {},
    )


def save_trained(folder: Path, trained: "Trained", *, data: ArrayData, teacher: str | None) -> None:
    """Writes weights after the last and the best epoch, the history, and last a manifest with their hashes."""
    for name in ("last", "best"):
        save_file(getattr(trained, name), folder / f"{name}.safetensors")
    names = trained.history[0] if trained.history else ("epoch", "validation_top1")
    columns = {name: [record[name] for record in trained.history] for name in names}
    write_csv(folder / "history.csv", columns)
    write_json(
        folder / "manifest.json",
        {
            "best_epoch": trained.best_epoch,
            "epochs": len(trained.history),
            "data_sha256": digest(data.folder),
            "teacher_sha256": teacher,
            "sha256": {name: sha256(folder / name) for name in ("last.safetensors", "best.safetensors", "history.csv")},
        },
    )


def load_trained(folder: Path, part: Student, *, data: ArrayData, which: str) -> nn.Module:
    """A trained network, `which` = last or best; `InputError` where the file does not fit its manifest or network."""
    path = folder / f"{which}.safetensors"
    if not path.is_file() or sha256(path) != read_json(folder / "manifest.json")["sha256"][path.name]:
        raise InputError(f"{path}: missing, or its bytes do not match manifest.json; run `dvc repro` to train again")
    network = _built(part, data=data, seed=0)
    try:
        network.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise InputError(
            f"{path}: does not fit the network '{part.network}': {' '.join(str(error).split())}"
        ) from error
    return network.eval()


def _built(part: Student, *, data: ArrayData, seed: int) -> nn.Module:
    module = catalogue.load("network", part.network)
    settings = validated(module.Settings, part.settings, where=f"{part.network}.settings")
    torch.manual_seed(derive_seed("network", seed))
    return module.Network(settings, input_shape=data.input_shape, classes=len(data.classes))
