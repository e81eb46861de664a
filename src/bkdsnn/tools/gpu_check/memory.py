"""A training that gets too little memory, on purpose: the stage `train_student` as it stands, in this process."""

import json
import runpy
import sys

import torch

from bkdsnn.command import run_stage
from bkdsnn.distributed.device import this_device
from bkdsnn.errors import InputError
from bkdsnn.tools.gpu_check.luggage import ROOT
from bkdsnn.trained import Trained
from bkdsnn.training import run


def memory(argument: str) -> None:
    """Trains the run; the memory goes where its steps begin."""
    whole_memory = run.train

    def train(*arguments: object, **named: object) -> Trained:
        _take_memory(this_device(portable=False))
        return whole_memory(*arguments, **named)

    run.train = train
    sys.argv = ["train_student", json.loads(argument)["run"]]
    runpy.run_path(str(ROOT / "stages/train_student.py"), run_name="__main__")
    raise InputError("the memory was enough")


def _take_memory(device: torch.device) -> None:
    """A GPU gives no block any more that it has not given yet; a CPU is asked for what none has."""
    if device.type != "cuda":  # a limit on the process would end the compiler of our kernels, not a step
        torch.empty(1 << 50, dtype=torch.uint8)
        return
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(torch.cuda.memory_reserved(device) / whole, device)


if __name__ == "__main__":
    run_stage(memory)
