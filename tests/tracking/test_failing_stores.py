"""A store that fails is told in one line and costs no stage more than seconds; a store in files is cared for alike."""

import http.server
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tracking_server import socket_of_server  # noqa: F401  (a fixture)

from bkdsnn.errors import InputError
from bkdsnn.export import mlflow_model
from bkdsnn.files import sweep
from bkdsnn.tracking import location, reach
from bkdsnn.tracking import tracker as tracking


@pytest.mark.parametrize(
    ("scheme", "told"),
    [
        ("mysql+pymysql", "the driver of mysql+pymysql is not installed (no module named pymysql)"),
        ("mssql", "the driver of mssql is not installed (no module named pyodbc)"),
        ("mysql+nope", "MLFLOW_TRACKING_URI: mysql+nope://host/runs: Can't load plugin"),
    ],
)
def test_a_database_without_its_driver_is_told_before_anybody_is_asked(scheme, told, monkeypatch):
    monkeypatch.setattr(reach, "_knock", lambda _: pytest.fail("the host was asked"))
    with pytest.raises(InputError) as caught:
        reach.check(location.Location(f"{scheme}://anna:s3cret@host/runs"))
    assert told in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


SCRIPT = """
import sys
from bkdsnn.tracking.tracker import training_tracker
with training_tracker(name=sys.argv[1], kind="student", seed=0, identity=sys.argv[1]) as tracker:
    tracker.metrics({"task": 1.0})
sys.exit(tracker.failed or 0)
"""


@pytest.fixture
def project(request, tmp_path, monkeypatch):
    """A project root with a server; gives a function that changes to another root."""
    server = request.getfixturevalue("socket_of_server")
    for name in ("MLFLOW_TRACKING_URI", "BKDSNN_TRACKING", "BKDSNN_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DVC_EXP_NAME", "calm-heron")
    monkeypatch.setenv("BKDSNN_TRACKER_SOCKET", server)

    def go(name: str) -> Path:
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.setenv("DVC_ROOT", str(tmp_path / name))
        return tmp_path / name

    go("p")
    yield go
    (Path(server).parent / "mlflow-unanswered.json").unlink(missing_ok=True)


def failure(capfd, caplog) -> str:
    """What is told of a run that cannot be stored, which is one line, and soon."""
    caplog.clear()
    start = time.monotonic()
    with tracking.training_tracker(name="a", kind="student", seed=0, identity="i") as tracker:
        tracker.metrics({"task": 1.0})
    assert time.monotonic() - start < 10
    assert capfd.readouterr() == ("", "")
    (line,) = caplog.messages
    assert line == (
        f"MLflow: {tracker.failed}: this run is not, or not wholly, in the store; the results are not affected"
    )
    return tracker.failed


@pytest.fixture
def silent_server():
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_dead_server_is_told_in_one_line(project, monkeypatch, capfd, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://anna:s3cret@127.0.0.1:9/mlflow")
    assert failure(capfd, caplog) == "http://127.0.0.1:9/mlflow does not answer (ConnectionError)"
    with pytest.raises(InputError, match=r"^http://127.0.0.1:9/mlflow does not answer \(ConnectionError\)$"):
        mlflow_model.load("models:/a/1")


def test_a_hanging_server_costs_the_first_stage_seconds_and_the_others_nothing(
    project, monkeypatch, capfd, caplog, silent_server
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://anna:s3cret@127.0.0.1:{silent_server}")
    line = f"http://127.0.0.1:{silent_server} does not answer (ReadTimeout)"
    assert failure(capfd, caplog) == line
    start = time.monotonic()
    assert failure(capfd, caplog) == f"{line}; not tried again for 10 minutes"
    assert time.monotonic() - start < 2
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with tracking.report_tracker() as tracker:
        pass
    assert not tracker.failed, "another store is another matter"


class OnlyAlive(http.server.BaseHTTPRequestHandler):
    """Says that it is there, and answers nothing else."""

    def do_GET(self) -> None:
        if self.path != "/health":
            time.sleep(60)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.mark.slow
def test_a_server_that_answers_no_call_costs_seconds(project, monkeypatch, capfd, caplog):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OnlyAlive) as served:
        served.daemon_threads, served.block_on_close = True, False
        threading.Thread(target=served.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://anna:s3cret@127.0.0.1:{served.server_port}")
        line = f"http://127.0.0.1:{served.server_port} has not answered in time"
        assert failure(capfd, caplog) == line
        assert failure(capfd, caplog) == f"{line}; not tried again for 10 minutes"
        served.shutdown()


@pytest.mark.slow
def test_a_database_that_another_program_keeps_costs_seconds(project, monkeypatch, capfd, caplog):
    with tracking.report_tracker():
        pass
    file = location.location().database
    with sqlite3.connect(file, isolation_level=None) as database:
        database.execute("BEGIN EXCLUSIVE")
        assert failure(capfd, caplog) == f"{file}: database is locked"


def test_a_database_that_cannot_be_used_is_told_in_one_line(project, tmp_path, monkeypatch, capfd, caplog):
    file = tmp_path / "runs.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    file.write_bytes(b"no database " * 1000)
    assert failure(capfd, caplog) == f"{file}: file is not a database"
    file.unlink()
    with tracking.report_tracker():
        pass
    content = bytearray(file.read_bytes())
    content[100:50000] = b"\xff" * 49900
    file.write_bytes(content)
    assert failure(capfd, caplog) == f"{file}: database disk image is malformed"
    file.unlink()
    file.mkdir()
    assert failure(capfd, caplog) == f"{file}: unable to open database file"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////dev/null/runs.db")
    assert "/dev/null" in failure(capfd, caplog)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mlruns")
    assert "The filesystem tracking backend" in failure(capfd, caplog)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "htp://anna:s3cret@host:x/y")
    assert "s3cret" not in failure(capfd, caplog)


def test_a_deleted_experiment_is_told_with_the_command_that_restores_it(project, capfd, caplog):
    from mlflow import MlflowClient

    with tracking.report_tracker():
        pass
    client = MlflowClient(location.location().uri)
    client.delete_experiment(client.get_experiment_by_name("bkdsnn").experiment_id)
    assert failure(capfd, caplog).endswith("is deleted; `mlflow experiments restore --experiment-id 1` brings it back")


def test_a_lock_that_is_never_let_go_is_waited_for_a_while_and_then_left_alone(project, monkeypatch):
    monkeypatch.setattr(location, "LOCKED", 0.2)
    store = location.location()
    held = pytest.raises(reach.Unanswered, match=r"/\.mlflow\.lock: another process has held it for")
    with store.lock(), held, reach.turn(store):
        pass
    with pytest.raises(reach.Unanswered, match="not tried again for 10 minutes"):
        reach.check(store)


def test_three_checkouts_that_open_a_new_store_at_once_lose_nothing(project, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared/runs.db?timeout=20")
    processes = []
    for name in ("p", "q", "r"):
        project(name)
        processes += [subprocess.Popen([sys.executable, "-c", SCRIPT, f"{name}{number}"]) for number in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0] * 6
    from mlflow import MlflowClient

    runs = MlflowClient(f"sqlite:///{tmp_path}/shared/runs.db").search_runs(["1"])
    assert {run.info.run_name for run in runs} == {"calm-heron", "p0", "p1", "q0", "q1", "r0", "r1"}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert sorted(path.name for path in (tmp_path / "shared").iterdir()) == [".runs.lock", "runs.db"]
    assert not [path for name in "pqr" for path in (tmp_path / name).iterdir()]


def test_what_a_killed_process_left_of_a_store_is_swept(project, tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    for owner in (dead.pid, os.getpid()):
        for end in ("", "-journal"):
            (tmp_path / f"p/mlflow.db.partial-{owner}{end}").touch()
    sweep(tmp_path / "p")
    assert sorted(path.name.partition("partial-")[2] for path in (tmp_path / "p").iterdir()) == [
        f"{os.getpid()}",
        f"{os.getpid()}-journal",
    ]


def test_a_copied_project_is_at_home_in_its_own_folder(project, tmp_path, capfd):
    from mlflow import MlflowClient

    original = project("p")
    (original / "model").mkdir()
    (original / "model/network.json").write_text("{}")
    with tracking.report_tracker() as tracker:
        tracker.artifact(original / "model/network.json")
        tracker.register("a model", original / "model", digest="abc")
    shutil.copytree(original, tmp_path / "q")
    before = {path: path.stat().st_mtime_ns for path in original.rglob("*")}
    project("q")
    for _ in range(2):
        with tracking.evaluation_tracker(name="a-s0", kind="student", seed=0, digest="abc") as tracker:
            tracker.artifact(original / "model/network.json")
        assert not tracker.failed
    assert capfd.readouterr().out.count("MLflow: the store was at home in ") == 1
    assert {path: path.stat().st_mtime_ns for path in original.rglob("*")} == before
    original.rename(tmp_path / "elsewhere")
    client = MlflowClient(location.location().uri)
    for run in client.search_runs(["1"]):
        assert "network.json" in [file.path for file in client.list_artifacts(run.info.run_id)]
    with pytest.raises(InputError, match="missing, or not the weights that network.json names"):
        mlflow_model.load("models:/a model/1")  # its card is found, and is empty
    project("elsewhere")
    with pytest.raises(InputError, match="missing, or not the weights that network.json names"):
        mlflow_model.load("models:/a model/latest")


def test_a_model_that_is_loaded_makes_no_store(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project("empty"))
    with pytest.raises(InputError, match=r"empty/mlflow.db: there is no store; call this in the checkout"):
        mlflow_model.load("models:/a/1")
    assert list((tmp_path / "empty").iterdir()) == []


def test_what_a_killed_machine_left_running_is_ended_by_the_next_stage(project):
    from mlflow import MlflowClient

    script = SCRIPT.replace("sys.exit(tracker.failed or 0)", "").replace(
        '    tracker.metrics({"task": 1.0})',
        "    import os, time; print(os.getpid(), flush=True); time.sleep(100)",
    )
    variables = {**os.environ, "BKDSNN_TRACKER_SOCKET": ""}
    stage = subprocess.Popen(
        [sys.executable, "-c", script, "killed"], stdout=subprocess.PIPE, env=variables, start_new_session=True
    )
    client = None
    deadline = time.monotonic() + 60
    while not client or not any(run.data.tags.get("bkdsnn.process") for run in client.search_runs(["1"])):
        assert time.monotonic() < deadline
        time.sleep(0.3)
        if location.location().database.exists():
            client = MlflowClient(location.location().uri)
    os.killpg(stage.pid, signal.SIGKILL)
    stage.wait()
    time.sleep(0.5)
    assert {run.info.status for run in client.search_runs(["1"])} == {"RUNNING"}
    with tracking.training_tracker(name="next", kind="student", seed=0, identity="next"):
        pass
    assert {run.info.run_name: run.info.status for run in client.search_runs(["1"])} == {
        "calm-heron": "FINISHED",
        "killed": "KILLED",
        "next": "FINISHED",
    }


def test_a_database_of_another_program_is_left_as_it_is(project, tmp_path, monkeypatch, capfd, caplog):
    file = tmp_path / "runs.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE experiments (name TEXT)")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    before = file.read_bytes()
    assert failure(capfd, caplog) == f"{file}: no database of MLflow, or half of one"
    assert file.read_bytes() == before
