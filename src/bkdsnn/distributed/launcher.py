"""The processes that a launcher (torchrun, srun) started for one stage: from its variables, without importing torch.

`$LAUNCH` in dvc.yaml chooses the launcher, `BKDSNN_SHARE` says how many stages share the machine; neither is hashed.
"""

import os
import re
import signal
from typing import Literal

from bkdsnn import environment
from bkdsnn.errors import InputError


def launcher() -> Literal["torchrun", "srun"] | None:
    """Who started this process with others. A batch script has SLURM's variables too, only a step of `srun` its count.

    Platforms set torchrun's for a process that is alone.
    """
    if environment.foreign("RANK") and _count("WORLD_SIZE") > 1:
        return "torchrun"
    return "srun" if _count("SLURM_STEP_NUM_TASKS") > 1 else None


def rank() -> int:
    """This process's number among those of the stage; process 0 writes, prints and tracks."""
    found = _number({"torchrun": "RANK", "srun": "SLURM_PROCID"}, alone=0)
    if found > 0 and found >= world_size():
        raise InputError(f"{launcher()} has numbered this process {found}, of {world_size()} from 0 on; unset RANK")
    return found


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


def endings() -> list[signal.Signals]:
    """The signals by which a terminal or a scheduler ends a job; what nohup ignores stays ignored."""
    hung_up = [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hung_up]


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
        hint = "start it with --ntasks-per-node" if found == "srun" else "start it with torchrun, or unset WORLD_SIZE"
        raise InputError(f"{found} has not set {names[found]}; {hint}")
    return _whole(names[found], text)


def _count(name: str) -> int:
    return _whole(name, environment.foreign(name) or "1")


def _whole(name: str, text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise InputError(f"{name}: '{text}' is no whole number; a launcher sets it: unset it where there is none")
    return int(text)
