"""A real `dvc repro` of the tiny table in a clone, and what users do next; the tests run in this order."""

import copy
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from reference_vectors import FOLDER
from warm_clone import WarmClone

from bkdsnn import portable
from bkdsnn.files import sha256

ROWS = ("image-ce", "image-bkd", "image-vit", "dvs-mixed", "dvs-swapped")
BLURRING = ("image-bkd", "image-vit", "dvs-mixed", "dvs-swapped")
MARK = 5  # the clones keep so many feature maps, the checkout another number: proof of whose code ran
ALWAYS = "fingerprint_raw"


class Clone(WarmClone):
    """A clone with a mark in its code."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.edit("src/bkdsnn/evaluation/evaluate.py", r"MAP_CLASSES = \d+", f"MAP_CLASSES = {MARK}")
        self.commit()

    def edit(self, name: str, pattern: str, new: str) -> None:
        """Replaces what a pattern finds in a file; it must be there."""
        path = self.folder / name
        text, count = re.subn(pattern, new, path.read_text(), count=1)
        assert count == 1
        path.write_text(text)

    def cloned(self, folder: Path) -> "Clone":
        """What is committed, in another folder."""
        self.run("git", "clone", "-q", str(self.folder), str(folder))
        other = copy.copy(self)
        other.folder = folder
        return other

    def restore(self) -> None:
        self.run("git", "checkout", "-q", ".")
        self.run("git", "clean", "-fdq", "src", "stages")


def stages(output: str) -> set[str]:
    """The stages that ran, but for the one that always does."""
    return set(re.findall(r"Running stage '([^']+)'", output)) - {ALWAYS}


def done(output: str) -> list[tuple[str, str, str]]:
    """What `make repro` says it has done, several stages at once: how many of how many, and which were the last."""
    return re.findall(r"^ +(\d+) of (\d+)  (\S.*?)  \d+ s$", output, flags=re.MULTILINE)


def side_by_side(output: str) -> set[str]:
    """The stages that `make repro` has run, several at once."""
    return {stage for *_, last in done(output) for stage in last.split(", ")}


def stale(clone: Clone) -> set[str]:
    """The stages that are out of date once the code is hashed anew."""
    assert stages(clone.dvc("repro", "hash_code")) <= {"hash_code"}
    status = json.loads(clone.dvc("status", "--json"))
    return set(status) - {ALWAYS}


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Two clones in different places, reproduced side by side: by DVC alone, and two stages at once without MLflow.

    Only the first one's stages are processes that users have.
    """
    first, second = Clone(tmp_path_factory.mktemp("first") / "a"), Clone(tmp_path_factory.mktemp("elsewhere") / "b")
    with ThreadPoolExecutor() as pool:
        other = pool.submit(second.tool, "repro.start", "2")
        first.output = first.dvc("repro", LAUNCH="", BKDSNN_TRACKING="on")
        second.output = other.result()
    first.commit()
    second.commit()
    return first, second


@pytest.fixture(scope="module")
def clone(twins):
    return twins[0]


def test_the_graph_runs_from_data_to_table(clone):
    assert len(stages(clone.output)) == 26
    for name in ("comparison.md", "table.md", "table.csv", "table.tex", "summary.json", "figures.json"):
        assert (clone.folder / "results/tables/tiny" / name).is_file()
    figures = {path.name for path in (clone.folder / "results/figures/tiny").iterdir()}
    assert {"accuracy.png", "training_curves.png", "grad_cam-digits-dvs.png", "feature_spread.png"} <= figures
    metrics = json.loads((clone.folder / "results/runs/tiny/dvs-mixed-s0/metrics.json").read_text())
    assert metrics["epochs"] == 2
    assert 0 <= metrics["test_top1"] <= 100
    assert metrics["energy_uj"] > 0


def test_the_clone_ran_its_own_code(clone):
    assert len(np.load(clone.folder / "results/runs/tiny/image-ce-s0/feature_maps.npy")) == MARK


def test_mlflow_has_one_run_per_model_under_one_parent(clone):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{clone.folder / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("bkdsnn").experiment_id])
    named = {run.info.run_name: run for run in runs}
    assert len(named) == len(runs) == 10
    (parent,) = (run for run in runs if run.data.tags["bkdsnn.kind"] == "experiment")
    assert all(run.data.tags["mlflow.parentRunId"] == parent.info.run_id for run in runs if run is not parent)
    student = named["image-bkd-s0"]
    assert student.data.params["blur_ratio"] == "0.15"
    assert {"task", "feature", "validation_top1", "test_top1", "energy_uj"} <= set(student.data.metrics)
    assert len(client.get_metric_history(student.info.run_id, "feature")) == 2
    assert {artifact.path for artifact in client.list_artifacts(parent.info.run_id)} == {"figures", "tables"}


def test_a_second_repro_does_nothing(twins):
    assert stages(twins[0].dvc("repro")) == set()
    assert "Data and pipelines are up to date." in twins[1].tool("repro.start", "2")


def test_dvc_metrics_show_is_one_line_per_table(clone):
    shown = json.loads(clone.dvc("metrics", "show", "--json"))
    (files,) = (entry["data"] for entry in shown.values())
    shown = files["results/tables/tiny/summary.json"]["data"]
    assert {name: set(rows) for name, rows in shown.items()} == {
        name: set(ROWS) for name in ("last_validation_top1", "test_top1")
    }


def test_another_place_and_two_stages_at_once_give_the_same_bytes(twins):
    assert not (twins[1].folder / "mlflow.db").exists()
    first, second = (clone.bytes() for clone in twins)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_the_bytes_are_those_that_other_processors_made(clone):
    if reason := portable.why_not():
        pytest.skip(reason)
    committed = json.loads((FOLDER / "tiny.json").read_text())
    found = {name: sha256(clone.folder / name) for name in committed}
    assert found == committed, f"where numbers are meant to change, tiny.json is now\n{json.dumps(found, indent=2)}"


def test_a_table_of_two_at_once_says_what_is_done(twins):
    entries = done(twins[1].output)
    assert [int(entry[0]) for entry in entries] == sorted(int(entry[0]) for entry in entries)
    assert entries[-1][:2] == (entries[-1][1], entries[-1][1])
    assert "train_student@image-ce-s0, evaluate@image-ce-s0" in {entry[2] for entry in entries}


def test_what_is_missing_is_made_where_it_is_needed_and_nothing_else(twins, tmp_path):
    """A fresh clone of finished work, without models; the results of one run are lost."""
    clone = twins[1].cloned(tmp_path / "fresh")
    shutil.rmtree(clone.folder / "results/runs/tiny/image-bkd-s0")
    output = clone.tool("repro.start", "2", "1")
    data = {"prepare_data@digits", "prepare_data@digits-dvs"}  # the figures show both
    run = {"train_student@image-bkd-s0", "evaluate@image-bkd-s0"}
    teacher = {"train_teacher@resnet-digits", "cache_features@resnet-digits-digits"}
    assert side_by_side(output) == {*data, *teacher, *run, "build_tables@tiny"}
    assert clone.bytes() == twins[1].bytes()
    refused = "repro: ALLOW_MISSING=yes: wanted 1 (make what dvc.lock does not know) or nothing\n"
    assert clone.tool("repro.start", "2", "yes", check=False) == refused


def test_a_table_that_shows_anothers_runs_trains_nothing(twins, tmp_path):
    """In a fresh clone without models; the table is a file of its own."""
    clone = twins[1].cloned(tmp_path / "fresh")
    path = clone.folder / "src/bkdsnn/conf/table/tiny-again.yaml"
    tiny = path.with_name("tiny.yaml").read_text()
    path.write_text(tiny.replace("table: tiny", "table: tiny-again\nsame_runs_as: tiny"))
    clone.tool("compose", "table=tiny-again")
    output = clone.tool("repro.start", "1", "1")
    data = {"prepare_data@digits", "prepare_data@digits-dvs"}
    assert stages(output) == {"hash_code", "check_params", *data, "build_tables@tiny-again"}
    shown, own = (pd.read_csv(clone.folder / f"results/tables/{name}/table.csv") for name in ("tiny-again", "tiny"))
    assert set(shown.row) == set(own.row) == set(ROWS)
    assert shown.top1_mean.equals(own.top1_mean)
    assert shown.gain.isna().all()


NOTHING = {
    "a comment": ("src/bkdsnn/methods/bkd.py", r"\n    def forward", "\n    # why\n    def forward"),
    "a docstring": ("src/bkdsnn/training/loop.py", '"""One step on', '"""A step on'),
    "a layout": ("src/bkdsnn/seeding.py", r"def uniform\(\*, keys", "def uniform(\n    *, keys"),
    "a log line": ("src/bkdsnn/tracking/tracker.py", "\nlog = ", "\nLOUD = True\nlog = "),
}


@pytest.mark.parametrize("change", NOTHING)
def test_what_changes_no_number_makes_no_stage_stale(clone, change):
    clone.edit(*NOTHING[change])
    assert stale(clone) == set()
    clone.restore()


def test_a_new_file_that_nothing_uses_makes_no_stage_stale(clone):
    for name in ("methods/own.py", "networks/own.py", "data/sources/own.py", "events/formats/own.py", "layers/own.py"):
        (clone.folder / "src/bkdsnn" / name).write_text("NUMBER = 1\n")
    assert stale(clone) == set()
    clone.restore()


def trained(*rows: str) -> set[str]:
    return {f"train_student@{row}-s0" for row in rows}


EVALUATED = {f"evaluate@{row}-s0" for row in ROWS}
TEACHERS = ("resnet-digits", "vit-digits", "resnet-dvs", "sew-dvs-16")
CHANGES = {
    "a method": ("src/bkdsnn/methods/bkd.py", ">= blur_ratio", "> blur_ratio", trained(*BLURRING)),
    "a report": ("src/bkdsnn/reporting/layout.py", 'EMPTY = "–"', 'EMPTY = "-"', {"build_tables@tiny"}),
    "a kernel": (
        "src/bkdsnn/layers/fused/norm_kernels.py",
        r"\nCHUNK = ",
        "\nOTHER = 1\nCHUNK = ",
        trained(*ROWS)
        | EVALUATED
        | {f"{stage}@{teacher}" for stage in ("train_teacher", "evaluate_teacher") for teacher in ("sew-dvs-16",)}
        | {f"train_teacher@{teacher}" for teacher in TEACHERS},
    ),
    "a view": (
        "src/bkdsnn/data/views.py",
        "return epoch % rules.views",
        "return (epoch + 1) % rules.views",
        None,
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_numbers_makes_those_stages_stale_that_use_it(clone, change):
    *edit, expected = CHANGES[change]
    clone.edit(*edit)
    found = stale(clone)
    if expected is None:
        assert trained(*ROWS) | {f"train_teacher@{teacher}" for teacher in TEACHERS} <= found
        assert {"cache_features@resnet-digits-digits", "cache_features@vit-digits-digits"} <= found
    else:
        assert found == expected
    clone.restore()


def test_an_experiment_with_another_blur_ratio_reruns_what_blurs(clone):
    output = clone.dvc("exp", "run", "-S", "table=tiny", "-S", "blur_ratio=0.2")
    blurring = {f"{stage}@{row}-s0" for stage in ("train_student", "evaluate") for row in BLURRING}
    assert stages(output) == {"check_params", "build_tables@tiny"} | blurring
    clone.restore()
    clone.dvc("checkout", "-q")


@pytest.mark.slow
def test_queued_experiments_run_side_by_side_into_one_store(clone):
    from mlflow import MlflowClient

    as_users_do = {"LAUNCH": "", "BKDSNN_TRACKING": "on"}
    clone.dvc("exp", "run", "--queue", "-S", "table=tiny", "-S", "blur_ratio=0.0,0.3,0.4,0.5", **as_users_do)
    start = (sys.executable, "-m", "dvc", "queue", "start", "-j", "4")
    clone.start(*start, environment=as_users_do, stdout=subprocess.DEVNULL).wait()  # a worker may outlive its work
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        states = [
            line.split()[-1] for line in clone.dvc("queue", "status").splitlines() if re.match("[0-9a-f]{7} ", line)
        ]
        if set(states) <= {"Success", "Failed"}:
            break
        time.sleep(3)
    assert states == ["Success"] * 4
    client = MlflowClient(f"sqlite:///{clone.folder / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("bkdsnn").experiment_id])
    children = [run for run in runs if run.data.params.get("blur_ratio") in ("0.0", "0.3", "0.4", "0.5")]
    assert len(children) == 16  # the four rows that blur
    assert all({"task", "test_top1"} <= set(run.data.metrics) for run in children)
    assert len({run.data.tags["mlflow.parentRunId"] for run in children}) == 4


def test_a_mistake_in_params_stops_before_any_work(clone):
    path = clone.folder / "params.yaml"
    content = yaml.safe_load(path.read_text())
    content["recipes"]["digits"]["epoch"] = 3
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    output = clone.dvc("repro", check=False)
    assert clone.code != 0
    assert stages(output) == {"check_params"}
    said = [line for line in output.splitlines() if line.startswith("check_params: ")]
    assert said == [
        "check_params: params.yaml: recipes.digits.epoch: unknown key; did you mean epochs? allowed: epochs, "
        "batch_size, accumulate, precision, teacher_precision, threads, portable, optimiser, schedule, augmentation, "
        "cache, speed"
    ]
    clone.restore()


@pytest.mark.parametrize(
    ("tool", "arguments", "line"),
    [
        ("repro.start", ["0"], "repro: JOBS=0: wanted a number of stages to run at once, 1 to 1024"),
        ("repro.start", ["x"], "repro: JOBS=x: wanted a number of stages to run at once, 1 to 1024"),
        (
            "repro.row",
            ["tiny", "image-bkt", "0"],
            "row: ROW=image-bkt: table 'tiny' has no such row; did you mean image-",
        ),
        ("repro.row", ["tiny", "image-bkd", "x"], "row: SEED=x: wanted a whole number from 0 on"),
        ("repro.row", ["tini", "image-bkd", "0"], "row: table 'tini': there is none; there are "),
    ],
)
def test_bad_input_is_told_in_one_line_and_leaves_params_as_they_were(clone, tool, arguments, line):
    before = (clone.folder / "params.yaml").read_bytes()
    output = clone.tool(tool, *arguments, check=False)
    assert clone.code == 1
    assert len(output.splitlines()) == 1
    assert output.startswith(line)
    assert (clone.folder / "params.yaml").read_bytes() == before


def test_what_a_launcher_is_asked_for_every_stage(twins, tmp_path):
    """A stand-in for srun notes its arguments and does what it is given."""
    (tmp_path / "srun").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/log\nshift 3\nexec "$@"\n')
    (tmp_path / "srun").chmod(0o755)
    clone = twins[1]
    clone.edit("src/bkdsnn/reporting/layout.py", 'EMPTY = "–"', 'EMPTY = "--"')
    path = f"{tmp_path}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    clone.tool("repro.start", "2", LAUNCH="srun --exact -n1 --gpus=1", PATH=path)
    started = (tmp_path / "log").read_text().splitlines()
    assert "--exact -n1 --gpus=1 python stages/build_tables.py tiny" in started
    assert "--exact -n1 --gpus=1 python stages/hash_code.py" in started
    clone.restore()


def test_a_run_that_fails_stops_only_what_needs_it_and_is_named(twins):
    clone = twins[1]
    clone.edit("src/bkdsnn/methods/_sum.py", "        terms = {}", "        terms = self.missing")
    clone.edit("src/bkdsnn/reporting/layout.py", 'EMPTY = "–"', 'EMPTY = "---"')
    output = clone.tool("repro.start", "2", check=False)
    assert clone.code == 1
    last = output.splitlines()[-1]
    assert last.startswith("repro: 2 failed: ")
    assert {"train_student@image-vit-s0", "train_student@dvs-mixed-s0"} == set(
        re.findall(r"train_student@[\w-]+", last)
    )
    assert {"evaluate@image-vit-s0", "build_tables@tiny"} <= set(re.findall(r"[\w]+@[\w-]+", last))
    assert re.search(r"FAILED train_student@dvs-mixed-s0: \S", output)
    clone.restore()
    clone.dvc("checkout", "-q")


def test_a_row_is_made_with_what_it_needs_and_nothing_else(clone):
    before = (clone.folder / "params.yaml").read_bytes()
    output = clone.tool("repro.row", "tiny", "image-ce", "1")
    assert stages(output) == {"check_params", "train_student@image-ce-s1", "evaluate@image-ce-s1"}
    assert re.search(r"results/runs/tiny/image-ce-s1: \d+\.\d\d % of the test split", output)
    assert (clone.folder / "params.yaml").read_bytes() == before


SHUFFLED = """
    splits = stratified_split(labels, settings.split)
    labels[splits["test"]] = np.roll(labels[splits["test"]], 1)
    return Prepared("""


@pytest.mark.slow
def test_what_is_tuned_is_chosen_on_the_validation_split_alone(clone):
    """The same choice, to the byte, where the labels of the test split are others."""
    space = "recipes.digits.optimiser.lr=0.001,0.01"
    arguments = ("tune", "tiny", "image-ce", space, "100,101")
    table = clone.folder / "results/tuning/tiny-image-ce.csv"
    lock = (clone.folder / "dvc.lock").read_bytes()
    output = clone.tool(*arguments)
    assert trained("image-ce").isdisjoint(stages(output))
    assert {stage.split("@")[0] for stage in stages(output)} == {"check_params", "train_student"}
    chosen, ranked = table.read_bytes(), output[output.index("| settings") :]
    assert chosen.count(b"\n") == 5
    source = "src/bkdsnn/data/sources/digits.py"
    clone.edit(source, r"\n    return Prepared\(", SHUFFLED)
    clone.edit(source, r"splits=stratified_split\(labels, settings.split\)", "splits=splits")
    output = clone.tool(*arguments)
    assert "prepare_data@digits" in stages(output)
    assert (table.read_bytes(), output[output.index("| settings") :]) == (chosen, ranked)
    assert (clone.folder / "dvc.lock").read_bytes() == lock
    table.unlink()
    clone.restore()
    clone.dvc("checkout", "-q")


def test_a_second_repro_at_once_says_so_and_a_killed_row_leaves_params_as_they_were(clone):
    before = (clone.folder / "params.yaml").read_bytes()
    command = (sys.executable, "-m", "bkdsnn.tools.repro.row", "tiny", "image-ce", "2")
    environment = {"PYTHONPATH": "src", "BKDSNN_TRACKING": "off"}
    row = clone.start(*command, environment=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while b"\nseeds:\n- 2\n" not in (clone.folder / "params.yaml").read_bytes() and time.monotonic() < deadline:
        time.sleep(0.05)
    said = clone.tool("repro.start", "2", check=False)
    assert clone.code == 1
    assert said == "repro: another `make repro` or `make row` works in this folder: wait for it, or stop it\n"
    os.killpg(row.pid, signal.SIGKILL)
    row.wait()
    assert (clone.folder / "params.yaml").read_bytes() != before
    clone.tool("repro.row", "tiny", "image-bkt", "0", check=False)
    assert (clone.folder / "params.yaml").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_in_the_middle_the_same_command_ends_with_the_same_bytes(twins, tmp_path, number):
    clone = Clone(tmp_path / "stopped")
    command = (sys.executable, "-m", "bkdsnn.tools.repro.start", "2")
    environment = {"PYTHONPATH": "src", "BKDSNN_TRACKING": "off", "BKDSNN_CHECKPOINT_MINUTES": "0"}
    with (tmp_path / "log").open("w") as log:
        process = clone.start(*command, environment=environment, stdout=log, start_new_session=True)
        deadline = time.monotonic() + 300
        while not list(clone.folder.glob(".resume/*/*-*.safetensors")) and time.monotonic() < deadline:
            time.sleep(0.05)
        if number == signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        code = process.wait(timeout=60)
    said = (tmp_path / "log").read_text()
    if number != signal.SIGKILL:
        assert code == 128 + number
        assert re.search(r"^stopped: \d+ of \d+ stages are done, left are \S+", said, flags=re.MULTILINE)
        assert "FAILED" not in said
    clone.tool("repro.start", "2")
    assert clone.bytes() == twins[1].bytes()
