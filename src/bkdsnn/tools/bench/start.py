"""What start-up and a training step cost here: medians and ratios of one run, printed as a table (`make bench`)."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch.utils.benchmark import Timer

from bkdsnn import paths
from bkdsnn.build import feature_shapes, make_method, make_network
from bkdsnn.command import run_stage
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.data.views import view_count
from bkdsnn.errors import InputError
from bkdsnn.files import digest
from bkdsnn.params.check import check
from bkdsnn.params.schema import Params, load_params
from bkdsnn.params.settings import settings_of
from bkdsnn.seeding import make_deterministic
from bkdsnn.teachers.cached import CachedTeacher
from bkdsnn.teachers.live import LiveTeacher
from bkdsnn.tools.parts import build, composed_parts, looks_at
from bkdsnn.trained import load_trained
from bkdsnn.training.loop import Learner
from bkdsnn.training.optimiser import make_optimiser

STARTS = {
    "import bkdsnn": "import bkdsnn",
    "torch alone": "import torch",
    "train_student, ready to work": "import stages.train_student",
    "evaluate, ready to work": "import stages.evaluate, bkdsnn.evaluation.evaluate",
    "mlflow (beside it, in its own process)": "import mlflow",
}


def bench() -> None:
    """Times the first run of params.yaml that reads a cache; data, teacher and cache must be there (`make repro`)."""
    params = load_params()
    check(params)
    key = next((k for k, run in params.runs.items() if run.teacher and params.recipes[run.recipe].cache.enabled), None)
    if key is None or not Path(params.runs[key].teacher_path).is_dir():
        raise InputError("no cached run of params.yaml is ready: run `make repro` first")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}\n\nstart-up, s (median of 5)")
    for name, statement in STARTS.items():
        print(f"  {_process_seconds(statement):6.2f}  {name}")
    print(f"\ntraining step of {key}, ms (median), and its ratio to the first")
    first = None
    for name, milliseconds in _steps(key, params):
        first = first or milliseconds
        print(f"  {milliseconds:7.2f}  {milliseconds / first:5.2f}  {name}")

    print("\nbuilding a network of the catalogue, s (once)")
    found = composed_parts()
    for name, part in {**found["students"], **found["teachers"]}.items():
        start = time.perf_counter()
        shape, classes = looks_at(name)
        build(part, input_shape=shape, classes=classes)
        print(f"  {time.perf_counter() - start:6.2f}  {name}")


def _process_seconds(statement: str) -> float:
    def once() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        return time.perf_counter() - start

    once()
    return statistics.median(once() for _ in range(5))


def _steps(key: str, params: Params):
    """Name and milliseconds of a step, one change from the default at a time."""
    run = params.runs[key]
    recipe = params.recipes[run.recipe]
    data = ArrayData(paths.dataset(run.dataset))
    device = torch.device("cpu")
    batches = Batches(data, batch_size=recipe.batch_size, device=device)
    cached = CachedTeacher(
        Path(run.teacher_path), data_digest=digest(data.folder), views=view_count(recipe.augmentation), device=device
    )
    weights = load_trained(paths.teacher(run.teacher), params.teachers[run.teacher], data=data, which="last")
    live = LiveTeacher(weights, features=params.teachers[run.teacher].features)
    batch = next(batches.shuffled(epoch=0, seed=0, augmentation=recipe.augmentation))
    settings = settings_of(run, params)
    default = recipe.threads or torch.get_num_threads()

    def milliseconds(*, teacher=cached, threads: int = default, fill: bool = False, precision=None) -> float:
        make_deterministic(threads=threads)
        torch.utils.deterministic.fill_uninitialized_memory = fill
        student = make_network(params.students[run.student], data=data, seed=0)
        shapes = {"student": feature_shapes(student, input_shape=data.input_shape), "teacher": cached.feature_shapes()}
        size = {"samples": len(data.labels), "classes": len(data.classes)}
        method = make_method(params.methods[run.method], settings, **shapes, **size, seed=0)
        learner = Learner(student, method).train()
        optimiser = make_optimiser(learner, recipe.optimiser)

        def step() -> None:
            with torch.autocast("cpu", dtype=precision, enabled=precision is not None):
                loss = sum(learner(batch, teacher(batch)).values())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

        timer = Timer("step()", globals={"step": step}, num_threads=threads)
        timer.timeit(5)
        return 1e3 * timer.blocked_autorange(min_run_time=2.0).median

    yield f"as params.yaml says: cached teacher, {default} thread(s), fp32", milliseconds()
    yield "live teacher", milliseconds(teacher=live)
    yield "2 threads" if default == 1 else "1 thread", milliseconds(threads=2 if default == 1 else 1)
    yield "torch's filling of fresh memory (its default in deterministic mode)", milliseconds(fill=True)
    yield "bf16 autocast", milliseconds(precision=torch.bfloat16)
    yield "as the first line once more (the noise)", milliseconds()


if __name__ == "__main__":
    run_stage(bench)
