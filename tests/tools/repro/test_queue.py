"""Several stages at once: their order, who stops whom, and how many the machine takes; DVC's part is played."""

import os
import sys

import pytest

from bkdsnn.errors import InputError
from bkdsnn.params.read import validated
from bkdsnn.params.schema import Params
from bkdsnn.tools.repro import lock_file, machine, queue
from bkdsnn.tools.repro.graph import Graph
from bkdsnn.tools.repro.queue import Queue

NEEDS = {
    "prepare_data@a": set(),
    "train_teacher@t": {"prepare_data@a"},
    "train_student@x": {"prepare_data@a", "train_teacher@t"},
    "train_student@y": {"prepare_data@a"},
    "evaluate@x": {"train_student@x"},
    "evaluate@y": {"train_student@y"},
    "build_tables@a": {"evaluate@x", "evaluate@y"},
}
# Notes what it is given when it begins and ends; fails, or is busy for the first time, as the environment says.
PLAYED = """
import os, sys, time
for stage in sys.argv[2:]:
    with open("log", "a") as log: log.write(f"begin {stage}\\n")
    time.sleep(0.2)
    if stage == os.environ.get("BUSY") and not os.path.exists("was-busy"):
        open("was-busy", "w").close()
        sys.exit("ERROR: 'data' is busy, it is being blocked by: ...")
    if stage == os.environ.get("FAILS"):
        print(f"{stage.split('@')[0]}: a reason")
        sys.exit(f"ERROR: failed to reproduce '{stage}': exited with 1")
    with open("log", "a") as log: log.write(f"end {stage}\\n")
"""


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """Runs a queue of these stages; gives it, what it said, and what began and ended in which order."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "played.py").write_text(PLAYED)
    monkeypatch.setattr(queue, "DVC", [sys.executable, str(tmp_path / "played.py")])
    monkeypatch.setattr(queue, "_BUSY_PAUSE", 0.1)

    def call(*todo: str, workers: int = 2, **environment: str):
        said: list[str] = []
        made = Queue(Graph(NEEDS), list(todo or NEEDS), tmp_path / "logs", workers, {**os.environ, **environment})
        made.say = said.append
        made.run()
        return made, said, (tmp_path / "log").read_text().splitlines()

    return call


def test_a_stage_begins_when_all_that_it_needs_has_ended(ran):
    made, said, log = ran()
    for stage, needs in NEEDS.items():
        assert all(log.index(f"end {need}") < log.index(f"begin {stage}") for need in needs)
    assert made.left() == []
    assert said[-1].startswith("   7 of 7  build_tables@a")
    assert log.index("begin train_student@y") < log.index("end train_teacher@t")  # side by side


def test_no_more_run_at_once_than_asked_for(ran):
    _, _, log = ran(workers=1)
    running = 0
    for line in log:
        running += 1 if line.startswith("begin") else -1
        assert running <= 1


def test_what_is_up_to_date_is_not_waited_for(ran):
    made, _, log = ran("evaluate@y", "build_tables@a")
    assert [line for line in log if line.startswith("begin")] == ["begin evaluate@y", "begin build_tables@a"]
    assert made.done == {"evaluate@y", "build_tables@a"}


def test_a_stage_that_fails_stops_only_what_needs_it(ran):
    made, said, _ = ran(FAILS="train_teacher@t")
    assert made.failed == {"train_teacher@t": "train_teacher: a reason"}
    assert made.left() == ["train_student@x", "evaluate@x", "build_tables@a"]
    assert {"train_student@y", "evaluate@y"} < made.done
    assert any(line.startswith("FAILED train_teacher@t: train_teacher: a reason (all that it said: ") for line in said)


def test_a_run_that_was_trained_and_not_evaluated_is_half_done(ran):
    made, _, _ = ran(FAILS="evaluate@y")
    assert "train_student@y" in made.done
    assert set(made.failed) == {"evaluate@y"}


def test_where_dvc_is_busy_the_stage_is_tried_again(ran):
    made, _, log = ran(BUSY="train_student@y")
    assert made.failed == {}
    assert log.count("begin train_student@y") == 2
    assert log.count("end train_student@y") == 1


def test_dependants_are_all_that_come_after():
    graph = Graph(NEEDS)
    assert graph.dependants("train_student@y") == {"evaluate@y", "build_tables@a"}
    assert graph.with_dependants({"train_teacher@t", "evaluate@y"}) == [
        "train_teacher@t",
        "train_student@x",
        "evaluate@x",
        "evaluate@y",
        "build_tables@a",
    ]


LOCK = "schema: '2.0'\nstages:\n  c:\n    cmd: c\n  other@x:\n    cmd: o\n  a:\n    cmd: a\n  b@1:\n    cmd: b\n"


def test_the_lock_file_is_put_into_the_order_of_one_repro(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lock_file.put_in_order(["a"])  # there is none
    (tmp_path / "dvc.lock").write_text(LOCK)
    lock_file.put_in_order(["a", "b@1", "c", "not run yet"])
    assert (tmp_path / "dvc.lock").read_text() == (
        "schema: '2.0'\nstages:\n  a:\n    cmd: a\n  other@x:\n    cmd: o\n  b@1:\n    cmd: b\n  c:\n    cmd: c\n"
    )


@pytest.fixture
def params(composed):
    return lambda *overrides: validated(Params, composed("table=tiny", *overrides), where="")


def test_one_thread_recipes_take_the_cores_others_the_gpus(params, monkeypatch):
    monkeypatch.setattr(machine.launcher, "cores", lambda: 6)
    monkeypatch.setattr(machine, "gpus", lambda: ["0", "1"])
    recipes = ("digits", "digits-dvs", "digits-vit")
    threads = [f"recipes.{name}.{value}" for name in recipes for value in ("threads=null", "portable=false")]
    assert machine.jobs_of("", params()) == 6
    assert machine.jobs_of("", params(*threads)) == 2
    assert machine.jobs_of("3", params()) == 3
    monkeypatch.setattr(machine, "gpus", list)
    assert machine.jobs_of("", params(*threads)) == 1


@pytest.mark.parametrize("text", ["0", "x", "-1", "1.5", "2000"])
def test_a_number_that_is_none_is_told(params, text):
    with pytest.raises(InputError, match=f"^JOBS={text}: wanted a number of stages to run at once, 1 to 1024$"):
        machine.jobs_of(text, params())


def test_stages_at_once_divide_cores_and_gpus(monkeypatch):
    for name in ("BKDSNN_SHARE", "BKDSNN_DEVICE_POOL", "BKDSNN_ACCELERATOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-b")
    result = machine.environment_of(3)
    assert (result["BKDSNN_SHARE"], result["BKDSNN_DEVICE_POOL"]) == ("3", "4,GPU-b")
    monkeypatch.setenv("BKDSNN_SHARE", "2")
    monkeypatch.setenv("BKDSNN_DEVICE_POOL", "4")
    result = machine.environment_of(3)
    assert (result["BKDSNN_SHARE"], result["BKDSNN_DEVICE_POOL"]) == ("6", "4")
    monkeypatch.setenv("BKDSNN_ACCELERATOR", "cpu")
    monkeypatch.delenv("BKDSNN_DEVICE_POOL")
    assert "BKDSNN_DEVICE_POOL" not in machine.environment_of(3)
    assert machine.environment_of(1).get("BKDSNN_SHARE") == "2"


@pytest.mark.parametrize(
    ("visible", "names"), [("", []), ("-1", []), ("0, 2", ["0", "2"]), ("1,-1,2", ["1"]), ("MIG-a/1/0", ["MIG-a/1/0"])]
)
def test_gpus_are_read_as_cuda_reads_them(monkeypatch, visible, names):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine.gpus() == names
