"""What a distillation step costs here, beside SpikingJelly's stock layers: `python -m bkdsnn.tools.bench_step PART`.

PART is ratios (time), memory, switches, or lines (against T and batch). Every ratio is of one run, in which the
contenders take turns; medians of at least 5 steps.
"""

import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bkdsnn import catalogue
from bkdsnn.contracts import Batch, NetOutput
from bkdsnn.errors import InputError
from bkdsnn.optimisation import make_optimiser
from bkdsnn.params import Optimiser, Speed
from bkdsnn.seeding import draw_keys, make_deterministic
from bkdsnn.speed import hasten
from bkdsnn.stage import run_stage
from bkdsnn.teachers import LiveTeacher
from bkdsnn.tools.bench_stock import SewResNet, Spikingformer
from bkdsnn.tools.parts import build, composed_parts

ROUNDS = 5
STOCK = {"spikingformer-4-384-cifar": Spikingformer, "sew-small-cifar": SewResNet}
VIT, RESNET = "vit-small-cifar", "resnet-small-cifar"  # the official recipe's teacher, and a SEW-ResNet's twin
PAIRS = (("spikingformer-4-384-cifar", VIT), ("sew-small-cifar", VIT), ("sew-small-cifar", RESNET))


@dataclass(frozen=True)
class Setup:
    """One contender: the official recipe's step, or ours with its switches."""

    student: str = "spikingformer-4-384-cifar"
    teacher: str = VIT
    stock: bool = False
    live: bool = False
    precision: str = "bf16"
    channels_last: bool = True
    fused_neurons: bool = True
    compile: bool = False
    batch_size: int = 32
    time_steps: int = 4


OURS = Setup()
BASELINE = replace(OURS, stock=True, live=True, precision="fp32")
RATIOS = {
    "baseline: stock layers, fp32, live teacher": BASELINE,
    "ours, fp32, live teacher": replace(OURS, live=True, precision="fp32"),
    "ours, bf16, live teacher": replace(OURS, live=True),
    "ours, bf16, cached teacher": OURS,
}
SWITCHES = {
    "all: bf16, cache, channels_last, fused neurons": OURS,
    "with torch.compile": replace(OURS, compile=True),
    "SpikingJelly's neurons": replace(OURS, fused_neurons=False),
    "channels first": replace(OURS, channels_last=False),
    "fp32": replace(OURS, precision="fp32"),
    "live teacher": replace(OURS, live=True),
}


class _Held:
    """A teacher's outputs, read from memory-mapped arrays as a cache's are."""

    def __init__(self, teacher: LiveTeacher, batch: Batch) -> None:
        output = teacher(batch)
        self._folder = tempfile.TemporaryDirectory()
        self._arrays = {}
        for name, tensor in {"logits": output.logits, **output.features}.items():
            path = Path(self._folder.name) / f"{name}.npy"
            np.save(path, tensor.transpose(0, 1).numpy())  # [B, T, ...]
            self._arrays[name] = np.load(path, mmap_mode="r")

    def __call__(self, batch: Batch) -> NetOutput:
        rows = batch.index.numpy()
        outputs = {name: torch.from_numpy(array[rows]).transpose(0, 1) for name, array in self._arrays.items()}
        return NetOutput(logits=outputs.pop("logits"), features=outputs)


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
    steps = {name: _step(setup) for name, setup in contenders.items()}
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
    step = _step(Setup(**json.loads(text)))
    for _ in range(3):
        step()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def _step(setup: Setup) -> Callable[[], None]:
    """One whole step: teacher, student, method, backward, optimiser."""
    parts = composed_parts()
    shape = (3, 32, 32)
    if setup.stock:
        torch.manual_seed(0)
        student = STOCK[setup.student](time_steps=setup.time_steps)
    else:
        part = parts["students"][setup.student]
        part["settings"]["time_steps"] = setup.time_steps
        student = build(part, input_shape=shape, classes=10)
        hasten(student, Speed(**{name: getattr(setup, name) for name in Speed.model_fields}))
    teacher = LiveTeacher(build(parts["teachers"][setup.teacher], input_shape=shape, classes=10), features=["last"])
    batch = _batch(setup.batch_size, shape)
    if not setup.live:
        teacher = _Held(teacher, batch)
    learner, method = student, _method(parts["methods"]["mixed"], student, teacher(batch), batch)
    optimiser = make_optimiser(
        nn.ModuleList([learner, method]), Optimiser(name="adamw", lr=5e-4, weight_decay=0.06, momentum=0.9)
    )

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=setup.precision == "bf16"):
            output = learner(batch.inputs)
            terms = method(student=output, teacher=teacher(batch), labels=batch.labels, draws=batch.draws)
            loss: Tensor = sum(terms.values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    student.train()
    return step


def _batch(size: int, shape: tuple[int, ...]) -> Batch:
    torch.manual_seed(0)
    index = torch.arange(size)
    draws = draw_keys("method", seed=0, epoch=0, index=index)
    return Batch(inputs=torch.randn(size, *shape), labels=index % 10, index=index, draws=draws, view=0)


def _method(part: dict, student: nn.Module, teacher_output: NetOutput, batch: Batch) -> nn.Module:
    module = catalogue.load("method", part["method"])
    with torch.no_grad():
        shapes = student.eval()(batch.inputs[:2]).feature_shapes()
    torch.manual_seed(0)
    return module.Method(module.Settings(**part["settings"]), student=shapes, teacher=teacher_output.feature_shapes())


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    run_stage(bench)
