"""A device for each of several stages at once, with devices that do not exist."""

import os
import subprocess
import sys
import tempfile
from collections import Counter

import pytest
import torch

from bkdsnn.distributed import device, gpu_pool
from bkdsnn.distributed.device import this_device
from bkdsnn.errors import InputError

STAGE = """
import os, sys, time
from bkdsnn.distributed.gpu_pool import take_device
take_device()
print(os.environ["CUDA_VISIBLE_DEVICES"], time.monotonic())
sys.stdout.flush()
if sys.argv[1] == "killed":
    os.kill(os.getpid(), 9)
time.sleep(0.5)
print(time.monotonic())
"""


def test_four_stages_take_turns_on_two_devices(tmp_path):
    environment = {**os.environ, "BKDSNN_DEVICE_POOL": "7,GPU-b", "TMPDIR": str(tmp_path), "PYTHONPATH": "src"}
    command = [sys.executable, "-c", STAGE, "ends"]
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    held = []
    for process in running:
        device, start, end = process.communicate(timeout=60)[0].split()
        held.append((device, float(start), float(end)))
    assert Counter(device for device, _, _ in held) == {"7": 2, "GPU-b": 2}
    for name in ("7", "GPU-b"):
        first, second = sorted(interval[1:] for interval in held if interval[0] == name)
        assert first[1] <= second[0]


def test_a_killed_stage_gives_its_device_back(tmp_path):
    environment = {**os.environ, "BKDSNN_DEVICE_POOL": "7", "TMPDIR": str(tmp_path), "PYTHONPATH": "src"}
    for end in ("killed", "ends"):
        done = subprocess.run([sys.executable, "-c", STAGE, end], env=environment, capture_output=True, timeout=30)
        assert done.stdout.startswith(b"7 ")


def test_of_the_pool_only_what_a_scheduler_allows_is_taken(tmp_path):
    environment = {**os.environ, "BKDSNN_DEVICE_POOL": "0,3,7", "CUDA_VISIBLE_DEVICES": "2, 3", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", STAGE, "ends"]
    done = subprocess.run(command, env={**environment, "PYTHONPATH": "src"}, capture_output=True, timeout=30)
    assert done.stdout.startswith(b"3 ")


def test_a_child_of_a_process_that_holds_the_only_device_does_not_wait_for_it(tmp_path):
    parent = f"""
import subprocess, sys
from bkdsnn.distributed.gpu_pool import take_device
take_device()
print(subprocess.run([sys.executable, "-c", {STAGE!r}, "ends"], capture_output=True, timeout=20, text=True).stdout)
"""
    environment = {**os.environ, "BKDSNN_DEVICE_POOL": "7", "TMPDIR": str(tmp_path), "PYTHONPATH": "src"}
    done = subprocess.run([sys.executable, "-c", parent], env=environment, capture_output=True, timeout=30)
    assert done.stdout.startswith(b"7 "), done.stderr


def test_a_pool_of_which_a_scheduler_allows_nothing_is_refused(monkeypatch):
    monkeypatch.setenv("BKDSNN_DEVICE_POOL", "0,1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    with pytest.raises(InputError, match="BKDSNN_DEVICE_POOL=0,1: CUDA_VISIBLE_DEVICES allows 4 alone"):
        gpu_pool.take_device()


def test_a_gpu_without_a_compiler_is_refused_before_work_starts(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(device.sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(InputError, match=r"needs a C compiler \(gcc.*\) and Python's headers .*ACCELERATOR=cpu$"):
        device.check_compiler()
    (tmp_path / "Python.h").touch()
    monkeypatch.setenv("CC", "tcc")
    device.check_compiler()


@pytest.mark.parametrize(
    ("pool", "processes", "message"),
    [
        ("0, 1", "1", "BKDSNN_DEVICE_POOL: '0, 1' is no list of devices, such as 0,1"),
        ("0,1", "2", "BKDSNN_DEVICE_POOL gives each stage one device, this launcher started several processes"),
    ],
)
def test_a_pool_that_cannot_serve_is_refused(monkeypatch, pool, processes, message):
    monkeypatch.setenv("BKDSNN_DEVICE_POOL", pool)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", processes)
    with pytest.raises(InputError, match=message):
        gpu_pool.take_device()


def test_a_device_that_is_not_there_is_refused_and_the_cpu_not_taken_instead(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu_pool, "_held", [])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    for name, value in {"BKDSNN_DEVICE_POOL": "7", "BKDSNN_ACCELERATOR": "auto", "CUDA_VISIBLE_DEVICES": "7"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="BKDSNN_DEVICE_POOL: 7 is asked for, and is no GPU that this machine has"):
        this_device(portable=False)
    assert this_device(portable=True).type == "cpu"
