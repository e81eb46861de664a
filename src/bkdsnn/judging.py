"""One trained network judged: its folder under `results/runs/`."""

import math
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from bkdsnn import evaluation
from bkdsnn.assembly import load_trained
from bkdsnn.contracts import Batch
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.params import Recipe, Student
from bkdsnn.paths import digest, new_folder, read_json, write_csv, write_json
from bkdsnn.seeding import default_device, make_deterministic
from bkdsnn.tracking import AnyTracker

MAP_CLASSES = 6  # of so many classes the first test sample's feature map is kept for the figure


def judge(
    source: Path,
    target: Path,
    *,
    part: Student,
    dataset: str,
    recipe: Recipe,
    facts: dict[str, object],
    tracker: AnyTracker,
) -> None:
    """Writes metrics.json, history.csv, predictions.csv and feature_maps.npy of the network that lies in `source`.

    It runs in float32, also where it was trained with less.
    """
    data = ArrayData(Path("data") / dataset)
    make_deterministic(threads=recipe.threads)
    device = default_device()
    batches = Batches(data, batch_size=recipe.batch_size, device=device)
    manifest = read_json(source / "manifest.json")
    network = load_trained(source, part, data=data, which="best").to(device)
    actual, best = evaluation.predictions(network, batches.plain("test"))
    network = load_trained(source, part, data=data, which="last").to(device)
    _, last = evaluation.predictions(network, batches.plain("test"))
    rates = evaluation.firing_rates(network, batches.plain("test"))
    operations = evaluation.operations(network, batches.plain("test"))
    metrics = {
        "test_top1": 100.0 * float((last == actual).mean()),
        "test_top1_validation_choice": 100.0 * float((best == actual).mean()),
        "firing_rate": None if math.isnan(rates.overall) else rates.overall,
        "macs": operations.macs,
        "synaptic_operations": operations.synaptic_operations,
        "energy_uj": operations.energy_uj,
        "parameters": evaluation.parameter_count(network),
    }
    with new_folder(target) as folder:
        shutil.copyfile(source / "history.csv", folder / "history.csv")
        write_csv(folder / "predictions.csv", {"actual": actual.tolist(), "predicted": last.tolist()})
        np.save(folder / "feature_maps.npy", _feature_maps(network, batches.plain("test")))
        provenance = {
            "data_sha256": manifest["data_sha256"],
            "teacher_sha256": manifest["teacher_sha256"],
            "model_sha256": digest(source),
        }
        write_json(
            folder / "metrics.json",
            {
                **facts,
                **metrics,
                **provenance,
                "best_epoch": manifest["best_epoch"],
                "epochs": manifest["epochs"],
                "firing_rate_per_layer": rates.per_layer,
                "split": data.manifest["facts"]["split"],
                "test_samples": len(actual),
                "time_steps": getattr(network, "time_steps", None),
            },
        )
    tracker.metrics({name: value for name, value in metrics.items() if value is not None})
    tracker.metrics({f"firing_rate.{name}": rate for name, rate in rates.per_layer.items()})
    for path in sorted(target.iterdir()):
        tracker.artifact(path)


@torch.no_grad()
def _feature_maps(network: torch.nn.Module, batches: Iterable[Batch]) -> np.ndarray:
    """The feature `last` of the first sample of each class, averaged over time and channels: float32 `[N, H, W]`.

    Where it is a vector there is no map: `[0, 1, 1]`.
    """
    maps: dict[int, np.ndarray] = {}
    for batch in batches:
        feature = network(batch.inputs).features["last"]
        if feature.dim() == 3:
            return np.zeros((0, 1, 1), np.float32)
        found = feature.mean(dim=(0, 2)).cpu().numpy()
        for label, one in zip(batch.labels.tolist(), found, strict=True):
            maps.setdefault(label, one)
    return np.stack([maps[label] for label in sorted(maps)[:MAP_CLASSES]])
