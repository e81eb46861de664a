"""One training step measured at its true size on random data: parameters, time, peak memory, operations."""

import ctypes
import gc
import logging
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bkdsnn.build import feature_shapes, make_method
from bkdsnn.contracts import Batch, NetOutput, Shape
from bkdsnn.distributed.device import this_device
from bkdsnn.distributed.fabric import make_fabric
from bkdsnn.evaluation.activity import parameter_count
from bkdsnn.layers.fused.switch import apply_speed
from bkdsnn.seeding import draw_keys, make_deterministic
from bkdsnn.teachers.live import LiveTeacher
from bkdsnn.tools.parts import build
from bkdsnn.tools.plan.job import Job, Measured, Taught
from bkdsnn.training.loop import Learner
from bkdsnn.training.optimiser import make_optimiser

SIZES = (2, 4)  # batches that are measured on a CPU; the true one lies on the line through them
_ROUNDS, _BUDGET = 4, 4.0  # so many repetitions at most, no new ones after so many seconds
_PEAK = Path("/proc/self/clear_refs")


def measure(jobs: list[Job]) -> list[Measured]:
    """Builds the networks of every job and takes steps with two batches; meant for a process of its own.

    A teacher that several jobs share is measured once.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)  # its word on the precision, for every job
    teachers: dict[str, Taught] = {}
    found = []
    for job in jobs:
        key = f"{job.teacher} {job.teacher_shape} {job.classes} {job.part} {job.recipe.teacher_precision}"
        if key not in teachers:
            teachers[key] = _teach(job)
        found.append(_measure(job, teachers[key]))
    return found


def sizes(job: Job, device: torch.device) -> tuple[int, int]:
    """The batches that are measured: on a GPU the true part and its half, as launches set the time of small ones."""
    whole = max(job.part, 2)
    return SIZES if device.type == "cpu" else (whole // 2, whole)


def _measure(job: Job, taught: Taught) -> Measured:
    make_deterministic(threads=job.recipe.threads, tf32=job.recipe.speed.tf32)
    torch.manual_seed(0)
    fabric = make_fabric(precision=job.recipe.precision, device=this_device(portable=job.recipe.portable))
    device = fabric.device
    batches = {size: _batch(job, size, job.input_shape, device) for size in sizes(job, device)}
    first = min(batches)
    student = build(job.student.model_dump(), input_shape=job.input_shape, classes=job.classes).to(device)
    apply_speed(student, job.recipe.speed)
    shapes = feature_shapes(student, input_shape=job.input_shape)
    taught_shapes = taught.outputs[first].feature_shapes() if job.teacher else {}
    size = {"samples": max(batches), "classes": job.classes}
    method = make_method(job.method, job.settings, student=shapes, teacher=taught_shapes, **size, seed=0)
    learner = Learner(student, method.to(device))
    module, optimiser = fabric.setup(learner, make_optimiser(learner, job.recipe.optimiser))
    module.train()

    def step(size: int) -> None:
        loss = torch.stack(list(module(batches[size], taught.outputs[size]).values())).sum()
        optimiser.zero_grad()
        fabric.backward(loss)
        optimiser.step()

    flop = _flop(lambda: step(first)) / first  # it also makes the optimiser's state, which counts in the memory
    memory = {}
    for size in batches:
        _forget_peak(device)
        step(size)
        memory[size] = _peak_gib(device)
    times = _times(step, tuple(batches), device)
    return Measured(
        parameters=parameter_count(student),
        step_seconds=_fastest(times),
        teacher_seconds=taught.seconds,
        memory=memory,
        step_flop=flop,
        teacher_flop=taught.flop,
        outputs=_numbers(taught.outputs[first]) // first,
        spread=max(max(found) / min(found) for found in times.values()),
    )


def _teach(job: Job) -> Taught:
    make_deterministic(threads=job.recipe.threads, tf32=job.recipe.speed.tf32)
    device = make_fabric(precision="32-true", device=this_device(portable=job.recipe.portable)).device  # as teachers
    wanted = sizes(job, device)
    if job.teacher is None:
        return Taught(dict.fromkeys(wanted), dict.fromkeys(wanted, 0.0), 0.0)
    network = build(job.teacher.model_dump(), input_shape=job.teacher_shape, classes=job.classes).to(device)
    teacher = LiveTeacher(network, features=job.teacher.features, precision=job.recipe.teacher_precision)
    batches = {size: _batch(job, size, job.teacher_shape, device) for size in wanted}
    return Taught(
        outputs={size: teacher(batch) for size, batch in batches.items()},
        seconds=_fastest(_times(lambda size: teacher(batches[size]), wanted, device)),
        flop=_flop(lambda: teacher(batches[wanted[0]])) / wanted[0],
    )


def _batch(job: Job, size: int, shape: Shape, device: torch.device) -> Batch:
    index = torch.arange(size)
    labels: Tensor = index % job.classes
    if job.recipe.augmentation.mixup is not None:
        labels = torch.nn.functional.one_hot(labels, job.classes).float()
    return Batch(
        inputs=torch.rand(size, *shape, device=device),
        labels=labels.to(device),
        index=index,
        draws=draw_keys("method", seed=0, epoch=0, index=index).to(device),
        view=0,
    )


def _numbers(output: NetOutput | None) -> int:
    return sum(tensor.numel() for tensor in (output.logits, *output.features.values())) if output else 0


def _flop(work: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def _fastest(times: dict[int, list[float]]) -> dict[int, float]:
    """Of the repetitions by batch: what else the machine does can only add."""
    return {size: min(found) for size, found in times.items()}


def _times(work: Callable[[int], object], batches: tuple[int, ...], device: torch.device) -> dict[int, list[float]]:
    """Seconds of a few repetitions by batch, taken by turns."""
    times: dict[int, list[float]] = {size: [] for size in batches}
    begun = time.perf_counter()
    for size in batches * _ROUNDS:
        start = time.perf_counter()
        work(size)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times[size].append(time.perf_counter() - start)
        if size == batches[-1] and start - begun > _BUDGET:
            break
    return times


def _forget_peak(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _PEAK.exists():
        ctypes.CDLL(None).malloc_trim(0)  # glibc would keep what earlier steps have freed
        _PEAK.write_text("5")


def _peak_gib(device: torch.device) -> float:
    """Peak memory since `_forget_peak`: the device's, or the process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    if _PEAK.exists():
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
