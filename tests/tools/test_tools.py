"""Every tool starts; what a plan says of the tests' own table."""

import importlib
import subprocess
import sys

import pytest
from conftest import ROOT

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
