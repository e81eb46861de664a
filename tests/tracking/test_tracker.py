"""The MLflow store: one run per model, children of one parent, also from four processes at once."""

import json
import subprocess
import sys
import time

import pytest
from tracking_server import socket_of_server  # noqa: F401  (a fixture)

from bkdsnn.tracking import tracker as tracking
from bkdsnn.tracking.names import named

SCRIPT = """
import sys
from pathlib import Path
from bkdsnn.tracking.tracker import training_tracker
with training_tracker(name=sys.argv[1], kind="student", seed=0, identity=sys.argv[1]) as tracker:
    tracker.params({"method": {"name": "bkd", "blur_ratio": 0.2}})
    tracker.machine({"processor": "one"})
    tracker.machine({"processor": "another"})
    for epoch in range(5):
        tracker.metrics({"task": 1.0 / (epoch + 1)}, step=epoch)
    tracker.model("digest-of-" + sys.argv[1])
"""


both_ways = pytest.mark.parametrize("store", ["own process", "server"], indirect=True)


@pytest.fixture(params=[pytest.param("own process", marks=pytest.mark.slow), "server"])
def store(request, tmp_path, monkeypatch):
    """A project root of its own, tracked by both ways; gives a function that lists its runs."""
    monkeypatch.delenv("BKDSNN_TRACKER_SOCKET", raising=False)
    if request.param == "server":
        monkeypatch.setenv("BKDSNN_TRACKER_SOCKET", request.getfixturevalue("socket_of_server"))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("DVC_EXP_NAME", "calm-heron")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("BKDSNN_TRACKING", raising=False)

    def runs():
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
        experiments = client.search_experiments(filter_string="name = 'bkdsnn'")
        assert len(experiments) == 1
        return client, client.search_runs([experiments[0].experiment_id])

    return runs


@both_ways
def test_four_processes_that_open_the_store_at_once_leave_it_whole(store):
    processes = [subprocess.Popen([sys.executable, "-c", SCRIPT, f"run{number}"]) for number in range(4)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0, 0]
    client, runs = store()
    parents = [run for run in runs if run.data.tags["bkdsnn.kind"] == "experiment"]
    children = [run for run in runs if run.data.tags["bkdsnn.kind"] == "student"]
    assert [run.info.run_name for run in parents] == ["calm-heron"]
    assert sorted(run.info.run_name for run in children) == ["run0", "run1", "run2", "run3"]
    for run in children:
        assert run.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
        assert run.data.params["method"] == "bkd"
        assert run.data.params["blur_ratio"] == "0.2"
        assert run.data.tags["machine.processor"] == "another"
        assert run.data.tags["bkdsnn.experiment"] == "calm-heron"
        assert run.info.status == "FINISHED"
        assert [m.value for m in client.get_metric_history(run.info.run_id, "task")] == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]


def test_a_run_lists_its_data_set_once_and_the_experiment_is_the_one_that_is_named(store, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "Anna's")
    digest = 32 * "ab"
    for _ in range(2):  # killed and gone on with
        with tracking.training_tracker(name="a-s0", kind="student", seed=0, identity="a") as tracker:
            tracker.params({"run": {"dataset": "digits"}, "sha256": {"data": digest}})
        assert not tracker.failed
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert client.get_experiment_by_name("bkdsnn") is None
    experiment = client.get_experiment_by_name("Anna's").experiment_id
    (run,) = client.search_runs([experiment], "tags.`bkdsnn.kind` = 'student'")
    (found,) = run.inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("digits", digest[:36])
    assert found.dataset.source == '{"uri": "data/digits"}'
    assert [(tag.key, tag.value) for tag in found.tags] == [("mlflow.data.context", "training")]


def test_weights_are_registered_once(store, tmp_path, capfd):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "network.json").write_text("{}")
    with tracking.training_tracker(name="a-s0", kind="student", seed=0, identity="a") as tracker:
        for digest in ("abc", "abc", "def"):
            tracker.register("bkdsnn-digits", folder, digest=digest)
    assert not tracker.failed
    said = [line for line in capfd.readouterr().out.splitlines() if line.startswith("models:")]
    assert said == [
        "models:/bkdsnn-digits/1: registered",
        "models:/bkdsnn-digits/1: these weights are registered already",
        "models:/bkdsnn-digits/2: registered",
    ]
    client, _ = store()
    assert int(client.get_model_version_by_alias("bkdsnn-digits", "champion").version) == 2


def test_an_evaluation_reopens_the_run_of_its_weights(store, tmp_path):
    with tracking.training_tracker(name="a-s0", kind="student", seed=0, identity="i") as first:
        first.model("abc")
    for digest, accuracy in (("abc", 91.0), ("other", 12.0)):
        (tmp_path / "metrics.json").write_text("{}")
        with tracking.evaluation_tracker(name="a-s0", kind="student", digest=digest, seed=0) as again:
            again.metrics({"test_top1": accuracy})
            again.artifact(tmp_path / "metrics.json")
    with tracking.report_tracker():
        pass
    client, runs = store()
    students = {run.data.tags.get("bkdsnn.model"): run for run in runs if run.info.run_name == "a-s0"}
    assert students["abc"].data.metrics == {"test_top1": 91.0}
    assert students[None].data.metrics == {"test_top1": 12.0}, "weights that the store does not know: a run of its own"
    assert len(runs) == 3
    assert [a.path for a in client.list_artifacts(students["abc"].info.run_id)] == ["metrics.json"]
    tags = client.get_experiment(runs[0].info.experiment_id).tags
    view = json.loads(tags["mlflow.sharedViewState.bkdsnn"])
    shown = {column.split("`")[1] for column in view["selectedColumns"] if column.startswith("params.")}
    assert {"method", "blur_ratio"} <= shown <= set(named({})), "every run has the columns that the page opens with"


def test_a_broken_store_is_told_and_stops_nothing(store, monkeypatch, caplog, capfd):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////dev/null/mlflow.db")
    with tracking.training_tracker(name="a", kind="student", seed=0, identity="i") as tracker:
        for epoch in range(3):
            tracker.metrics({"task": 1.0}, step=epoch)
    assert "the results are not affected" in caplog.text


def test_tracking_can_be_turned_off(store, tmp_path, monkeypatch):
    monkeypatch.setenv("BKDSNN_TRACKING", "off")
    public = {name for name in vars(tracking.Tracker) if not name.startswith("_")}
    assert public == {name for name in vars(tracking.NoTracker) if not name.startswith("_")}
    with tracking.training_tracker(name="a", kind="student", seed=0, identity="i") as tracker:
        tracker.params({})
        tracker.metrics({"task": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_each_experiment_gets_the_evaluation_of_its_own_run(store, monkeypatch):
    for name in ("calm-heron", "late-wren"):
        monkeypatch.setenv("DVC_EXP_NAME", name)
        with tracking.training_tracker(name="a-s3", kind="student", seed=3, identity=name) as tracker:
            tracker.model("same weights")
    monkeypatch.setenv("DVC_EXP_NAME", "calm-heron")
    with tracking.evaluation_tracker(name="a-s3", kind="student", digest="same weights", seed=3) as tracker:
        tracker.metrics({"test_top1": 91.0})
    evaluated = [run for run in store()[1] if run.data.metrics]
    assert [run.data.tags["bkdsnn.experiment"] for run in evaluated] == ["calm-heron"]


@both_ways
def test_a_stage_that_fails_or_is_killed_leaves_no_running_run(store):
    with pytest.raises(RuntimeError), tracking.training_tracker(name="fails", kind="student", seed=0, identity="f"):
        raise RuntimeError
    with pytest.raises(SystemExit), tracking.training_tracker(name="stops", kind="student", seed=0, identity="s"):
        raise SystemExit(143)
    subprocess.run([sys.executable, "-c", KILLED])
    wait_until_killed(store)
    assert {run.info.run_name: run.info.status for run in store()[1] if run.info.run_name in ("fails", "stops")} == {
        "fails": "FAILED",
        "stops": "KILLED",
    }


def test_a_parent_runs_as_long_as_one_of_its_children(store):
    def status() -> str:
        (parent,) = (run for run in store()[1] if run.data.tags["bkdsnn.kind"] == "experiment")
        return parent.info.status

    def run(name: str):
        return tracking.training_tracker(name=name, kind="student", seed=0, identity=name)

    with run("a"):
        pass
    assert status() == "FINISHED"
    first = run("a")
    with run("b"):
        pass
    wait_for(lambda: status() == "RUNNING")
    first.model("abc")
    with pytest.raises(RuntimeError), first:
        raise RuntimeError
    assert status() == "FAILED"
    with tracking.evaluation_tracker(name="a", kind="student", seed=0, digest="abc"):
        pass
    assert status() == "FINISHED"


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)


KILLED = """
from bkdsnn.tracking.tracker import training_tracker
tracker = training_tracker(name="killed", kind="student", seed=0, identity="k")
for epoch in range(3):
    tracker.metrics({"task": 1.0 / (epoch + 1)}, step=epoch)
os.kill(os.getpid(), 9)
"""


def wait_until_killed(store) -> None:
    wait_for(lambda: "KILLED" in {run.info.status for run in store()[1] if run.info.run_name == "killed"})


def test_a_run_that_goes_on_continues_its_curve_in_the_same_run(store):
    with tracking.report_tracker():  # makes the store, which nobody else may look at meanwhile
        pass
    subprocess.run([sys.executable, "-c", KILLED])
    wait_until_killed(store)
    with tracking.training_tracker(name="killed", kind="student", seed=0, identity="k") as tracker:
        for epoch in range(1, 5):  # its state was older than its last epochs
            tracker.metrics({"task": 1.0 / (epoch + 1)}, step=epoch)
    client, runs = store()
    (run,) = (run for run in runs if run.info.run_name == "killed")
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "task")
    assert [(entry.step, entry.value) for entry in history] == [(step, 1.0 / (step + 1)) for step in range(5)]


def test_mlflow_measures_the_machine(store, monkeypatch, tmp_path):
    measured = {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"}

    def found() -> set[str]:
        from mlflow import MlflowClient

        if not (tmp_path / "mlflow.db").exists():  # the tracker's process makes it, in its own time
            return set()
        client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
        runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
        return {name for run in runs if run.info.run_name == "a" for name in run.data.metrics}

    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    with tracking.training_tracker(name="a", kind="student", seed=0, identity="i"):
        deadline = time.monotonic() + 60
        while not measured <= found() and time.monotonic() < deadline:
            time.sleep(0.5)
    assert measured <= found()
