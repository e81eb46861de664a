"""What `make gpu-check` says without a GPU, how it takes failures, and (slow) all of it on the CPU."""

import json
import subprocess
import sys
import time

import pytest
import torch
from conftest import ROOT
from torch import nn

from bkdsnn.errors import InputError
from bkdsnn.tools.clone import Clone
from bkdsnn.tools.gpu_check import __main__ as check
from bkdsnn.tools.gpu_check import committed, luggage, project
from bkdsnn.tools.gpu_check.compared import apart, difference, seen
from bkdsnn.tools.gpu_check.parts import PARTS, Part
from bkdsnn.tools.gpu_check.rows import Row
from bkdsnn.tools.gpu_check.setting import Setting, failed, run
from bkdsnn.tools.gpu_check.speed import union
from bkdsnn.tools.gpu_check.steps import sha256_of

ASK = "import sys; from bkdsnn.tools.gpu_check.__main__ import gpu_check; gpu_check(); sys.exit('torch' in sys.modules)"


def test_without_a_gpu_it_says_so_and_what_it_would_do_at_once():
    env = {"PYTHONPATH": "src", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", ASK], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, "torch, which takes seconds, was imported, or it failed"
    assert done.stdout.startswith("no GPU here")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:-1]] == list(PARTS)


@pytest.mark.parametrize("given", [("tpu",), ("cpu", "sped"), ("cpu", "", "huge"), ("cuda",)])
def test_what_is_none_of_the_choices_is_told_with_them(given, monkeypatch):
    monkeypatch.setattr(check, "gpus", lambda: 0)
    with pytest.raises(InputError, match="there are|no GPU") as caught:
        check.gpu_check(*given)
    assert "\n" not in str(caught.value)


@pytest.fixture
def played(tmp_path, monkeypatch):
    """Three parts, of which the second fails, in a checkout of their own."""

    def fails(setting):
        yield Row("before", "well", good=True)
        raise RuntimeError("CUDA error:\n an illegal memory access")

    def infinite(setting):
        yield Row("deviation", "inf", None, {"outputs": float("inf")})

    def device(setting):
        yield Row("device", "a GPU", True, {"gpu": "NVIDIA H100 80GB"})

    parts = {"machine": Part("a", device), "broken": Part("b", fails), "last": Part("c", infinite)}
    monkeypatch.setattr(check, "PARTS", parts)
    monkeypatch.setattr(check, "gpus", lambda: 1)
    monkeypatch.setattr(luggage, "can_compose", lambda: False)
    monkeypatch.setattr(luggage, "content", dict)
    monkeypatch.setattr(luggage, "ROOT", tmp_path)
    monkeypatch.setattr(luggage, "FOLDER", tmp_path / ".gpu")
    monkeypatch.setattr(project, "FOLDER", tmp_path / ".gpu/project")
    return tmp_path


def test_a_part_that_fails_is_one_row_and_the_rest_goes_on(played, capsys):
    with pytest.raises(InputError, match="1 of 4 rows are not as they should be: broken: broken"):
        check.gpu_check()
    content = json.loads((played / "results/gpu/nvidia-h100-80gb.json").read_text())
    assert list(content) == ["1-machine", "2-broken", "3-last"]
    assert [row["found"] for row in content["2-broken"]] == [
        "well",
        "RuntimeError: CUDA error: an illegal memory access",
    ]
    assert content["3-last"][0]["numbers"] == {"outputs": None}, "JSON has no infinity"
    assert json.loads(capsys.readouterr().out.partition("\n\n{")[2].rpartition("}\n")[0].join("{}")) == content


@pytest.mark.parametrize("given", [("cuda", "machine,last"), ("cuda", "", "small"), ("cpu",)])
def test_a_rehearsal_or_a_part_of_it_is_no_result(given, played):
    if given[1:] == ("machine,last",):
        check.gpu_check(*given)
    else:
        with pytest.raises(InputError, match="broken"):
            check.gpu_check(*given)
    assert not (played / "results").exists()
    assert (played / f".gpu/{given[0]}.json").is_file()


def test_parts_that_would_begin_too_late_are_named(played, monkeypatch):
    monkeypatch.setattr(check, "MINUTES", -1)
    with pytest.raises(InputError, match="3 of 3 rows"):
        check.gpu_check()


def test_without_what_gpu_pack_takes_along_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(luggage, "COMPOSED", tmp_path / "composed.json")
    with pytest.raises(InputError, match="missing: `make gpu-pack`"):
        luggage.content()


def test_a_process_that_fails_hangs_or_dies_is_told_with_the_last_that_it_said(tmp_path):
    def tried(code: str) -> Row:
        seconds, env = 3.0 if "sleep" in code else 60.0, Setting("cpu", True, 0.0).environment()
        return failed("x", *run([sys.executable, "-c", code], seconds=seconds, folder=tmp_path, env=env))

    assert tried("print('one'); raise SystemExit('two')").found == "ended with 1: two"
    assert tried("import os; os.abort()").found.startswith("ended with -6")
    assert tried("import time; print('waits', flush=True); time.sleep(60)").found == (
        "took too long and was ended: waits"
    )


def test_a_child_tells_its_rows_until_it_fails(monkeypatch):
    setting = Setting("cpu", True, time.monotonic() + 60)
    rows = list(setting.rows_of("rows", "no main", seconds=30.0))
    assert rows == [], "a module that tells nothing and ends well"
    monkeypatch.setattr(
        "bkdsnn.tools.gpu_check.setting.run", lambda *_, **__: (1, ['row: {"name": "a", "found": "b"}', "c"])
    )
    assert [row.found for row in setting.rows_of("any", "name", seconds=1.0)] == ["b", "ended with 1: c"]


def test_two_devices_are_compared_by_outputs_gradients_and_spikes():
    def work(module, device, dtype):
        return {"loss": module(torch.ones(2, 3, dtype=dtype)).sum()}

    torch.manual_seed(0)
    module = nn.Linear(3, 2)
    first = seen(module, work, torch.device("cpu"), torch.float64)
    assert difference(first, first).exact
    nn.init.zeros_(module.bias)
    second = seen(module, work, torch.device("cpu"), torch.float64)
    assert difference(first, second).outputs > 1e-3
    spikes = {"a": torch.tensor([True, False]), "b": torch.tensor([True])}
    found = difference(
        first._replace(spikes=spikes), first._replace(spikes={**spikes, "a": torch.tensor([True, True])})
    )
    assert (found.spikes, found.of, found.exact) == (1, 3, False)
    assert apart({"x": torch.ones(2)}, {"x": torch.tensor([1.0, float("nan")])}) == float("inf")
    with pytest.raises(ValueError, match="one device alone"):
        apart({"x": torch.ones(2)}, {})


def test_a_device_is_busy_while_at_least_one_kernel_runs():
    class Event:
        def __init__(self, start, end):
            self.time_range = type("Range", (), {"start": start, "end": end})

    assert union([Event(0, 4), Event(1, 2), Event(3, 6), Event(10, 11)]) == 7.0
    assert union([]) == 0.0


def test_the_digest_of_weights_is_over_every_byte():
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    second.load_state_dict(first.state_dict())
    assert sha256_of(first) == sha256_of(second)
    second.bias.data[1] = torch.nextafter(second.bias.data[1], torch.tensor(9.0))
    assert sha256_of(first) != sha256_of(second)


def test_what_is_taken_along_is_a_table_that_a_gpu_may_train():
    rows = {"one": {"dataset": luggage.DATASET}, "other": {"dataset": "other"}}
    table = {"rows": rows, "recipes": {"a": {"portable": True}, "b": {"portable": True}}}
    assert luggage.changes_of(table) == [
        "seeds=[0]",
        "~rows.other",
        "recipes.a.portable=false",
        "recipes.b.portable=false",
    ]


def test_docs_show_what_a_committed_check_found_failures_too(tmp_path):
    assert committed.measured(tmp_path) == committed.NONE
    step = {"images_a_second": 1234.0, "ms": 51.9, "batch_size": 64, "gib": 1.5}
    rows = {
        "1-machine": [Row("device", "gpu NVIDIA H100", True)],
        "6-speed": [
            Row("stock layers", "", None, step),
            Row("ours", "", None, {**step, "images_a_second": 3702.0, "busy": 0.9}),
            Row("compiled", "no compiler", good=False),
            Row("the loader alone", "", None, {"images_a_second": 999.4}),
        ],
    }
    content = {part: [row._asdict() for row in found] for part, found in rows.items()}
    (tmp_path / "nvidia-h100.json").write_text(json.dumps(content))
    said = committed.measured(tmp_path)
    assert said.startswith("gpu NVIDIA H100; 1 of 5 rows of the check are not as they should be: compiled:\n\n| |")
    assert said.splitlines()[4:] == [
        "| stock layers | 1,234 | 1.00 | 51.9 |  | 1.50 |",
        "| ours | 3,702 | 3.00 | 51.9 | 90% | 1.50 |",
        "| the loader alone | 999 |  |  |  |  |",
    ]


def test_mixup_s_draws_travel_along():
    assert "scipy" in luggage._LACKING.split(), "data/mixup.py asks it for Beta's quantiles"


@pytest.mark.slow
def test_the_whole_check_is_rehearsed_on_the_cpu(tmp_path):
    clone = Clone(tmp_path / "clone")
    (clone.folder / ".venv").symlink_to(ROOT / ".venv")
    clone.run("make", "gpu-check", "DEVICE=cpu")
    taken = json.loads((clone.folder / ".gpu/composed.json").read_text())["params"]
    assert {recipe["portable"] for recipe in taken["recipes"].values()} == {False}
    assert {run["dataset"] for run in taken["runs"].values()} == {luggage.DATASET}
    content = json.loads((clone.folder / ".gpu/cpu.json").read_text())
    assert [name.split("-")[1] for name in content] == list(PARTS)
    rows = {row["name"]: row for part in content.values() for row in part}
    assert rows["SIGTERM"]["found"].endswith("exit code 143")
    assert rows["too little memory"]["found"].startswith("train_student: out of memory with batch_size 32")
    assert rows["stock layers, float32, live teacher"]["numbers"]["images_a_second"] > 0
    assert not (clone.folder / "results").exists()
