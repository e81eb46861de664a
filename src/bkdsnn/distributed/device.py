"""The one device of this process, the same in training, caching and evaluation."""

import shutil
import sysconfig
from pathlib import Path

import torch
from torch import Tensor

from bkdsnn import environment
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
    if kind == "cuda":
        check_compiler()
    if kind == "cpu" and (taken := gpu_pool.taken()):
        raise InputError(f"BKDSNN_DEVICE_POOL: {taken} is asked for, and is no GPU that this machine has")
    return torch.device("cpu") if kind == "cpu" else torch.device(kind, launcher.local_rank())


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; to a GPU it is copied from pinned memory, so that no step waits for the copy."""
    if torch.device(device).type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def check_compiler() -> None:
    """Raises `InputError` where Triton could not build what launches a neuron's kernel: said before work starts."""
    lacking = []
    if not (environment.foreign("CC") or shutil.which("gcc") or shutil.which("clang")):
        lacking.append("a C compiler (gcc, clang, or CC=...)")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        lacking.append(f"Python's headers ({sysconfig.get_path('include')}/Python.h)")
    if lacking:
        raise InputError(
            f"neurons on a GPU are compiled by Triton, which needs {' and '.join(lacking)}: install them (on Debian "
            "gcc and python3-dev), or train on the CPU: BKDSNN_ACCELERATOR=cpu"
        )
