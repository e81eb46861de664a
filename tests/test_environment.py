"""Every variable is checked before work starts, in one line that says what is allowed."""

import subprocess
import sys

import pytest
from conftest import ROOT

from bkdsnn import environment
from bkdsnn.errors import InputError

WRONG = {
    "BKDSNN_DATA": [" ", "~/data", sys.executable],
    "BKDSNN_ACCELERATOR": ["tpu", "CPU0"],
    "BKDSNN_DEVICE_POOL": ["0, 1", ",", "0;1", "foo"],
    "BKDSNN_SHARE": ["0", "-1", "half", "1.5"],
    "BKDSNN_WORKERS": ["-1", "100000", "many", "²"],
    "BKDSNN_CHECKPOINT_MINUTES": ["often", "-1", "nan", "inf"],
    "BKDSNN_CACHE_LIMIT_GB": ["little", "nan", "inf", "-1"],
    "BKDSNN_TRACKING": ["maybe", "2"],
    "BKDSNN_DEBUG": ["loud"],
}


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    for name in environment.VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_a_value_that_is_not_allowed_is_told_in_one_line(monkeypatch, name, text):
    monkeypatch.setenv(name, text)
    with pytest.raises(InputError) as caught:
        environment.check()
    assert str(caught.value).startswith(f"{name}: '{text}' is no ")
    assert environment.VARIABLES[name].allowed in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("BKDSNN_TRACKING", "OFF", "off"),
        ("BKDSNN_TRACKING", "0", "off"),
        ("BKDSNN_TRACKING", "false", "off"),
        ("BKDSNN_ACCELERATOR", "gpu", "cuda"),
        ("BKDSNN_DEVICE_POOL", "0,GPU-b", ["0", "GPU-b"]),
        ("BKDSNN_CHECKPOINT_MINUTES", "0.5", 0.5),
        ("BKDSNN_WORKERS", "0", 0),
        ("BKDSNN_SHARE", "", None),
    ],
)
def test_a_value_is_read(monkeypatch, name, text, value):
    monkeypatch.setenv(name, text)
    assert environment.read(name) == value


def test_every_variable_but_the_socket_has_a_wrong_value_here():
    assert set(WRONG) == set(environment.VARIABLES) - {"BKDSNN_TRACKER_SOCKET"}


def test_a_stage_says_it_before_anything_else():
    done = subprocess.run(
        [sys.executable, "stages/hash_code.py"],
        cwd=ROOT,
        env={"PYTHONPATH": "src", "BKDSNN_CACHE_LIMIT_GB": "nan", "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "hash_code: BKDSNN_CACHE_LIMIT_GB: 'nan' is no number of GB: the most that a cache may take\n"
