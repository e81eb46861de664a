"""Damaged input: readers end in an `InputError`, and the tool finds those that do not."""

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
    with pytest.raises(InputError, match=r"^\d kinds of faults; one input of each is in \.fuzz/$"):
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
