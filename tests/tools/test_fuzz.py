"""Damaged input: readers end in an `InputError`, and the tool finds those that do not."""

import hashlib
import os
import random
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bkdsnn.errors import InputError
from bkdsnn.tools.fuzz import __main__ as tool
from bkdsnn.tools.fuzz import recordings
from bkdsnn.tools.fuzz.mutations import mutated
from bkdsnn.tools.fuzz.target import Bench, Target
from bkdsnn.tools.fuzz.worker import Worker

CASES = 100


@pytest.mark.parametrize("target", recordings.FORMATS, ids=lambda target: target.name)
def test_no_damaged_recording_ends_in_anything_but_an_input_error_that_names_it(tmp_path, target):
    bench = Bench(target, tmp_path / "bench")
    outcomes = [bench.run(case, seed="test") for case in range(CASES)]
    assert [(case, outcome) for case, outcome in enumerate(outcomes) if outcome.found] == []
    assert sum(outcome.verdict == "refused" for outcome in outcomes) > CASES / 2


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "why"),
    [
        ("registered model", "network.json", b'"stem_stride": 1', b'"stem_stride": "x"', "settings.stem_stride"),
        (
            "registered model",
            "network.json",
            b'"input_shape"',
            b'"shape"',
            "network.json: describes no network (KeyError",
        ),
        ("registered model", "network.json", b'"blocks": [\n      1', b'"blocks": [\n      99999999999', "blocks"),
        (
            "registered model",
            "network.json",
            b'"widths": [\n      2',
            b'"widths": [\n      99999',
            "is not as in the netw",
        ),
        ("registered model", "weights.safetensors", b'"F32"', b'"F33"', "weights.safetensors: no readable safetensors"),
        ("trained network", "last.safetensors", b'"F32"', b'"F33"', "last.safetensors: no readable safetensors file"),
        (
            "trained network",
            "manifest.json",
            b'"sha256"',
            b'"sums"',
            "missing, or its bytes do not match manifest.json",
        ),
        ("teacher cache", "manifest.json", b'"shard_samples": 8', b'"shard_samples": 0', "'shard_samples' is not as"),
        (
            "teacher cache",
            "manifest.json",
            b'"outputs"',
            b'"output"',
            "manifest.json: 'outputs' is not as written; rebuild",
        ),
        ("teacher cache", "index.npy", b"<i8", b"<f8", "index.npy: no list of samples; rebuild it"),
        ("teacher cache", "view-000-shard-00000.safetensors", b"[8,1,3]", b"[8,3,1]", "not 'logits' [8, ...]; rebuild"),
        ("prepared data", "train.npy", bytes(8), b"\0\0\0\0\0\0\0\1", "train.npy: not integers of 0 to 11; run `dvc"),
        ("prepared data", "labels.npy", b"'descr': ", b"'descr': (", "labels.npy: no readable array; run `dvc"),
    ],
)
def test_what_was_altered_together_with_its_hash_is_named(tmp_path, name, file, old, new, why):
    from bkdsnn.tools.fuzz import folders

    target = next(target for target in folders.TARGETS if target.name == name)
    folder = tmp_path / "whole"
    folder.mkdir()
    target.write(folder)
    whole = (folder / file).read_bytes()
    altered = whole.replace(old, new, 1)
    assert altered != whole
    for path in folder.iterdir():
        before, after = (hashlib.sha256(content).hexdigest().encode() for content in (whole, altered))
        path.write_bytes(altered if path.name == file else path.read_bytes().replace(before, after))
    with pytest.raises(InputError) as caught:
        target.read(folder, folder / file)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_no_damaged_input_of_any_kind_ends_in_anything_but_an_input_error(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tool.fuzz("test", "", "150", "")
    assert "faults" in capsys.readouterr().out


def test_equal_seeds_damage_equally():
    for content in (b"", b"a: 1\nb: [2, x]\n", bytes(range(256)) * 4):
        made = [[mutated(content, random.Random(f"{seed}/{case}")) for case in range(200)] for seed in (1, 1, 2)]
        assert made[0] == made[1] != made[2]
        assert len(set(made[0])) > 100
        assert max(map(len, made[0])) < 1 << 20


def write_number(folder: Path) -> None:
    (folder / "number.txt").write_text("1000")


def read_badly(folder: Path, path: Path) -> None:
    """A reader that does, by what it finds, everything that it must not."""
    text = path.read_text(errors="replace")
    if text == "1000":
        return
    kind = sum(text.encode()) % 6
    if kind == 0:
        raise KeyError(text)
    if kind == 1:
        raise InputError(f"{path}: two\nlines")
    if kind == 2:
        raise InputError("which file is it?")
    if kind == 3:
        time.sleep(30)
    if kind == 4:
        os._exit(7)
    np.ones(8 << 30, dtype=np.uint8)


@pytest.mark.slow
def test_the_tool_finds_every_kind_of_fault_keeps_the_file_and_ends_with_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tool, "_targets", lambda only: [Target("bad", write_number, read_badly)])
    monkeypatch.setattr(tool, "Worker", lambda seed: Worker(seed=seed, limit=0.2))
    with pytest.raises(InputError, match=r"^faults of \d kinds; one input of each is in \.fuzz/$"):
        tool.fuzz("5", "", "25", "")
    told = capsys.readouterr().out
    kinds = ["KeyError at", "an InputError of 2 lines", "does not name the file", "read for more than 0.2 s"]
    kinds += ["the process ended with code 7", *(["MemoryError at"] if sys.platform == "linux" else [])]
    assert [kind for kind in kinds if kind not in told] == []
    assert "bad: seed 5, case " in told
    assert "25 cases in" in told
    kept = sorted((tmp_path / ".fuzz").iterdir())
    assert len(kept) >= len(kinds)
    assert all(path.name.startswith("bad-5-") for path in kept)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("", "x", "", ""), "MINUTES=x: a number above 0"),
        (("", "", "0", ""), "COUNT=0"),
        (("", "", "", "es"), "ONLY=es:"),
    ],
)
def test_arguments_that_are_none_are_named(arguments, why):
    with pytest.raises(InputError, match=why):
        tool.fuzz(*arguments)
