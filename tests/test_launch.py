"""The number of a process: torchrun's word, or SLURM's, or one alone."""

import pytest

from bkdsnn import launch
from bkdsnn.errors import InputError


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (0, 1)),
        ({"RANK": "1", "WORLD_SIZE": "2"}, (1, 2)),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}, (3, 4)),
        ({"RANK": "0", "WORLD_SIZE": "2", "SLURM_PROCID": "1", "SLURM_NTASKS": "8"}, (0, 2)),
    ],
)
def test_the_launcher_says_which_of_how_many(monkeypatch, environment, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (launch.rank(), launch.world_size()) == expected


def test_what_is_no_number_is_told(monkeypatch):
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(InputError, match="^RANK: 'first' is no number of a process$"):
        launch.rank()
