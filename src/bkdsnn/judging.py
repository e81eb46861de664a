"""One trained network judged: its folder under `results/runs/`."""

import math
import shutil
from pathlib import Path

import numpy as np

from bkdsnn import evaluation
from bkdsnn.assembly import load_trained
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.exhibits import exhibits
from bkdsnn.params import Recipe, Student
from bkdsnn.paths import digest, new_folder, read_json, write_csv, write_json
from bkdsnn.seeding import default_device, make_deterministic
from bkdsnn.tracking import AnyTracker

MAP_CLASSES = 6  # of so many classes the first test sample is shown in the figures


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
    """Writes what the network in `source` is worth, and what the figures show of it.

    metrics.json, history.csv, predictions.csv, and as arrays feature_maps, grad_cam and feature_spread. The network
    runs in float32, also where it was trained with less.
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
    shown = exhibits(network, batches.plain("test"), classes=np.unique(actual)[:MAP_CLASSES].tolist())
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
        np.save(folder / "feature_maps.npy", shown.maps)
        np.save(folder / "grad_cam.npy", shown.grad_cam)
        np.save(folder / "feature_spread.npy", shown.spread)
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
                "firing_rate_per_layer": [[name, rate] for name, rate in rates.per_layer.items()],  # in their order
                "shown_samples": shown.samples.tolist(),
                "split": data.manifest["facts"]["split"],
                "test_samples": len(actual),
                "time_steps": getattr(network, "time_steps", None),
            },
        )
    tracker.metrics({name: value for name, value in metrics.items() if value is not None})
    tracker.metrics({f"firing_rate.{name}": rate for name, rate in rates.per_layer.items()})
    for path in sorted(target.iterdir()):
        tracker.artifact(path)
