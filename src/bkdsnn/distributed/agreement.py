"""What the processes of a run tell each other beside tensors: over gloo on the host, whatever carries the tensors.

There one waits as long as it takes (a group's own time limit, NCCL's among them, ends a wait for a file lock after
minutes), no step waits for a GPU, and a process that has died is noticed at the next word.
"""

from datetime import timedelta
from functools import cache
from typing import Any

import torch
from torch import distributed

from bkdsnn.distributed.batch_statistics import several

_ANY_TIME = timedelta(days=365)


def prepare() -> None:
    """Lets the processes meet, right after they have met for their tensors."""
    if several():
        _group()


def of_first(value: Any) -> Any:
    """Process 0's value, on every process."""
    if not several():
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0, group=_group(), device=torch.device("cpu"))
    return values[0]


def largest(number: int) -> int:
    """The largest of all processes' numbers; every process has to ask."""
    if not several():
        return number
    found = torch.tensor(number)
    distributed.all_reduce(found, distributed.ReduceOp.MAX, group=_group())
    return int(found)


@cache
def _group() -> "distributed.ProcessGroup":  # quoted: not every build of torch has it
    return distributed.new_group(backend="gloo", timeout=_ANY_TIME)
