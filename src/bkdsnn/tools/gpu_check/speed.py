"""What a contender's step costs: images a second, how busy the device is, peak memory; and the loader alone."""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from bkdsnn.command import run_stage
from bkdsnn.data.batches import Batches
from bkdsnn.distributed.device import this_device
from bkdsnn.errors import InputError
from bkdsnn.params.recipe import Augmentation
from bkdsnn.tools.bench.contenders import Contender, Setup, contender_of
from bkdsnn.tools.bench.step import peak_mb, seconds_of
from bkdsnn.tools.gpu_check import luggage
from bkdsnn.tools.gpu_check.rows import Row, tell
from bkdsnn.tools.loading import random_images

_WARM, _ROUNDS, _PROFILED = 3, 5, 3


def speed(argument: str) -> None:
    """Tells one row about a setup, or without one about the loader alone."""
    given = json.loads(argument)
    if "setup" not in given:
        tell(_loader(given["name"], given["batch_size"], given["batches"]))
        return
    setup, device = Setup(**given["setup"]), this_device(portable=False)
    contender = contender_of(setup, device=device, parts=luggage.content()["parts"], constant_teacher=given["graph"])
    for _ in range(_WARM):
        contender.step()
    step = _captured(contender, device) if given["graph"] else contender.step
    per_round = _steps_of(seconds_of(step, device), budget=given["budget"])
    rounds = [seconds_of(lambda: [step() for _ in range(per_round)], device) / per_round for _ in range(_ROUNDS)]
    seconds = statistics.median(rounds)
    numbers = {"images_a_second": setup.batch_size / seconds, "ms": 1e3 * seconds, "batch_size": setup.batch_size}
    numbers["gib"] = peak_mb(device) * 1e6 / 2**30
    tell(Row(given["name"], _in_words(numbers), None, numbers))  # now: a profiler that does not work ends all
    if busy := _busy_seconds(step, device) / _PROFILED / seconds:
        numbers["busy"] = min(busy, 1.0)
        tell(Row(given["name"], _in_words(numbers), None, numbers))


def _in_words(numbers: dict[str, Any]) -> str:
    busy = f"{100 * numbers['busy']:.0f} %" if "busy" in numbers else "unknown"
    said = f"{numbers['images_a_second']:8.0f} images/s, {numbers['ms']:7.1f} ms a step"
    return f"{said}, busy {busy:>5}, peak {numbers['gib']:5.2f} GiB"


def _steps_of(seconds: float, *, budget: float) -> int:
    """How many steps make a round, so that all rounds take about the budget."""
    return max(1, int(budget / _ROUNDS / seconds))


def _captured(contender: Contender, device: torch.device) -> Callable[[], None]:
    """The whole step as one CUDA graph: its kernels are launched at once."""
    if device.type != "cuda":
        raise InputError(f"{device.type}: has no graphs")
    for group in contender.optimiser.param_groups:
        group["capturable"] = True
    for state in contender.optimiser.state.values():
        state["step"] = state["step"].to(device)
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):  # as PyTorch's notes on CUDA graphs ask for
        for _ in range(_WARM):
            contender.step()
    torch.cuda.current_stream(device).wait_stream(side)
    contender.optimiser.zero_grad()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        contender.step()
    return graph.replay


def _busy_seconds(step: Callable[[], None], device: torch.device) -> float:
    """How long the device worked in some steps: the union of its kernels' times (on a CPU of torch's operators')."""
    activity = ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU
    with profile(activities=[activity]) as found:
        seconds_of(lambda: [step() for _ in range(_PROFILED)], device)
    kind = torch.autograd.DeviceType.CUDA if device.type == "cuda" else torch.autograd.DeviceType.CPU
    kernels = [event for event in found.events() if event.device_type == kind and not event.is_user_annotation]
    return union(kernels) / 1e6


def union(events: list[Any]) -> float:
    """How many microseconds are covered by at least one event."""
    covered, end = 0.0, float("-inf")
    for start, stop in sorted((event.time_range.start, event.time_range.end) for event in events):
        covered += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return covered


def _loader(name: str, batch_size: int, count: int) -> Row:
    """How fast batches of CIFAR's recipe arrive on the device, where nothing is done with them."""
    rules, device = Augmentation(**luggage.content()["augmentation"]), this_device(portable=False)
    with tempfile.TemporaryDirectory() as folder:
        batches = Batches(random_images(Path(folder) / "images"), batch_size=batch_size, device=device)
        delivered = batches.shuffled(epoch=0, seed=0, augmentation=rules)
        next(delivered)  # the workers have started
        start = time.perf_counter()
        images = sum(len(batch.index) for batch, _ in zip(delivered, range(count), strict=False))
        seconds = time.perf_counter() - start
        delivered.close()
    return Row(name, f"{images / seconds:8.0f} images/s", None, {"images_a_second": images / seconds})


if __name__ == "__main__":
    run_stage(speed)
