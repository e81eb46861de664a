"""The processes that a launcher (torchrun, srun) started for one stage: from its variables, without importing torch.

`$LAUNCH` in dvc.yaml chooses the launcher, `BKDSNN_SHARE` says how many stages share the machine; neither is hashed.
"""

import os
from typing import Literal

from bkdsnn import environment
from bkdsnn.errors import InputError


def launcher() -> Literal["torchrun", "srun"] | None:
    """Who started this process. A batch script has SLURM's variables too, only a step of `srun` has its own count."""
    if environment.foreign("RANK") and environment.foreign("WORLD_SIZE"):
        return "torchrun"
    return "srun" if int(environment.foreign("SLURM_STEP_NUM_TASKS") or 1) > 1 else None


def rank() -> int:
    """This process's number among those of the stage; process 0 writes, prints and tracks."""
    return _number({"torchrun": "RANK", "srun": "SLURM_PROCID"}, alone=0)


def world_size() -> int:
    """How many processes work on this stage."""
    return _number({"torchrun": "WORLD_SIZE", "srun": "SLURM_NTASKS"}, alone=1)


def local_size() -> int:
    """How many of them run on this machine."""
    return _number({"torchrun": "LOCAL_WORLD_SIZE", "srun": "SLURM_NTASKS_PER_NODE"}, alone=1)


def local_rank() -> int:
    """This process's number among those of its machine: that of its device, too."""
    return _number({"torchrun": "LOCAL_RANK", "srun": "SLURM_LOCALID"}, alone=0)


def go_alone() -> None:
    """Process 0 goes on as the only one, in a stage whose work cannot be shared; the others have left."""
    environment.forget("RANK", "WORLD_SIZE", "SLURM_STEP_NUM_TASKS")


def cores() -> int:
    """How many cores this process may use: its part of the machine's."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(found // _sharers(), 1)


def threads() -> int | None:
    """How many threads torch may use where the machine is shared; None: it is not, torch decides."""
    return cores() if _sharers() > 1 else None


def no_bar() -> bool | None:
    """tqdm's `disable`: a process other than 0 shows no progress bar, process 0 (None) shows it on a terminal."""
    return True if rank() else None


def _sharers() -> int:
    return (environment.read("BKDSNN_SHARE") or 1) * local_size()


def _number(names: dict[str, str], *, alone: int) -> int:
    found = launcher()
    if found is None:
        return alone
    text = environment.foreign(names[found])
    if text is None:
        hint = "start it with --ntasks-per-node" if found == "srun" else "torchrun sets it"
        raise InputError(f"{found} has not set {names[found]}; {hint}")
    return int(text)
