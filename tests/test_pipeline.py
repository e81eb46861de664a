"""A real `dvc repro` of the tiny table in a clone, and what users do next; the tests run in this order."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml

from bkdsnn.tools import clone as clones

ROWS = ("image-ce", "image-bkd", "image-vit", "dvs-mixed", "dvs-swapped")
MARK = 5  # the clones keep so many feature maps, the checkout another number: proof of whose code ran


class Clone(clones.Clone):
    """A clone with a mark in its code."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        judging = folder / "src/bkdsnn/judging.py"
        judging.write_text(re.sub(r"MAP_CLASSES = \d+", f"MAP_CLASSES = {MARK}", judging.read_text()))
        self.commit()


def stages(output: str) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", output))


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Two clones in different places, reproduced side by side, the second without MLflow."""
    first, second = Clone(tmp_path_factory.mktemp("first") / "a"), Clone(tmp_path_factory.mktemp("elsewhere") / "b")
    with ThreadPoolExecutor() as pool:
        other = pool.submit(second.dvc, "repro", BKDSNN_TRACKING="off")
        first.output = first.dvc("repro")
        other.result()
    first.commit()
    return first, second


@pytest.fixture(scope="module")
def clone(twins):
    return twins[0]


def test_the_graph_runs_from_data_to_table(clone):
    assert len(stages(clone.output)) == 25
    for name in ("comparison.md", "table.md", "table.csv", "table.tex", "summary.json", "figures.json"):
        assert (clone.folder / "results/tables/tiny" / name).is_file()
    figures = {path.name for path in (clone.folder / "results/figures/tiny").iterdir()}
    assert {"accuracy.png", "training_curves.png", "grad_cam-digits-dvs.png", "feature_spread.png"} <= figures
    metrics = json.loads((clone.folder / "results/runs/tiny/dvs-mixed-s0/metrics.json").read_text())
    assert metrics["epochs"] == 2
    assert 0 <= metrics["test_top1"] <= 100
    assert metrics["energy_uj"] > 0


def test_the_clone_ran_its_own_code(clone):
    assert len(np.load(clone.folder / "results/runs/tiny/image-ce-s0/feature_maps.npy")) == MARK


def test_mlflow_has_one_run_per_model_under_one_parent(clone):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{clone.folder / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("bkdsnn").experiment_id])
    named = {run.info.run_name: run for run in runs}
    assert len(named) == len(runs) == 10
    (parent,) = (run for run in runs if run.data.tags["bkdsnn.kind"] == "experiment")
    assert all(run.data.tags["mlflow.parentRunId"] == parent.info.run_id for run in runs if run is not parent)
    student = named["image-bkd-s0"]
    assert student.data.params["blur_ratio"] == "0.15"
    assert {"task", "feature", "validation_top1", "test_top1", "energy_uj"} <= set(student.data.metrics)
    assert len(client.get_metric_history(student.info.run_id, "feature")) == 2
    assert {artifact.path for artifact in client.list_artifacts(parent.info.run_id)} == {"figures", "tables"}


def test_a_second_repro_does_nothing(clone):
    assert stages(clone.dvc("repro")) == set()


def test_dvc_metrics_show_is_one_line_per_table(clone):
    shown = json.loads(clone.dvc("metrics", "show", "--json"))
    (files,) = (entry["data"] for entry in shown.values())
    assert set(files["results/tables/tiny/summary.json"]["data"]) == set(ROWS)


def test_another_place_gives_the_same_bytes(twins):
    assert not (twins[1].folder / "mlflow.db").exists()
    first, second = (clone.bytes() for clone in twins)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_an_experiment_with_another_blur_ratio_reruns_what_blurs(clone):
    output = clone.dvc("exp", "run", "-S", "table=tiny", "-S", "blur_ratio=0.2", BKDSNN_TRACKING="off")
    blurring = {f"{stage}@{row}-s0" for stage in ("train_student", "evaluate") for row in ROWS if row != "image-ce"}
    assert stages(output) == {"check_params", "build_tables@tiny"} | blurring
    clone.run("git", "checkout", "-q", ".")
    clone.dvc("checkout", "-q")


@pytest.mark.slow
def test_queued_experiments_run_side_by_side_into_one_store(clone):
    from mlflow import MlflowClient

    clone.dvc("exp", "run", "--queue", "-S", "table=tiny", "-S", "blur_ratio=0.0,0.3,0.4,0.5")
    clone.dvc("queue", "start", "-j", "4")
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        states = [
            line.split()[-1] for line in clone.dvc("queue", "status").splitlines() if re.match("[0-9a-f]{7} ", line)
        ]
        if set(states) <= {"Success", "Failed"}:
            break
        time.sleep(3)
    assert states == ["Success"] * 4
    client = MlflowClient(f"sqlite:///{clone.folder / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("bkdsnn").experiment_id])
    children = [run for run in runs if run.data.params.get("blur_ratio") in ("0.0", "0.3", "0.4", "0.5")]
    assert len(children) == 16  # the four rows that blur
    assert all({"task", "test_top1"} <= set(run.data.metrics) for run in children)
    assert len({run.data.tags["mlflow.parentRunId"] for run in children}) == 4


def test_a_mistake_in_params_stops_before_any_work(clone):
    path = clone.folder / "params.yaml"
    content = yaml.safe_load(path.read_text())
    content["recipes"]["digits"]["epoch"] = 3
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    output = clone.dvc("repro", check=False)
    assert clone.code != 0
    assert stages(output) == {"check_params"}
    told = [line for line in output.splitlines() if line.startswith("check_params: ")]
    assert told == [
        "check_params: params.yaml: recipes.digits.epoch: unknown key; did you mean epochs? allowed: epochs, "
        "batch_size, precision, threads, optimiser, schedule, augmentation, cache, speed"
    ]
    clone.run("git", "checkout", "-q", "params.yaml")
