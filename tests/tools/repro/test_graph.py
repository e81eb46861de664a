"""What is to be done, in a small repository of DVC's own: two students of one teacher, and their table."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml
from dvc.repo import Repo

from bkdsnn.tools.repro.graph import Graph, Work

# By name: for what, command, dependencies, output; $ stands for what it is for.
STAGES = {
    "prepare_data": ("a", "cp raw data", "raw", "data"),
    "train_teacher": ("t", "cp data teacher", "data", "teacher"),
    "train_student": ("xy", "cat data teacher > $", "data teacher", "$"),
    "evaluate": ("xy", "cp $ runs/$", "data $", "runs/$"),
    "build_tables": ("t", "cat runs/* data > table", "runs", "table"),
}
MODELS = ("data", "teacher", "x", "y", ".dvc/cache", ".dvc/tmp")


def _write(folder, **commands):
    stages = {}
    for name, (keys, command, deps, out) in STAGES.items():
        outs = [{out: {"cache": name not in ("evaluate", "build_tables")}}]
        do = {"cmd": commands.get(name, command), "deps": deps.split(), "outs": outs}
        stages[name] = {"foreach": list(keys), "do": do}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}).replace("$", "${item}"))


def _dvc(folder, *arguments):
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, env=environment, check=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dvc")
    (folder / "runs").mkdir()
    (folder / "raw").write_text("raw\n")
    _write(folder)
    _dvc(folder, "init", "-q", "--no-scm")
    _dvc(folder, "repro", "-q")
    return folder


@pytest.fixture
def fresh(finished, tmp_path, monkeypatch):
    """Its clone: results and dvc.lock, but neither data nor models."""
    folder = tmp_path / "clone"
    shutil.copytree(finished, folder)
    for name in MODELS:
        shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()
    monkeypatch.chdir(folder)
    return folder


def todo(*, allow_missing=True):
    with Repo() as repo:
        return Work.look(repo, allow_missing=allow_missing).todo


def test_a_fresh_clone_is_made_anew_unless_what_is_missing_is_allowed_to_be(fresh):
    assert todo() == []
    assert set(todo(allow_missing=False)) >= {
        "prepare_data@a",
        "train_student@x",
        "evaluate@y",
        "build_tables@t",
    }


def test_what_is_missing_is_made_where_it_is_needed(fresh):
    (fresh / "runs/x").unlink()
    made = ["prepare_data@a", "train_teacher@t", "train_student@x", "evaluate@x", "build_tables@t"]
    assert sorted(todo()) == sorted(made)
    _dvc(fresh, "repro", "-q", "--single-item", *todo())
    assert todo() == []
    assert not (fresh / "y").exists()


def test_a_table_is_wanted_and_waits_for_the_data_that_it_shows(fresh):
    (fresh / "table").unlink()
    assert todo() == ["prepare_data@a", "build_tables@t"]
    with Repo() as repo:
        assert "prepare_data@a" in Graph.read(repo).needs["build_tables@t"]


def test_a_model_that_is_not_the_one_of_the_lock_is_none(fresh):
    """Left by earlier code, where another machine's lock has been pulled since."""
    (fresh / "teacher").write_text("another one\n")
    assert todo() == []
    (fresh / "runs/x").unlink()
    assert {"train_teacher@t", "train_student@x"} < set(todo())
    assert "train_student@y" not in todo()


def test_the_same_bytes_after_a_change_train_nothing(fresh):
    _write(fresh, prepare_data="cat raw > data")
    assert todo() == ["prepare_data@a"]
    _dvc(fresh, "repro", "-q", "--single-item", "prepare_data@a")
    assert todo() == []


def test_other_bytes_train_what_was_made_of_them(fresh):
    _write(fresh, train_teacher="cat data data > teacher")
    assert todo() == ["prepare_data@a", "train_teacher@t"]
    _dvc(fresh, "repro", "-q", "--single-item", *todo())
    assert set(todo()) == {"train_student@x", "train_student@y"}
    _dvc(fresh, "repro", "-q", "--single-item", *todo())
    assert set(todo()) == {"evaluate@x", "evaluate@y"}
