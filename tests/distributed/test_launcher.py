"""What a process knows of its launcher, its share of the machine, and a stage's parts for rank 0 alone."""

import pytest
import torch

from bkdsnn.data.batches import Batches
from bkdsnn.distributed import launcher
from bkdsnn.errors import InputError
from bkdsnn.tracking import tracker as tracking

BATCH_SCRIPT = {"SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "4", "SLURM_PROCID": "0"}
STEP = {**BATCH_SCRIPT, "SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1"}
TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1"}


@pytest.fixture
def environment(monkeypatch):
    """Gives a function that sets variables, where no others of a launcher are set."""
    for name in {*STEP, *TORCHRUN, "BKDSNN_SHARE"}:
        monkeypatch.delenv(name, raising=False)

    def put(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return put


@pytest.mark.parametrize(
    ("variables", "started_by", "numbers"),
    [
        ({}, None, (0, 1, 0, 1)),
        (TORCHRUN, "torchrun", (3, 4, 1, 2)),
        (STEP, "srun", (5, 8, 1, 4)),
        (BATCH_SCRIPT, None, (0, 1, 0, 1)),
        ({**STEP, **TORCHRUN}, "torchrun", (3, 4, 1, 2)),
        ({"RANK": "0", "WORLD_SIZE": "1"}, None, (0, 1, 0, 1)),  # a platform's
        ({"SLURM_STEP_NUM_TASKS": ""}, None, (0, 1, 0, 1)),
    ],
)
def test_launchers_are_known_by_their_variables(environment, variables, started_by, numbers):
    environment(**variables)
    assert launcher.launcher() == started_by
    assert (launcher.rank(), launcher.world_size(), launcher.local_rank(), launcher.local_size()) == numbers


def test_a_step_without_tasks_per_node_is_told_what_is_missing(environment):
    environment(SLURM_STEP_NUM_TASKS="8", SLURM_NTASKS="8", SLURM_PROCID="5")
    with pytest.raises(InputError, match="srun has not set SLURM_NTASKS_PER_NODE; start it with --ntasks-per-node"):
        launcher.local_size()


@pytest.mark.parametrize("name", ["WORLD_SIZE", "RANK", "SLURM_STEP_NUM_TASKS"])
@pytest.mark.parametrize("text", ["two", "-1", "1.5"])
def test_a_variable_that_is_no_whole_number_is_told(environment, name, text):
    environment(**{**TORCHRUN, name: text} if name != "SLURM_STEP_NUM_TASKS" else {name: text})
    with pytest.raises(InputError, match=f"{name}: '{text}' is no whole number"):
        launcher.rank()


def test_a_platform_that_sets_half_of_torchrun_s_variables_is_told(environment):
    environment(RANK="1", WORLD_SIZE="2")
    with pytest.raises(InputError, match="torchrun has not set LOCAL_WORLD_SIZE; start it with torchrun, or unset"):
        launcher.local_size()


def test_alone_a_process_forgets_the_others(environment):
    environment(**STEP, **TORCHRUN)
    launcher.go_alone()
    assert (launcher.launcher(), launcher.rank(), launcher.world_size(), launcher.local_size()) == (None, 0, 1, 1)


def test_stages_and_processes_share_the_cores(environment, monkeypatch):
    monkeypatch.setattr(launcher.os, "sched_getaffinity", lambda _: range(12), raising=False)
    assert (launcher.cores(), launcher.threads()) == (12, None)
    environment(BKDSNN_SHARE="3")
    assert (launcher.cores(), launcher.threads()) == (4, 4)
    environment(**TORCHRUN)  # two of them here
    assert (launcher.cores(), launcher.threads()) == (2, 2)
    environment(BKDSNN_SHARE="100")
    assert launcher.cores() == 1
    environment(BKDSNN_SHARE="0")
    with pytest.raises(InputError, match="BKDSNN_SHARE: '0' is no number of stages"):
        launcher.cores()


def test_only_process_0_talks_to_mlflow(environment, monkeypatch):
    monkeypatch.delenv("BKDSNN_TRACKING", raising=False)
    environment(**TORCHRUN)
    tracker = tracking.training_tracker(name="a", kind="student", seed=0, identity="")
    assert isinstance(tracker, tracking.NoTracker)
    assert launcher.no_bar() is True


def test_a_batch_with_fewer_samples_than_processes_is_refused_before_work_begins(environment, data):
    environment(RANK="0", WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
    Batches(data, batch_size=19, device="cpu")  # 40 samples: 19, 19, 2
    with pytest.raises(InputError, match="2 processes cannot divide a batch of 1: 40 training samples in batches of"):
        Batches(data, batch_size=13, device="cpu")


def test_shares_of_a_split_are_all_of_it(environment, data):
    found = []
    for rank in ("0", "1", "2"):
        environment(RANK=rank, WORLD_SIZE="3", LOCAL_WORLD_SIZE="3")
        found += [
            i
            for batch in Batches(data, batch_size=4, device=torch.device("cpu")).of_process("validation")
            for i in batch.index
        ]
    assert found == data.splits["validation"].tolist()


def test_a_process_with_a_number_beyond_the_others_does_not_end_as_if_it_had_worked(environment):
    environment(**TORCHRUN | {"RANK": "5", "WORLD_SIZE": "2"})
    with pytest.raises(InputError, match="torchrun has numbered this process 5, of 2 from 0 on; unset RANK"):
        launcher.rank()
