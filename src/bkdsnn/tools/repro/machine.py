"""How many stages the machine can run at once, and what each of them is told of that."""

import itertools
import os
from pathlib import Path

from bkdsnn import environment
from bkdsnn.distributed import launcher
from bkdsnn.errors import InputError
from bkdsnn.params.schema import Params

_NVIDIA = Path("/proc/driver/nvidia/gpus")


def jobs_of(text: str, params: Params) -> int:
    """The number that JOBS asks for; empty: the cores for one-thread recipes, else the GPUs, else 1."""
    if text:
        if not text.isdecimal() or not 1 <= int(text) <= 1024:
            raise InputError(f"JOBS={text}: wanted a number of stages to run at once, 1 to 1024")
        return int(text)
    recipes = {run.recipe for run in params.runs.values()}
    if all(params.recipes[recipe].threads == 1 for recipe in recipes):
        return launcher.cores()
    return max(len(gpus()), 1)


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA calls them; found without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # unlike others it means something where it is empty: none
    if visible is None:
        return [str(number) for number, _ in enumerate(_NVIDIA.iterdir())] if _NVIDIA.is_dir() else []
    names = [name.strip() for name in visible.split(",")]
    return list(itertools.takewhile(lambda name: name and not name.startswith("-"), names))


def environment_of(jobs: int) -> dict[str, str]:
    """The environment of stages of which so many run at once: a part of the cores each, and a GPU of their own."""
    result = dict(os.environ)
    if jobs == 1:
        return result
    result["BKDSNN_SHARE"] = str(jobs * (environment.read("BKDSNN_SHARE") or 1))
    if gpus() and environment.accelerator() != "cpu" and not environment.read("BKDSNN_DEVICE_POOL"):
        result["BKDSNN_DEVICE_POOL"] = ",".join(gpus())
    return result
