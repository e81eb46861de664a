"""The folder that an evaluation writes, from a network that never learned."""

import numpy as np
import pytest
from conftest import write_data
from small_training import RECIPE, SETTINGS

from bkdsnn.build import built
from bkdsnn.evaluation.evaluate import evaluate_network
from bkdsnn.files import new_folder, read_json
from bkdsnn.params.schema import Student
from bkdsnn.reporting.collect import Metrics
from bkdsnn.tracking.tracker import NoTracker
from bkdsnn.trained import Trained, save_trained


class Recorder(NoTracker):
    def __init__(self) -> None:
        self.recorded = {}

    def metrics(self, values, **_) -> None:
        self.recorded |= values


@pytest.fixture
def evaluated(tmp_path, monkeypatch):
    """The folder, and the metrics that the tracker got."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BKDSNN_ACCELERATOR", "cpu")
    (tmp_path / "data").mkdir()
    data = write_data(tmp_path / "data/made-up", shape=(1, 8, 8))
    part = Student(network="sew_resnet", settings=SETTINGS)
    weights = built(part, data=data, seed=0).state_dict()
    with new_folder(tmp_path / "model") as folder:
        history = [{"epoch": 0, "task": 1.0, "validation_top1": 50.0}]
        save_trained(
            folder,
            Trained(weights, weights, best_epoch=0, history=history),
            data=data,
            teacher=None,
            made_with={"torch": "2.0"},
        )
    facts = {"key": "made-up", "seed": 0, "params_sha256": "ab" * 32}
    tracker, target = Recorder(), tmp_path / "evaluated"
    evaluate_network(
        tmp_path / "model", target, part=part, dataset="made-up", recipe=RECIPE, facts=facts, tracker=tracker
    )
    return target, tracker.recorded


def test_tables_read_what_an_evaluation_writes(evaluated):
    folder, _ = evaluated
    metrics = Metrics.model_validate(read_json(folder / "metrics.json"))
    predictions = np.genfromtxt(folder / "predictions.csv", delimiter=",", names=True)
    assert metrics.test_top1 == 100 * np.mean(predictions["actual"] == predictions["predicted"])
    assert metrics.footprint_bytes > 4 * metrics.parameters
    assert metrics.activation_sparsity == 1 - metrics.firing_rate
    assert 0 < metrics.effective_macs + metrics.effective_acs < metrics.dense_operations


def test_the_tracker_gets_every_number(evaluated):
    folder, recorded = evaluated
    written = read_json(folder / "metrics.json")
    for name in ("test_top1", "ece", "energy_uj", "footprint_bytes", "effective_macs", "effective_acs"):
        assert recorded[name] == written[name]


def test_a_network_that_never_learned_is_doubted(evaluated, caplog):
    said = [record.getMessage() for record in caplog.get_records("setup")]
    assert any(line.startswith("evaluated: test_top1") and "learnt nothing" in line for line in said)
