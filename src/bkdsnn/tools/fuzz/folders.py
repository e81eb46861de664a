"""What the pipeline itself has written: prepared data, trained networks, caches, params.yaml."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from bkdsnn.build import built
from bkdsnn.contracts import Batch
from bkdsnn.data.arrays import ArrayData, Prepared, create_inputs, write_manifest
from bkdsnn.data.batches import Batches
from bkdsnn.export import mlflow_model
from bkdsnn.export.student import REGISTERED
from bkdsnn.files import sha256, write_json
from bkdsnn.params.check import check
from bkdsnn.params.schema import Dataset, Student, load_params
from bkdsnn.teachers.cached import CachedTeacher, shard_name
from bkdsnn.tools.compose import compose
from bkdsnn.tools.fuzz.target import Target
from bkdsnn.trained import Trained, load_trained, save_trained

_SAMPLES, _SHAPE, _CPU = 12, (1, 8, 8), torch.device("cpu")
_NORMALISE = {"scale": 255, "mean": (0.5,), "std": (0.25,)}
_NETWORK = Student(network="resnet", settings={"widths": [2, 4], "blocks": [1, 1], "stem_stride": 1})


def _write_prepared(folder: Path) -> None:
    inputs = create_inputs(folder, (_SAMPLES, *_SHAPE))
    for row in range(_SAMPLES):
        inputs.write(row, np.full(_SHAPE, row, dtype=np.uint8))
    order = np.arange(_SAMPLES)
    splits = {"train": order[:8], "validation": order[8:10], "test": order[10:]}
    prepared = Prepared(classes=["a", "b"], labels=order % 2, splits=splits, facts={"split": "by hand"})
    write_manifest(folder, prepared, dataset=Dataset(source="none", settings={}, normalise=_NORMALISE))


def _read_prepared(folder: Path, _changed: Path) -> None:
    data = ArrayData(folder)
    for split in data.splits:
        for _ in Batches(data, batch_size=4, device=_CPU).plain(split):
            pass


@cache
def _data(place: Path) -> ArrayData:
    (place / "data").mkdir()
    _write_prepared(place / "data")
    return ArrayData(place / "data")


def _weights(data: ArrayData) -> dict[str, torch.Tensor]:
    return built(_NETWORK, data=data, seed=0).state_dict()


def _write_trained(folder: Path) -> None:
    weights = _weights(_data(folder.parent))
    trained = Trained(last=weights, best=weights, best_epoch=0, history=[{"epoch": 0, "validation_top1": 50.0}])
    save_trained(folder, trained, data=_data(folder.parent), teacher=None, made_with={})


def _read_trained(folder: Path, _changed: Path) -> None:
    for which in ("last", "best"):
        load_trained(folder, _NETWORK, data=_data(folder.parent), which=which)


def _write_registered(folder: Path) -> None:
    save_file(_weights(_data(folder.parent)), folder / REGISTERED.weights)
    card = {**_NETWORK.model_dump(), "input_shape": _SHAPE, "classes": ["a", "b"], "normalise": _NORMALISE}
    write_json(folder / REGISTERED.card, {**card, "weights_sha256": sha256(folder / REGISTERED.weights)})


def _read_registered(folder: Path, _changed: Path) -> None:
    network = mlflow_model.load(str(folder))
    network(torch.zeros(1, *_SHAPE))


_OUTPUTS = {"logits": [1, 3], "last": [1, 4, 2, 2]}


def _write_cache(folder: Path) -> None:
    np.save(folder / "index.npy", np.arange(8))
    shard = f"{shard_name(0, 0)}.safetensors"
    save_file({name: torch.ones(8, *shape) for name, shape in _OUTPUTS.items()}, folder / shard)
    files = {name: folder / name for name in ("index.npy", shard)}
    content = {
        "data_sha256": "d",
        "teacher_sha256": "t",
        "views": 1,
        "samples": 8,
        "dtype": "float32",
        "outputs": _OUTPUTS,
        "shard_samples": 8,
    }
    content |= {"bytes": {name: path.stat().st_size for name, path in files.items()}}
    write_json(folder / "manifest.json", {**content, "sha256": {name: sha256(path) for name, path in files.items()}})


def _read_cache(folder: Path, _changed: Path) -> None:
    teacher = CachedTeacher(folder, data_digest="d", views=1, device=_CPU)
    index = torch.arange(8)
    teacher(Batch(inputs=torch.zeros(8, *_SHAPE), labels=index, index=index, draws=index, view=0))


def _write_params(folder: Path) -> None:
    compose(folder / "params.yaml", ["table=tiny"])


def _read_params(folder: Path, path: Path) -> None:
    check(load_params(path))


TARGETS = [
    Target("prepared data", _write_prepared, _read_prepared, names=False),
    Target("trained network", _write_trained, _read_trained, names=False),
    Target("registered model", _write_registered, _read_registered, names=False),
    Target("teacher cache", _write_cache, _read_cache, names=False),
    Target("params.yaml", _write_params, _read_params),
]
