"""What a distillation step costs here, beside SpikingJelly's stock layers: `python -m bkdsnn.tools.bench.step PART`.

PART is ratios (time), memory, switches, or lines (against T and batch). Every ratio is of one run, in which the
contenders take turns; medians of at least 5 steps.
"""

import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch

from bkdsnn.command import run_stage
from bkdsnn.errors import InputError
from bkdsnn.seeding import make_deterministic
from bkdsnn.tools.bench.contenders import OURS, PAIRS, RATIOS, SWITCHES, Setup, step_of

ROUNDS = 5


def bench(part: str) -> None:
    parts = {"ratios": _ratios, "memory": _memory, "switches": _switches, "lines": _lines, "one": _one}
    if part.split("=")[0] not in parts:
        raise InputError(f"unknown part '{part}': there are ratios, memory, switches, lines")
    make_deterministic(threads=None)
    if part.startswith("one="):
        _one(part.removeprefix("one="))
        return
    print(f"{_cpu()}, {torch.get_num_threads()} threads, torch {torch.__version__}; python -m {__spec__.name} {part}")
    parts[part]()


def _ratios() -> None:
    for student, teacher in PAIRS:
        contenders = {name: replace(setup, student=student, teacher=teacher) for name, setup in RATIOS.items()}
        _compare(f"mixed BKD step of {student} under {teacher}, 32 x 32, T 4, batch 32", contenders)


def _switches() -> None:
    _compare("the same step, one switch changed at a time", SWITCHES)


def _memory() -> None:
    print("\npeak memory of a process that takes 3 steps, MB, and its ratio to the first")
    first = None
    for name, setup in {**RATIOS, **SWITCHES}.items():
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
    steps = {name: step_of(setup) for name, setup in contenders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(ROUNDS):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    print(f"\n{title}: ms (median of {ROUNDS}, and the fastest), images/s, times as fast as the first")
    first = statistics.median(next(iter(seconds.values())))
    for name, found in seconds.items():
        median = statistics.median(found)
        rate, per_unit = contenders[name].batch_size / median, f"  {1e3 * median / units[name]:.1f}" if units else ""
        print(f"  {1e3 * median:7.0f}  {1e3 * min(found):7.0f}  {rate:7.1f}  {first / median:5.2f}  {name}{per_unit}")


def _one(text: str) -> None:
    step = step_of(Setup(**json.loads(text)))
    for _ in range(3):
        step()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    run_stage(bench)
