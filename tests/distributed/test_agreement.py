"""What processes of a run agree on: a value that comes late, and the step after which a signal to one ends all."""

import json
import signal
import socket
import sys

import pytest
from conftest import write_data
from test_scale_out import start

LATE = """
import time
from datetime import timedelta

import torch
from torch import distributed

from bkdsnn.distributed import agreement, launcher

distributed.init_process_group("gloo", timeout=timedelta(seconds=8))
agreement.prepare()
time.sleep(0 if launcher.rank() else 12)
print(agreement.of_first("late" if launcher.rank() == 0 else None), agreement.largest(launcher.rank()))
try:
    time.sleep(0 if launcher.rank() else 12)
    distributed.broadcast(torch.zeros(1), src=0)
except RuntimeError:
    print("the group itself does not wait so long")
"""
STOPPED = """
import json
import os
import signal
import sys
from pathlib import Path

import small_training
from bkdsnn.data.arrays import ArrayData
from bkdsnn.distributed import launcher
from bkdsnn.training.checkpoint.checkpointer import Keeper
from bkdsnn.training.checkpoint.files import read_state
from bkdsnn.training.checkpoint.state import made_by


def told(teacher, steps):
    counter = iter(range(steps))

    def call(batch):
        if next(counter, None) is None and launcher.rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return teacher(batch)

    return call


def keeper(fabric):
    return Keeper(folder / "states", made_by=made_by(fabric, code={}), fabric=fabric).__enter__()


small_training.stopping = told
folder = Path(sys.argv[1])
data = ArrayData(folder / "data")
unbroken = small_training.run(data)
try:
    small_training.run(data, keeper=keeper, stop_after=4)
except SystemExit as end:
    code = end.code
progress = read_state(folder / "states")[1]["progress"]
resumed = small_training.run(data, keeper=keeper)
found = [code, progress["epoch"], progress["step"], small_training.same(resumed, unbroken)]
(folder / f"{launcher.rank()}.json").write_text(json.dumps(found))
"""


def both(script: str, *arguments: str) -> list[str]:
    """What two processes print that find each other as torchrun's do, without torchrun, which would end the second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    given = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    running = [
        start(sys.executable, "-c", script, *arguments, **given, RANK=rank, LOCAL_RANK=rank, GROUP_RANK="0")
        for rank in ("0", "1")
    ]
    return [process.communicate(timeout=180)[0] for process in running]


def test_a_value_of_the_first_process_is_waited_for_longer_than_the_group_waits():
    first, second = both(LATE)  # behind these lines may stand what torch says where a group that failed is taken down
    assert first.startswith("late 1\n")
    assert second.startswith("late 1\nthe group itself does not wait so long\n")


def test_a_signal_to_one_process_ends_both_after_the_same_step_and_they_go_on_to_the_same_bytes(tmp_path):
    write_data(tmp_path / "data", shape=(1, 8, 8))
    said = both(STOPPED, str(tmp_path))
    found = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("?.json"))]
    assert found == [[128 + signal.SIGTERM, 1, 2, True]] * 2, said


@pytest.mark.parametrize(
    "said",
    [
        "[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:33157",
        "NCCL error in: ProcessGroupNCCL.cpp:3690, remote process exited or there was a network error",
        "NCCL communicator was aborted on rank 1.",
    ],
)
def test_that_another_process_has_ended_is_told_whatever_carries_the_tensors(monkeypatch, said):
    from bkdsnn import command

    assert command._of_the_others(RuntimeError(said)) is None
    monkeypatch.setattr(command.launcher, "world_size", lambda: 2)
    assert command._of_the_others(RuntimeError(said)) == "another process of this stage has ended"
    assert command._of_the_others(RuntimeError("NCCL error: Duplicate GPU detected")) is None
