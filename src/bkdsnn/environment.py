"""Every environment variable that the project is told by: what it is for, and what it may be. None is hashed."""

import math
import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from bkdsnn.errors import InputError


class Variable(NamedTuple):
    """What a variable is for, what it may be in words, what it is where it is not set, and how its text is read.

    `read` gives None for a text that is not allowed.
    """

    meaning: str
    allowed: str
    default: str
    read: Callable[[str], Any]


def _count(least: int, most: float = math.inf) -> Callable[[str], int | None]:
    return lambda text: int(text) if re.fullmatch(r"[0-9]{1,9}", text) and least <= int(text) <= most else None


def _amount(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None


def _one_of(**values: Any) -> Callable[[str], Any]:
    return lambda text: values.get(text.lower())


def _folder(text: str) -> str | None:
    """A shell has left `~` where it was quoted, and nobody's data lie in a folder of blanks."""
    return text if text.strip() and not text.startswith("~") and not os.path.isfile(text) else None


def _devices(text: str) -> list[str] | None:
    one = r"([0-9]+|(GPU|MIG)-[\w/-]+)"  # as CUDA_VISIBLE_DEVICES names them
    return text.split(",") if re.fullmatch(f"{one}(,{one})*", text) else None


_SWITCH = {"on": "on", "1": "on", "true": "on", "off": "off", "0": "off", "false": "off"}
_ACCELERATORS = {"auto": "auto", "cpu": "cpu", "cuda": "cuda", "gpu": "cuda", "mps": "mps"}
VARIABLES = {
    "BKDSNN_DATA": Variable("the folder of the data sets as published", "folder (without ~)", "raw", _folder),
    "BKDSNN_ACCELERATOR": Variable(
        "the device of training and evaluation", "device of auto, cpu, cuda, mps", "auto", _one_of(**_ACCELERATORS)
    ),
    "BKDSNN_DEVICE_POOL": Variable(
        "GPUs of which each stage takes a free one", "list of devices, such as 0,1", "", _devices
    ),
    "BKDSNN_SHARE": Variable("how many stages share this machine's cores", "number of stages", "1", _count(1)),
    "BKDSNN_WORKERS": Variable(
        "processes that augment images", "number of processes, 0 to 256", "the cores", _count(0, 256)
    ),
    "BKDSNN_CHECKPOINT_MINUTES": Variable(
        "how often a training run's state is saved", "number of minutes (0 saves after every step)", "10", _amount
    ),
    "BKDSNN_CACHE_LIMIT_GB": Variable("the most that a cache may take", "number of GB", "no limit", _amount),
    "BKDSNN_TRACKING": Variable("whether MLflow keeps the runs", "switch (on, off)", "on", _one_of(**_SWITCH)),
    "BKDSNN_TRACKER_SOCKET": Variable(
        "where stages reach the MLflow process that `make repro` started; set by it", "socket", "", str
    ),
    "BKDSNN_DEBUG": Variable("a traceback with every one-line error", "switch (on, off)", "off", _one_of(**_SWITCH)),
}
# What other programs set: launchers, DVC, MLflow. They are read as they are.
FOREIGN = {
    "RANK": "torchrun",
    "WORLD_SIZE": "torchrun",
    "LOCAL_WORLD_SIZE": "torchrun",
    "LOCAL_RANK": "torchrun",
    "SLURM_PROCID": "srun",
    "SLURM_NTASKS": "srun",
    "SLURM_NTASKS_PER_NODE": "srun",
    "SLURM_LOCALID": "srun",
    "SLURM_STEP_NUM_TASKS": "srun",
    "DVC_ROOT": "DVC: the main checkout, also for a queued experiment",
    "DVC_EXP_NAME": "DVC: the experiment",
    "DVC_EXP_BASELINE_REV": "DVC: the commit that it starts from",
    "MLFLOW_TRACKING_URI": "MLflow: the store (default: mlflow.db in the main checkout)",
    "MLFLOW_EXPERIMENT_NAME": "MLflow: the experiment there (default: bkdsnn)",
    "CC": "compilers: the C compiler that Triton calls",
    "CUDA_VISIBLE_DEVICES": "CUDA: the GPUs that there are",
}


def check() -> None:
    """Raises `InputError` with the first variable of ours that is not what it may be."""
    for name in VARIABLES:
        read(name)


def read(name: str) -> Any:
    """The value of a variable of ours, None where it is not set; `InputError` where it is not what it may be."""
    text, variable = os.environ.get(name, ""), VARIABLES[name]
    if not text:
        return None
    value = variable.read(text)
    if value is None:
        raise InputError(f"{name}: '{text}' is no {variable.allowed}: {variable.meaning}")
    return value


def foreign(name: str) -> str | None:
    """The text of a variable that another program sets, None where it is not set or empty."""
    assert name in FOREIGN, name
    return os.environ.get(name) or None


def forget(*names: str) -> None:
    """Unsets variables for this process and those that it starts."""
    for name in names:
        os.environ.pop(name, None)


def put(name: str, value: str) -> None:
    """Sets a variable for this process and those that it starts."""
    os.environ[name] = value


def put_default(name: str, value: str) -> None:
    """The same where it is not set."""
    os.environ.setdefault(name, value)


def everything() -> dict[str, str]:
    """All variables, as a process that is started gets them."""
    return dict(os.environ)


def replace(values: dict[str, str]) -> None:
    """Makes these all variables that there are."""
    os.environ.clear()
    os.environ.update(values)


def has(values: dict[str, str]) -> bool:
    """Whether all these variables are set so."""
    return values.items() <= os.environ.items()


def tracked() -> bool:
    """Whether MLflow keeps the runs."""
    return read("BKDSNN_TRACKING") != "off"


def accelerator() -> str:
    """The device that is asked for: auto, cpu, cuda or mps."""
    return read("BKDSNN_ACCELERATOR") or "auto"


def debugging() -> bool:
    """Whether a one-line error is told with its traceback, also where the variable itself is what is wrong."""
    return _one_of(**_SWITCH)(os.environ.get("BKDSNN_DEBUG", "")) == "on"
