"""What the feature cache saves a table of runs that share one ViT-S/16 teacher (`make bench`).

Data are made up, weights are random: the wall time depends on neither.
"""

import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from bkdsnn import environment
from bkdsnn.build import feature_shapes, make_method
from bkdsnn.command import run_stage
from bkdsnn.contracts import Batch, NetOutput
from bkdsnn.data.batches import Batches
from bkdsnn.files import digest
from bkdsnn.layers.fused.switch import apply_speed
from bkdsnn.params.recipe import Augmentation, Speed
from bkdsnn.params.schema import MethodPart
from bkdsnn.seeding import make_deterministic
from bkdsnn.teachers.cache_writer import write_cache
from bkdsnn.teachers.cached import CachedTeacher
from bkdsnn.teachers.live import LiveTeacher
from bkdsnn.tools.loading import random_images
from bkdsnn.tools.parts import build, composed_augmentation, composed_parts, main_method

RUNS, EPOCHS, VIEWS, IMAGES, BATCH = 12, 2, 2, 64, 32
STUDENTS = ("sew-small-cifar", "spikingformer-4-256-cifar")
CIFAR = {"images": 45_000, "views": 32, "epochs": 300}


def bench_cache() -> None:
    """Trains a small table with the teacher live and cached, and says what a full one would take."""
    make_deterministic(threads=None)
    parts = composed_parts()
    rules = composed_augmentation("crop-flip").model_copy(update={"views": VIEWS})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment.put("DVC_ROOT", name)  # unfinished shards go there, and away with it
        data = random_images(folder / "data")
        data.splits["train"] = data.splits["train"][:IMAGES]
        batches = Batches(data, batch_size=BATCH, device=torch.device("cpu"))
        network = build(parts["teachers"]["vit-small-cifar"], input_shape=data.input_shape, classes=10)
        live = LiveTeacher(network, features=["last"])
        start = time.perf_counter()
        write_cache(
            folder / "cache",
            teacher=live,
            batches=batches,
            augmentation=rules,
            dtype="float16",
            teacher_digest="random",
            code={},
            rank=0,
            world=1,
        )
        building = time.perf_counter() - start
        cached = CachedTeacher(folder / "cache", data_digest=digest(data.folder), views=VIEWS, device=batches.device)
        student, method = _learner(parts, STUDENTS[0], cached, batches, rules)
        table = f"{RUNS} runs of {STUDENTS[0]}, {EPOCHS} epochs of {IMAGES} images, {VIEWS} views"
        print(f"a whole table, s: {table}, {torch.get_num_threads()} threads, fp32")
        seconds = {"live": 0.0, "cached": 0.0}
        for run in range(RUNS):  # by turns, so that what else the machine does falls on both
            for kind, teacher in (("live", live), ("cached", cached)):
                start = time.perf_counter()
                _train(copy.deepcopy(student), copy.deepcopy(method), teacher, batches, rules, seed=run)
                seconds[kind] += time.perf_counter() - start
        whole = building + seconds["cached"]
        print(f"  {seconds['live']:7.1f}         live teacher")
        print(f"  {whole:7.1f}         cached: {building:.1f} to build the cache, {seconds['cached']:.1f} to train")
        print(f"  {seconds['live'] / whole:8.2f} x      less time with the cache")
        _full_tables(parts, live, cached, batches, rules)


def _full_tables(parts: dict, live: LiveTeacher, cached: CachedTeacher, batches: Batches, rules: Augmentation) -> None:
    """Hours of 12 CIFAR runs, from the time of single steps: not measured as a whole."""
    batch = next(batches.ordered(0, BATCH, view=0, augmentation=rules))
    looks = {"live": _median(lambda: live(batch), times=5), "cached": _median(lambda: cached(batch), times=50)}
    size = ", ".join(f"{value:,} {name}" for name, value in CIFAR.items())
    print(f"\n{RUNS} whole runs, extrapolated from steps of {BATCH}: {size}; h live, h cached, ratio")
    print(f"  (teacher, s a step: {looks['live']:.3f} live, {looks['cached']:.5f} cached)")
    images = CIFAR["images"] / BATCH / 3600
    for name in STUDENTS:
        student, method = _learner(parts, name, cached, batches, rules)
        step = _stepper(student, method)
        seconds = _median(lambda step=step: step(batch, cached(batch)), times=5)
        hours = {kind: RUNS * CIFAR["epochs"] * images * (seconds + look) for kind, look in looks.items()}
        hours["cached"] += CIFAR["views"] * images * looks["live"]
        ratio = hours["live"] / hours["cached"]
        print(f"  {hours['live']:7.0f}  {hours['cached']:7.0f}  {ratio:5.2f}  {name} ({seconds:.2f} s a step)")


def _learner(
    parts: dict, name: str, cached: CachedTeacher, batches: Batches, rules: Augmentation
) -> tuple[nn.Module, nn.Module]:
    batch = next(batches.ordered(0, BATCH, view=0, augmentation=rules))
    student = build(parts["students"][name], input_shape=tuple(batch.inputs.shape[1:]), classes=10)
    apply_speed(student, Speed(channels_last=True, fused_neurons=True, compile=False))
    part = MethodPart(**main_method(parts["methods"]))
    shapes = feature_shapes(student, input_shape=tuple(batch.inputs.shape[1:]))
    size = {"samples": len(batches.data.labels), "classes": 10}
    method = make_method(part, part.settings, student=shapes, teacher=cached.feature_shapes(), **size, seed=0)
    return student.train(), method


def _train(
    student: nn.Module,
    method: nn.Module,
    teacher: Callable[[Batch], NetOutput],
    batches: Batches,
    rules: Augmentation,
    *,
    seed: int,
) -> None:
    step = _stepper(student, method)
    for epoch in range(EPOCHS):
        for batch in batches.shuffled(epoch=epoch, seed=seed, augmentation=rules):
            step(batch, teacher(batch))


def _stepper(student: nn.Module, method: nn.Module) -> Callable[[Batch, NetOutput], None]:
    optimiser = torch.optim.AdamW([*student.parameters(), *method.parameters()], lr=1e-3)

    def step(batch: Batch, output: NetOutput) -> None:
        terms = method(student=student(batch.inputs), teacher=output, labels=batch.labels, draws=batch.draws)
        optimiser.zero_grad()
        sum(terms.values()).backward()
        optimiser.step()

    return step


def _median(work: Callable[[], object], *, times: int) -> float:
    seconds = []
    for _ in range(times + 1):  # the first warms up
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


if __name__ == "__main__":
    run_stage(bench_cache)
