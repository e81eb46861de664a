"""Every tool starts; what a plan says of the tests' own table."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from conftest import ROOT

from bkdsnn.errors import InputError
from bkdsnn.params.schema import Params
from bkdsnn.tools import compose, export, loading
from bkdsnn.tools.plan.step import sizes
from bkdsnn.tools.plan.supply import print_supply, verdict
from bkdsnn.tools.plan.table import busy

FOLDER = ROOT / "src/bkdsnn/tools"
TOOLS = sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))
TOOLS += sorted(f"torture.{path.stem}" for path in FOLDER.glob("torture/[a-z]*.py"))


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


def lines_of(*spreads: float | None) -> list[SimpleNamespace]:
    return [SimpleNamespace(measured=spread and SimpleNamespace(spread=spread)) for spread in spreads]


def test_a_plan_of_a_busy_machine_says_so():
    assert busy(lines_of(1.1, 1.2, 3.0)) is None
    assert busy(lines_of(None)) is None
    assert "differ by a factor of 2.0: the machine is busy" in busy(lines_of(None, 1.1, 2.0, 2.5))


def test_a_plan_says_where_data_set_the_time_and_how_many_cores_would_change_that():
    rates = {"core": 300.0, "made": 600.0, "cheap": False}
    assert verdict(**rates, here=20.0, gpu=500.0) == ""
    assert verdict(**rates, here=20.0, gpu=1400.0) == "; data, not the GPU, would set it there with fewer than 5 cores"
    assert verdict(**rates, here=700.0, gpu=500.0) == "; data, not the step, set the time here"
    assert verdict(core=300.0, made=300.0, cheap=True, here=20.0, gpu=500.0).endswith("would set it there")


def test_a_plan_measures_how_fast_images_in_files_are_made(composed, capsys, monkeypatch):
    params = Params(**composed("table=imagenet"))
    monkeypatch.setattr(loading, "_SECONDS", 0.01)
    shapes = {key: SimpleNamespace(input_shape=(3, 224, 224)) for key in params.datasets}
    key, row = next((key, row) for key, row in params.rows.items() if params.recipes[row.recipe].augmentation.mixup)
    job = SimpleNamespace(part=64)
    line = SimpleNamespace(rows=[key], measured=True, job=job, step_seconds=lambda: (1e6, 0.0))
    line.flop_of_sample = lambda: 1e9
    print_supply(params, shapes, [line, SimpleNamespace(measured=None)], flops=1e15)
    (found,) = capsys.readouterr().out.splitlines()[2:]
    assert found.startswith(f"  {row.dataset}, {row.recipe} ")
    assert "data, not the GPU, would set it there with fewer than" in found
    assert "set the time here" not in found


def test_on_a_gpu_the_true_batch_is_measured():
    job = SimpleNamespace(part=128)
    assert sizes(job, torch.device("cuda")) == (64, 128)
    assert sizes(job, torch.device("cpu")) == (2, 4)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("recipes.digits.batch_size=0", "params.yaml: recipes.digits.batch_size: 0: input should be greater than 0"),
        ("students.sew-digits.settings.widths=[8,0]", "params.yaml: students.sew-digits.settings.widths.1: 0: "),
        ("recipes.digits.augmentation.snn_augment=true", "augmentation.snn_augment: is for event frames"),
    ],
)
def test_params_that_check_params_would_refuse_are_not_written(tmp_path, monkeypatch, override, told):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("as: before", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        compose.params("table=tiny", override)
    assert told in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
    assert Path("params.yaml").read_text(encoding="utf-8") == "as: before"


def test_a_run_that_is_not_trained_cannot_be_exported_and_what_trains_it_is_said(tmp_path, monkeypatch, composed):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(composed("table=tiny"), sort_keys=False))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"image-ce-s0: not trained yet; run `dvc repro evaluate@image-ce-s0`"):
        export.export_run("image-ce-s0")
    with pytest.raises(InputError, match="STUDENT: wanted the key of a run, such as STUDENT=image-bkd-s0"):
        export.export_run("")


def test_an_override_that_hydra_does_not_know_is_told_and_nothing_is_written(tmp_path):
    with pytest.raises(InputError, match=r"tabel=tiny: Could not override 'tabel'"):
        compose.compose(tmp_path / "params.yaml", ["tabel=tiny"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_make_clean_leaves_the_environment_and_an_unsupported_python_is_refused(tmp_path):
    ways = {name: ["make", "--no-print-directory", "-n", name] for name in ("clean", "clean-venv")}
    removed = {name: subprocess.run(way, cwd=ROOT, capture_output=True, text=True).stdout for name, way in ways.items()}
    assert "rm -rf .resume data models" in removed["clean"]
    assert "rm -rf .venv" not in removed["clean"]
    assert removed["clean-venv"] == "rm -rf .venv\n"
    python = tmp_path / "python"
    faked = "import sys; sys.version_info = (3, 14, 0); sys.version = '3.14.0 x'; exec(sys.argv[1])"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{faked}" "$2"\n')
    python.chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.lock").touch()
    done = subprocess.run(["make", "setup", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.startswith("bkdsnn: requirements.lock is for Python 3.11 to 3.13, this is 3.14.0")
    assert not (tmp_path / ".venv").exists()
