"""The one device of this process, the same in training, caching and evaluation."""

import torch

from bkdsnn.distributed import gpu_pool, launcher
from bkdsnn.errors import InputError
from bkdsnn.portable import accelerator


def this_device(*, portable: bool) -> torch.device:
    """This process's own accelerator of this machine, or the CPU; `BKDSNN_ACCELERATOR` asks for one of them.

    A portable recipe's device is the CPU. Raises `InputError` where the machine has not what is asked for.
    """
    wanted = accelerator(portable=portable)
    if wanted == "cpu":
        return torch.device("cpu")
    gpu_pool.take_device()
    there = torch.accelerator.current_accelerator(check_available=True)
    kind = there.type if there else "cpu"
    if wanted not in ("auto", kind):
        raise InputError(f"BKDSNN_ACCELERATOR: {wanted} is asked for, this machine has {kind}")
    if kind == "cpu" and (taken := gpu_pool.taken()):
        raise InputError(f"BKDSNN_DEVICE_POOL: {taken} is asked for, and is no GPU that this machine has")
    return torch.device("cpu") if kind == "cpu" else torch.device(kind, launcher.local_rank())
