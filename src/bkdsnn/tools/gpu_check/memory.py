"""A training stage that gets too little memory, on purpose: `train_student` as it stands, in this process."""

import json
import runpy
import sys
from typing import NoReturn

import torch

from bkdsnn.command import run_stage
from bkdsnn.distributed.device import this_device
from bkdsnn.errors import InputError
from bkdsnn.tools.gpu_check.luggage import ROOT
from bkdsnn.training import run

_LEFT = 8 << 20  # bytes of a GPU; a step of the smallest student takes more


def memory(argument: str) -> None:
    """Takes the memory away, and trains the run."""
    given, device = json.loads(argument), this_device(portable=False)
    if device.type == "cuda":
        whole = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(_LEFT / whole, device)
    else:
        run.train = _ask_for_too_much  # a limit on the process would end the compiler of our kernels, not the step
    sys.argv = ["train_student", given["run"]]
    runpy.run_path(str(ROOT / "stages/train_student.py"), run_name="__main__")
    raise InputError("the memory was enough")


def _ask_for_too_much(*_: object, **__: object) -> NoReturn:
    torch.empty(1 << 50, dtype=torch.uint8)
    raise InputError("the memory was enough for a petabyte")


if __name__ == "__main__":
    run_stage(memory)
