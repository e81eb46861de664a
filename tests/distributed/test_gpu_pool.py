"""A device for each of several stages at once, with devices that do not exist."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from bkdsnn.distributed import gpu_pool
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
