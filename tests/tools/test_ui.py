"""MLflow's pages: of the right store, at an address that nobody's password is in."""

import os

import pytest

from bkdsnn.errors import InputError
from bkdsnn.tools import ui as door
from bkdsnn.tools.ui import ui


@pytest.fixture
def started(tmp_path, monkeypatch):
    """What the tool would become, and which store it would show."""
    commands = []
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(
        door.os, "execv", lambda _, command: commands.append((command[1:], os.environ["MLFLOW_BACKEND_STORE_URI"]))
    )
    return commands


def test_the_pages_are_of_the_store_and_open_on_its_experiment(started, tmp_path, capsys):
    ui("5007")
    address = "http://127.0.0.1:5007/#/experiments/1/runs?viewStateShareKey=bkdsnn"
    assert capsys.readouterr().out == f"{address}\n"
    expected = ["-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", "5007"]
    assert started == [(expected, f"sqlite:///{tmp_path}/mlflow.db")]


def test_a_server_has_its_own_pages(started, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://anna:s3cret@host:5000/mlflow")
    ui("5000")
    assert capsys.readouterr().out == "The store is a server with pages of its own: http://host:5000/mlflow\n"
    assert started == []


@pytest.mark.parametrize("port", ["", "0", "x", "70000"])
def test_a_port_that_is_none_is_refused(started, port):
    with pytest.raises(InputError, match=f"^PORT={port}: wanted a port, 1 to 65535$"):
        ui(port)


def test_a_store_that_cannot_be_used_is_told(started, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.db")
    (tmp_path / "runs.db").write_text("no database")
    with pytest.raises(InputError, match="runs.db: file is not a database$"):
        ui("5000")
