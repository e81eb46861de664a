"""One MLflow process for many stages: who ends with whom, and what a stage does without it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bkdsnn.tracking import connection, server
from bkdsnn.tracking import tracker as tracking

PARENT = """
import os, sys
from bkdsnn.tracking import server
with server.running():
    print(os.environ["BKDSNN_TRACKER_SOCKET"], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project root of its own."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("BKDSNN_TRACKING", raising=False)
    monkeypatch.setenv("BKDSNN_TRACKER_SOCKET", "")
    return tmp_path


@pytest.fixture
def running(project):
    """A server, and the process that it is; other files' tests may have one for all of them."""
    before = servers()
    with server.running():
        wait_until(lambda: servers() - before)  # a process that has just begun has no command line for a moment
        (process,) = servers() - before
        yield process


def servers() -> set[psutil.Process]:
    return {child for child in psutil.Process().children() if "bkdsnn.tracking.server" in " ".join(child.cmdline())}


def track() -> str:
    """What failed of a run with one call."""
    with tracking.report_tracker() as tracker:
        tracker.metrics({"test_top1": 1.0})
    return tracker.failed


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_stages_are_served_by_children_that_leave_nothing_behind(running, project, monkeypatch):
    socket_path = Path(os.environ["BKDSNN_TRACKER_SOCKET"])
    assert socket_path.parent.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(connection, "_start", lambda line: pytest.fail("a process of its own"))
    files = None
    for name in ("calm-heron", "late-wren"):
        monkeypatch.setenv("DVC_EXP_NAME", name)
        assert track() == ""
        wait_until(lambda: not running.children())
        files, before = running.num_fds(), files
    assert files == before
    assert running.num_threads() <= 2, "its own, and that of Arrow's memory pool, which knows forks"
    assert (project / "mlflow.db").exists()


def test_without_its_server_a_stage_starts_a_process_of_its_own(running, project):
    running.kill()
    running.wait()
    assert track() == ""
    assert (project / "mlflow.db").exists()


def test_a_server_that_does_not_answer_is_given_up_and_left_alone_by_the_next(running, monkeypatch, caplog):
    monkeypatch.setattr(connection, "SILENCE", 1.0)
    running.suspend()
    assert track() == "its process has not answered for 1 s"
    assert "the results are not affected" in caplog.text
    assert not Path(os.environ["BKDSNN_TRACKER_SOCKET"]).exists()


def test_a_stopped_process_is_given_up(project, monkeypatch):
    monkeypatch.setattr(connection, "SILENCE", 2.0)
    tracker = tracking.report_tracker()
    (process,) = (child for child in psutil.Process().children() if "mlflow_process" in " ".join(child.cmdline()))
    process.suspend()
    with tracker:
        pass
    assert tracker.failed == "its process has not answered for 2 s"
    process.kill()
    process.wait()


def test_a_server_that_dies_with_a_run_in_its_hands_is_told_at_once(running):
    running.suspend()
    tracker = tracking.report_tracker()
    running.kill()
    running.resume()
    with tracker:
        pass
    assert tracker.failed == "its process was ended"


def test_a_server_ends_with_the_process_that_started_it(project):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    path = Path(parent.stdout.readline().decode().strip())
    (child,) = psutil.Process(parent.pid).children()
    parent.kill()
    parent.communicate()
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    assert not path.parent.exists()


def test_no_server_is_started_where_nothing_is_tracked(project, monkeypatch):
    monkeypatch.setenv("BKDSNN_TRACKING", "off")
    with server.running():
        assert not os.environ["BKDSNN_TRACKER_SOCKET"]
