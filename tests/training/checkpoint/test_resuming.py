"""A run that is killed, told to stop or wanted twice ends with the bytes of an unbroken one.

Real training stages in processes of their own.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
from safetensors import safe_open
from small_project import Project, make_project, until

STATES = 8  # an epoch's, where every step is saved: 6 steps, a batch of validation, its end
EVERY_STEP = {"BKDSNN_CHECKPOINT_MINUTES": "0"}


@pytest.fixture(scope="module")
def made(tmp_path_factory, composed) -> Project:
    return make_project(tmp_path_factory.mktemp("resuming") / "first", composed)


@pytest.fixture(scope="module")
def unbroken(made) -> dict[str, bytes]:
    made.run()
    assert not list(made.root.glob(".resume/*")), "a run that has succeeded leaves nothing behind"
    return made.bytes()


@pytest.fixture
def project(made, tmp_path) -> Project:
    return made.copy(tmp_path / "again")


def stop(project: Project, *, when, how: signal.Signals = signal.SIGKILL, wait: float = 0.0, **options) -> str:
    """Starts the run, stops it `wait` seconds after `when()` has become true, and gives what it printed."""
    python = [sys.executable] if how == signal.SIGKILL else []  # to kill itself, not who asked for it
    process = project.start(*python, **options)
    until(when, process)
    time.sleep(wait)
    os.killpg(process.pid, how)  # as a cluster's scheduler does, and the kernel when memory runs out
    output = process.communicate(timeout=60)[0]
    assert process.returncode == (-how if how == signal.SIGKILL else 128 + how), output
    return output


def position(state: Path) -> tuple[int, int]:
    """Epoch and step of a state."""
    with safe_open(state, "pt") as file:
        progress = json.loads(file.metadata()["facts"])["progress"]
    return progress["epoch"], progress["step"]


def test_killed_at_five_moments_it_ends_with_the_same_bytes(project, unbroken):
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    first, saving, end = moments.randrange(2, 6), moments.randrange(10, 14), moments.choice((3, 4)) * STATES
    cases = {
        "around the first state": (lambda: (project.root / ".resume").is_dir(), moments.uniform(0.0, 0.1)),
        f"in the first epoch, at state {first}": (lambda: project.number() >= first, 0.0),
        f"inside a save after state {saving}": (
            lambda: project.number() >= saving and any(project.root.glob(".resume/*/*.partial-*")),
            0.0,
        ),
        f"at the end of an epoch, state {end}": (lambda: project.number() >= end, 0.0),
        "in the fifth epoch or the sixth": (lambda: project.number() >= 4 * STATES + 2, moments.uniform(0.0, 0.1)),
    }
    reached = []
    for name, (when, wait) in cases.items():
        stop(project, when=when, wait=wait, **EVERY_STEP)
        reached.append(position(project.states()[-1]) if project.states() else (0, 0))
        print(f"seed {seed}: killed {name}, after {wait:.3f} s: epoch and step of the newest state {reached[-1]}")
    output = project.run(**EVERY_STEP)
    assert "goes on at epoch {}, step {} ".format(*reached[-1]) in output
    assert reached == sorted(reached)
    assert reached[-1] >= (3, 0)
    assert project.bytes() == unbroken
    assert not list(project.root.glob(".resume/*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_its_processes_saves_after_the_step_and_the_run_goes_on(project, unbroken, number):
    output = stop(project, when=lambda: project.number() >= 1, how=number, BKDSNN_WORKERS="1", **EVERY_STEP)
    newest = project.states()[-1]
    assert output.splitlines()[-1] == f"{number.name}: stopped; the same command goes on from {newest}"
    at = position(newest)
    assert at > (0, 0)
    assert "goes on at epoch {}, step {} ".format(*at) in project.run()
    assert project.bytes() == unbroken


def test_of_two_that_want_the_same_run_one_waits_and_takes_the_result(project, unbroken, tmp_path):
    other = project.copy(tmp_path / "queued", root=project.root)
    first = project.start(sys.executable, **EVERY_STEP)
    until(lambda: project.number() >= 1, first)
    first.send_signal(signal.SIGSTOP)  # until the second is there
    second = other.start()
    until(lambda: any(project.root.glob(".resume/*.waits-*")), second)
    first.send_signal(signal.SIGCONT)
    outputs = [process.communicate(timeout=120)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert "another process is training this run: this one waits for it" in outputs[1]
    assert f"models/students/tiny/{project.model.name}: trained by the process that was waited for" in outputs[1]
    assert "epoch" not in outputs[1]
    assert project.bytes() == other.bytes() == unbroken
    assert not list(project.root.glob(".resume/*"))
