"""Which of how many processes this is, as the launcher says (torchrun, srun); without one: the first of one."""

import os

from bkdsnn.errors import InputError


def rank() -> int:
    """This process's number, from 0."""
    return _number("RANK", "SLURM_PROCID", default=0)


def world_size() -> int:
    """How many processes the launcher started."""
    return _number("WORLD_SIZE", "SLURM_NTASKS", default=1)


def _number(*names: str, default: int) -> int:
    for name in names:
        if name in os.environ:
            if not os.environ[name].isdecimal():
                raise InputError(f"{name}: '{os.environ[name]}' is no number of a process")
            return int(os.environ[name])
    return default
