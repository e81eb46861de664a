"""What a distillation step costs here, beside SpikingJelly's stock layers: `python -m bkdsnn.tools.bench.step PART`.

PART is ratios (time), memory, switches, or lines (against T and batch). Every ratio is of one run, in which the
contenders take turns; medians of at least 5 steps. On a GPU (or what `BKDSNN_ACCELERATOR` says) batches are larger, as
small ones measure its launches, and memory is what torch has allocated there.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace

import torch

from bkdsnn import portable
from bkdsnn.command import run_stage
from bkdsnn.distributed.device import this_device
from bkdsnn.errors import InputError
from bkdsnn.seeding import make_deterministic
from bkdsnn.tools.bench.contenders import OURS, PAIRS, RATIOS, SWITCHES, Setup, contender_of
from bkdsnn.tools.parts import composed_parts

ROUNDS = 5
ON_GPU = 4  # times the batch of a CPU


def bench(part: str) -> None:
    parts = {"ratios": _ratios, "memory": _memory, "switches": _switches, "lines": _lines, "one": _one}
    if part.split("=")[0] not in parts:
        raise InputError(f"unknown part '{part}': there are ratios, memory, switches, lines")
    make_deterministic(threads=None)
    if part.startswith("one="):
        _one(part.removeprefix("one="))
        return
    print(f"{_machine()}, torch {torch.__version__}; python -m {__spec__.name} {part}")
    parts[part]()


def _ratios() -> None:
    for student, teacher in PAIRS:
        contenders = {name: replace(setup, student=student, teacher=teacher) for name, setup in _sized(RATIOS).items()}
        _compare(f"mixed BKD step of {student} under {teacher}, 32 x 32, T 4, batch {_batch()}", contenders)


def _switches() -> None:
    _compare("the same step, one switch changed at a time", _sized(SWITCHES))


def _memory() -> None:
    print("\npeak memory of a process that takes 3 steps, MB, and its ratio to the first")
    first = None
    for name, setup in _sized({**RATIOS, **SWITCHES}).items():
        command = [sys.executable, "-m", __spec__.name, f"one={json.dumps(asdict(setup))}"]
        peak = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
        first = first or peak
        print(f"  {peak:7.0f}  {peak / first:5.2f}  {name}", flush=True)


def _lines() -> None:
    small = replace(OURS, student="spikingformer-4-256-cifar", batch_size=8)
    for field, values in (("time_steps", (1, 2, 4, 8, 16)), ("batch_size", (8, 16, 32, 64, 128))):
        contenders = {f"{field} {value}": replace(small, **{field: value}) for value in values}
        units = dict(zip(contenders, values, strict=True))
        _compare(f"spikingformer-4-256-cifar against {field}; last: ms for one of them", contenders, units)


def _compare(title: str, contenders: dict[str, Setup], units: dict[str, int] | None = None) -> None:
    device, parts = this_device(portable=False), composed_parts()
    steps = {name: contender_of(setup, device=device, parts=parts).step for name, setup in contenders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(ROUNDS):
        for name, step in steps.items():
            seconds[name].append(seconds_of(step, device))
    print(f"\n{title}: ms (median of {ROUNDS}, and the fastest), images/s, times as fast as the first")
    first = statistics.median(next(iter(seconds.values())))
    for name, found in seconds.items():
        median = statistics.median(found)
        rate, per_unit = contenders[name].batch_size / median, f"  {1e3 * median / units[name]:.1f}" if units else ""
        print(f"  {1e3 * median:7.0f}  {1e3 * min(found):7.0f}  {rate:7.1f}  {first / median:5.2f}  {name}{per_unit}")


def _one(text: str) -> None:
    setup, device = Setup(**json.loads(text)), this_device(portable=False)
    step = contender_of(setup, device=device, parts=composed_parts()).step
    for _ in range(3):
        step()
    print(peak_mb(device))


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """How long work takes until the device has done it."""
    _finish(device)
    start = time.perf_counter()
    work()
    _finish(device)
    return time.perf_counter() - start


def peak_mb(device: torch.device) -> float:
    """The most that the device's memory held of this process, or the process of the machine's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def _finish(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _sized(contenders: dict[str, Setup]) -> dict[str, Setup]:
    return {name: replace(setup, batch_size=_batch()) for name, setup in contenders.items()}


def _batch() -> int:
    return OURS.batch_size * (1 if this_device(portable=False).type == "cpu" else ON_GPU)


def _machine() -> str:
    device = this_device(portable=False)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{portable.processor()}, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    run_stage(bench)
