"""What a trained network is worth: its folder under `results/runs/`."""

import logging
import math
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from bkdsnn import paths
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.distributed.device import this_device
from bkdsnn.evaluation import neurobench
from bkdsnn.evaluation.activity import FiringRates, Predictions, SpikeCounter, parameter_count, predictions
from bkdsnn.evaluation.calibration import expected_calibration_error
from bkdsnn.evaluation.doubts import doubts
from bkdsnn.evaluation.energy import OperationCounter, Operations
from bkdsnn.evaluation.feature_maps import FeatureMaps, feature_maps
from bkdsnn.files import digest, new_folder, read_json, write_csv, write_json
from bkdsnn.params.schema import Recipe, Student
from bkdsnn.provenance.versions import made_with
from bkdsnn.seeding import make_deterministic
from bkdsnn.tracking.tracker import AnyTracker
from bkdsnn.trained import checked, load_trained

log = logging.getLogger(__name__)

MAP_CLASSES = 6  # of so many classes the first test sample is shown in the figures


class Found(NamedTuple):
    """What was found on the test split: the predictions of last and best weights; all else is of the last."""

    last: Predictions
    best: Predictions
    rates: FiringRates
    operations: Operations
    synaptic: neurobench.SynapticOperations
    maps: FeatureMaps
    network: nn.Module

    def metrics(self) -> dict[str, float | int | None]:
        """The numbers of the table; accuracies and ECE in percent, energy in uJ; from footprint on NeuroBench's."""
        rate = None if math.isnan(self.rates.overall) else self.rates.overall
        correct = self.last.predicted == self.last.actual
        return {
            "test_top1": 100.0 * float(correct.mean()),
            "test_top1_validation_choice": 100.0 * float((self.best.predicted == self.best.actual).mean()),
            "ece": expected_calibration_error(correct, self.last.confidence),
            "firing_rate": rate,
            "macs": self.operations.macs,
            "synaptic_operations": self.operations.synaptic_operations,
            "energy_uj": self.operations.energy_uj,
            "parameters": parameter_count(self.network),
            "footprint_bytes": neurobench.footprint(self.network),
            "connection_sparsity": neurobench.connection_sparsity(self.network),
            "activation_sparsity": None if rate is None else 1.0 - rate,  # of neurons, which put out 0 or 1
            **self.synaptic._asdict(),
        }


def evaluate_network(
    source: Path,
    target: Path,
    *,
    part: Student,
    dataset: str,
    recipe: Recipe,
    facts: dict[str, Any],
    tracker: AnyTracker,
) -> None:
    """Writes what the network in `source` is worth, and what the figures show of it.

    metrics.json, history.csv, predictions.csv, and as arrays feature_maps, grad_cam and feature_spread. The network
    runs in float32, also where it was trained with less.
    """
    data = ArrayData(paths.dataset(dataset))
    make_deterministic(threads=recipe.threads)
    device = this_device(portable=recipe.portable)
    batches = Batches(data, batch_size=recipe.batch_size, accumulate=recipe.accumulate, device=device)
    found = _look(source, part, batches=batches)
    for doubt in doubts(found.last, found.rates):
        log.warning("%s: %s", target.name, doubt)
    facts = {**facts, **_provenance(source), "evaluated_with": made_with(device)}
    with new_folder(target) as folder:
        _write(folder, found, facts=facts, split=data.manifest["facts"]["split"])
        shutil.copyfile(checked(source, "history.csv"), folder / "history.csv")
    _track(tracker, found, target)


def _look(source: Path, part: Student, *, batches: Batches) -> Found:
    """One pass of each of the two weights over the test split, and a last one over the samples that are shown."""
    loaded = (load_trained(source, part, data=batches.data, which=which) for which in ("best", "last"))
    best_network, network = (network.to(batches.device) for network in loaded)
    best = predictions(best_network, batches.plain("test"))
    synaptic = neurobench.SynapticOperationCounter(network)
    with SpikeCounter(network) as spikes, synaptic, OperationCounter() as counted:
        last = predictions(network, batches.plain("test"))
    classes, samples = np.unique(last.actual)[:MAP_CLASSES].tolist(), len(last.actual)
    maps = feature_maps(network, batches.plain("test"), classes=classes)
    operations = counted.per_sample(samples), synaptic.per_sample(samples)
    return Found(last, best, spikes.rates(), *operations, maps, network)


def _provenance(source: Path) -> dict[str, Any]:
    manifest = read_json(source / "manifest.json")
    kept = ("data_sha256", "teacher_sha256", "made_with", "best_epoch", "epochs")
    return {**{name: manifest[name] for name in kept}, "model_sha256": digest(source)}


def _write(folder: Path, found: Found, *, facts: dict[str, Any], split: str) -> None:
    columns = {name: getattr(found.last, name).tolist() for name in ("actual", "predicted")}
    write_csv(folder / "predictions.csv", columns)
    np.save(folder / "feature_maps.npy", found.maps.maps)
    np.save(folder / "grad_cam.npy", found.maps.grad_cam)
    np.save(folder / "feature_spread.npy", found.maps.spread)
    own = {
        "firing_rate_per_layer": [[name, rate] for name, rate in found.rates.per_layer.items()],  # in their order
        "shown_samples": found.maps.samples.tolist(),
        "split": split,
        "test_samples": len(found.last.actual),
        "time_steps": getattr(found.network, "time_steps", None),
    }
    write_json(folder / "metrics.json", {**facts, **found.metrics(), **own})


def _track(tracker: AnyTracker, found: Found, target: Path) -> None:
    tracker.metrics({name: value for name, value in found.metrics().items() if value is not None})
    tracker.metrics({f"firing_rate.{name}": rate for name, rate in found.rates.per_layer.items()})
    for path in sorted(target.iterdir()):
        tracker.artifact(path)
