"""Every tool starts; what a plan says of the tests' own table."""

import importlib
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT

from bkdsnn.tools.plan.step import sizes
from bkdsnn.tools.plan.table import busy

TOOLS = sorted(path.stem for path in (ROOT / "src/bkdsnn/tools").glob("[a-z]*.py"))


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_finds_all_that_it_imports(name):
    importlib.import_module(f"bkdsnn.tools.{name}")


def planned(*overrides: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "bkdsnn.tools.plan.table", *overrides]
    return subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": "src"}, capture_output=True, text=True)


def test_a_table_that_is_not_there_is_told_with_those_that_are():
    done = planned("table=nope")
    assert done.returncode == 1
    assert done.stderr.startswith("plan: table 'nope': there is none; there are ablation-blur, ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_plan_measures_every_row_and_touches_nothing():
    before = (ROOT / "params.yaml").read_bytes()
    done = planned("table=tiny")
    assert done.returncode == 0, done.stderr
    assert "sew-digits: 19,706 parameters, published: not found" in done.stdout
    for row in ("image-ce", "image-bkd", "image-vit", "dvs-mixed", "dvs-swapped"):
        assert f"\n  {row}" in done.stdout
    assert (ROOT / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("argument", ["tabel=tiny", "seeds=[", "blur_ratio", "+x=1,2"])
def test_what_hydra_cannot_compose_is_told_in_one_line(argument):
    done = planned("table=tiny", argument)
    assert done.returncode == 1
    assert done.stderr.startswith("plan: ")
    assert argument in done.stderr
    assert done.stderr.count("\n") == 1


def lines_of(*spreads: float | None) -> list[SimpleNamespace]:
    return [SimpleNamespace(measured=spread and SimpleNamespace(spread=spread)) for spread in spreads]


def test_a_plan_of_a_busy_machine_says_so():
    assert busy(lines_of(1.1, 1.2, 3.0)) is None
    assert busy(lines_of(None)) is None
    assert "differ by a factor of 2.0: the machine is busy" in busy(lines_of(None, 1.1, 2.0, 2.5))


def test_on_a_gpu_the_true_batch_is_measured():
    job = SimpleNamespace(recipe=SimpleNamespace(batch_size=128))
    assert sizes(job, torch.device("cuda")) == (64, 128)
    assert sizes(job, torch.device("cpu")) == (2, 4)
