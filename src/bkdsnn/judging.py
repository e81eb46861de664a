"""One trained network judged: its folder under `results/runs/`."""

import shutil
from pathlib import Path

import numpy as np
import torch

from bkdsnn import evaluation
from bkdsnn.assembly import load_trained
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.params import Recipe, Student
from bkdsnn.paths import digest, new_folder, read_json, write_csv, write_json
from bkdsnn.seeding import default_device, make_deterministic
from bkdsnn.tracking import AnyTracker

MAP_SAMPLES = 6  # feature maps that are kept for the figure


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
    """Writes metrics.json, history.csv, predictions.csv and feature_maps.npy of the network that lies in `source`."""
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
    batch = next(batches.plain("test"))
    operations = evaluation.operations(network, batch.inputs)
    metrics = {
        "test_top1": 100.0 * float((last == actual).mean()),
        "test_top1_best": 100.0 * float((best == actual).mean()),
        "firing_rate": float(np.mean(list(rates.values()))) if rates else None,
        "macs": operations.macs,
        "synaptic_operations": operations.synaptic_operations,
        "energy_uj": operations.energy_uj,
        "parameters": evaluation.parameter_count(network),
    }
    with new_folder(target) as folder:
        shutil.copyfile(source / "history.csv", folder / "history.csv")
        write_csv(folder / "predictions.csv", {"actual": actual.tolist(), "predicted": last.tolist()})
        np.save(folder / "feature_maps.npy", _feature_maps(network, batch.inputs[:MAP_SAMPLES]))
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
                "firing_rate_per_layer": rates,
                "test_samples": len(actual),
                "time_steps": getattr(network, "time_steps", None),
            },
        )
    tracker.metrics({name: value for name, value in metrics.items() if value is not None})
    tracker.metrics({f"firing_rate.{name}": rate for name, rate in rates.items()})
    for path in sorted(target.iterdir()):
        tracker.artifact(path)
    tracker.close()


@torch.no_grad()
def _feature_maps(network: torch.nn.Module, inputs: torch.Tensor) -> np.ndarray:
    """The feature `last`, averaged over time and channels: float32 `[N, H, W]`."""
    return network(inputs).features["last"].mean(dim=(0, 2)).cpu().numpy()
