"""The bytes of the weights after some steps in a fresh process."""

import hashlib
import json

import torch
from torch import nn

from bkdsnn.command import run_stage
from bkdsnn.distributed.device import this_device
from bkdsnn.tools.bench.contenders import Setup, contender_of
from bkdsnn.tools.gpu_check import luggage
from bkdsnn.tools.gpu_check.rows import Row, tell


def steps(argument: str) -> None:
    """Tells one row: the SHA-256 of all parameters and buffers."""
    given = json.loads(argument)
    setup, device = Setup(**given["setup"]), this_device(portable=False)
    if setup.compile:
        from torch._inductor import config

        config.force_disable_caches = True  # or the second process would take what the first has compiled
    contender = contender_of(setup, device=device, parts=luggage.content()["parts"])
    for _ in range(given["steps"]):
        contender.step()
    compiled = "forward" in vars(contender.learner.student)
    finite = all(bool(value.isfinite().all()) for value in contender.learner.parameters())
    tell(Row("weights", sha256_of(contender.learner), finite, {"compiled": compiled}))


def sha256_of(module: nn.Module) -> str:
    """The SHA-256 of all parameters and buffers, with their names."""
    found = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()


if __name__ == "__main__":
    run_stage(steps)
