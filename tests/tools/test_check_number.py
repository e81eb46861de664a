"""Somebody's weights beside a published number, and the same as a row of a table, by DVC, in a clone."""

import json
from argparse import Namespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import NEURON
from image_sets import write_parquet
from safetensors.torch import load_file
from scipy import stats
from sources import picture
from warm_clone import WarmClone

from bkdsnn.build import built_for, layouts_of
from bkdsnn.errors import InputError
from bkdsnn.files import sha256
from bkdsnn.layers.layouts import their_names
from bkdsnn.params.schema import Published, Student
from bkdsnn.reporting.as_published import Share, share
from bkdsnn.tools.check_number import _compared, check_number

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SETTINGS = {"time_steps": 2, "dim": 16, "depth": 1, "heads": 2, "mlp_ratio": 2, "pools": [2, 3]}
SETTINGS |= {"attention_scale": 0.125, "attention_threshold": 0.5}
SETTINGS |= {"neuron": {**NEURON, "kind": "lif", "surrogate": "sigmoid", "surrogate_alpha": 4.0, "v_threshold": 0.2}}
TABLE = """# @package _global_
defaults:
  - /dataset: [cifar10-parquet]
  - /method: [ce, mixed]
  - /recipe: [as-published]
  - _self_

table: borrowed
title: Weights of others
time_steps: 2
datasets: {cifar10-parquet: {settings: {split: {validation: 10}}}}
rows:
  theirs:
    dataset: cifar10-parquet
    student: small
    teacher: null
    method: mixed
    recipe: as-published
    published: {value: 99.0, source: made up, grade: M}
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone with pictures laid out as CIFAR-10's parquet files are, and a student with official names."""
    clone = WarmClone(tmp_path_factory.mktemp("borrowed") / "clone")
    raw, conf = clone.folder / "raw", clone.folder / "src/bkdsnn/conf"
    for part, count in (("train", 40), ("test", 60)):
        write_parquet(raw / f"cifar10/{part}.parquet", [(picture(size=(32, 32))[1], n % 10) for n in range(count)])
    part = Student(network="spikingformer", settings=SETTINGS)
    theirs = built_for(part, input_shape=(3, 32, 32), classes=10, normalise=None, seed=3).state_dict()
    names = their_names(theirs, layouts_of("spikingformer")["official"])
    state = {f"module.{names[name]}": tensor for name, tensor in theirs.items()}
    torch.save({"state_dict": state, "args": Namespace(lr=0.1), "epoch": 309}, raw / "theirs.pth.tar")
    file = {"weights": "theirs.pth.tar", "weights_sha256": sha256(raw / "theirs.pth.tar"), "layout": "official"}
    student = {"network": "spikingformer", "settings": SETTINGS, **file}
    (conf / "table/borrowed.yaml").write_text(TABLE + f"students: {json.dumps({'small': student})}\n")
    clone.run("git", "add", "-A")
    clone.theirs = theirs
    return clone


def test_a_row_as_published_is_evaluated_and_check_number_says_the_same(clone):
    before = (clone.folder / "params.yaml").read_bytes()
    said = clone.tool("check_number", "borrowed", "theirs", "theirs.pth.tar")
    assert (clone.folder / "params.yaml").read_bytes() == before
    assert not (clone.folder / "models").exists(), "nothing is trained for it"
    clone.tool("compose", "table=borrowed")
    assert list(yaml.safe_load((clone.folder / "params.yaml").read_text())["runs"]) == ["theirs-s0"]
    clone.dvc("repro")
    written = load_file(clone.folder / "models/students/borrowed/theirs-s0/last.safetensors")
    assert all(torch.equal(written[name], tensor) for name, tensor in clone.theirs.items())
    metrics = json.loads((clone.folder / "results/runs/borrowed/theirs-s0/metrics.json").read_text())
    assert (metrics["epochs"], metrics["test_samples"]) == (0, 60)
    top1, right = metrics["test_top1"], round(0.6 * metrics["test_top1"])
    interval = stats.binomtest(right, 60).proportion_ci(method="wilson")
    low, high = 100 * interval.low, 100 * interval.high
    assert f"ours       {top1:.2f} %, 95 % interval {low:.2f} to {high:.2f} (Wilson; 60 test samples of cifar10" in said
    assert f"99.00 % (made up, grade M): outside the interval; ours - published {top1 - 99:+.2f}" in said
    assert "heads 2" in said
    assert "neuron.v_threshold 0.2" in said
    for name in ("comparison", "table"):
        text = (clone.folder / f"results/tables/borrowed/{name}.md").read_text(encoding="utf-8")
        assert f"{top1:.2f} (as published weights, {low:.2f} to {high:.2f})" in text
        assert "As published weights: a student that others trained, evaluated once" in text
    said = clone.tool("publish", "theirs-s0", check=False)
    assert "theirs-s0: begins with the weights of others (theirs.pth.tar), whose terms are theirs" in said
    (line,) = pd.read_csv(clone.folder / "results/tables/borrowed/table.csv").to_dict("records")
    assert (line["weights"], line["seeds"], np.isnan(line["top1_std"])) == ("as published", 1, True)
    assert (line["top1_low"], line["top1_high"]) == (pytest.approx(low), pytest.approx(high))


def test_what_does_not_fit_is_told_before_any_data_are_prepared(clone):
    (clone.folder / "page.pth").write_text("<html>not found</html>")
    said = clone.tool("check_number", "borrowed", "theirs", "page.pth", check=False)
    assert clone.code == 1
    assert "page.pth: refused: neither safetensors nor a plain state dict" in said
    assert said.count("\n") == 1
    said = clone.tool(
        "check_number",
        "borrowed",
        "theirs",
        "theirs.pth.tar",
        "official",
        "students.small.settings.dim=32",
        check=False,
    )
    assert "'patch_embed.proj_conv.weight' has shape (2, 3, 3, 3), the network's has (4, 3, 3, 3)" in said
    said = clone.tool("check_number", "borrowed", "theirs", "theirs.pth.tar", "ours", check=False)
    assert "its names are those of layout: official" in said


def test_a_file_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("BKDSNN_DATA", str(tmp_path))
    with pytest.raises(InputError, match="WEIGHTS=none.pth: there is no such file, here or in "):
        check_number("tiny", "image-ce", "none.pth")


def test_the_interval_is_wilson_s():
    found = share(80.0, 10)  # by hand: centre (8 + z²/2) / (10 + z²), z = 1.959964
    z = 1.959964
    centre, half = (8 + z**2 / 2) / (10 + z**2), z / (10 + z**2) * (10 * 0.8 * 0.2 + z**2 / 4) ** 0.5
    assert found == Share(80.0, pytest.approx(100 * (centre - half)), pytest.approx(100 * (centre + half)))


def test_a_published_number_is_within_outside_not_found_or_none():
    ours = Share(79.0, 78.2, 79.8)
    assert "within the interval; ours - published -0.41" in _compared(
        Published(value=79.41, source="README", grade="P"), ours
    )
    assert "outside the interval" in _compared(Published(value=81.0, source="README", grade="P"), ours)
    assert _compared(Published(value=None, source="nowhere", grade=None), ours) == "not found (nowhere)"
    assert _compared(None, ours) == "nothing: the row is not in the paper"
