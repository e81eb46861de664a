"""What a process knows of its launcher, its share of the machine, and a stage's parts for rank 0 alone."""

import pytest

from bkdsnn import launch, tracking
from bkdsnn.data.batches import Batches
from bkdsnn.errors import InputError

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
    ("variables", "launcher", "numbers"),
    [
        ({}, None, (0, 1, 0, 1)),
        (TORCHRUN, "torchrun", (3, 4, 1, 2)),
        (STEP, "srun", (5, 8, 1, 4)),
        (BATCH_SCRIPT, None, (0, 1, 0, 1)),
        ({**STEP, **TORCHRUN}, "torchrun", (3, 4, 1, 2)),
    ],
)
def test_launchers_are_known_by_their_variables(environment, variables, launcher, numbers):
    environment(**variables)
    assert launch.launcher() == launcher
    assert (launch.rank(), launch.world_size(), launch.local_rank(), launch.local_size()) == numbers


def test_a_step_without_tasks_per_node_is_told_what_is_missing(environment):
    environment(SLURM_STEP_NUM_TASKS="8", SLURM_NTASKS="8", SLURM_PROCID="5")
    with pytest.raises(InputError, match="srun has not set SLURM_NTASKS_PER_NODE; start it with --ntasks-per-node"):
        launch.local_size()


def test_alone_a_process_forgets_the_others(environment):
    environment(**STEP, **TORCHRUN)
    launch.go_alone()
    assert (launch.launcher(), launch.rank(), launch.world_size(), launch.local_size()) == (None, 0, 1, 1)


def test_stages_and_processes_share_the_cores(environment, monkeypatch):
    monkeypatch.setattr(launch.os, "sched_getaffinity", lambda _: range(12), raising=False)
    assert (launch.cores(), launch.threads()) == (12, None)
    environment(BKDSNN_SHARE="3")
    assert (launch.cores(), launch.threads()) == (4, 4)
    environment(**TORCHRUN)  # two of them here
    assert (launch.cores(), launch.threads()) == (2, 2)
    environment(BKDSNN_SHARE="100")
    assert launch.cores() == 1
    environment(BKDSNN_SHARE="0")
    with pytest.raises(InputError, match="BKDSNN_SHARE: '0' is no number of stages"):
        launch.cores()


def test_only_process_0_talks_to_mlflow(environment, monkeypatch):
    monkeypatch.delenv("BKDSNN_TRACKING", raising=False)
    environment(**TORCHRUN)
    assert isinstance(tracking.training_tracker(name="a", kind="student", seed=0, identity=""), tracking.NoTracker)
    assert launch.no_bar() is True


def test_a_batch_with_fewer_samples_than_processes_is_refused_before_work_begins(environment, data):
    environment(RANK="0", WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
    Batches(data, batch_size=19, device="cpu")  # 40 samples: 19, 19, 2
    with pytest.raises(InputError, match="2 processes cannot share a batch of 1: 40 training samples in batches of 13"):
        Batches(data, batch_size=13, device="cpu")


def test_shares_of_a_split_are_all_of_it(environment, data):
    found = []
    for rank in ("0", "1", "2"):
        environment(RANK=rank, WORLD_SIZE="3", LOCAL_WORLD_SIZE="3")
        found += [i for batch in Batches(data, batch_size=4, device="cpu").shared("validation") for i in batch.index]
    assert found == data.splits["validation"].tolist()
