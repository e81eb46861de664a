"""What a table would cost before anything of it runs (`make plan TABLE=imagenet`): data, memory, hours, disk."""

import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import torch
from tqdm import tqdm

from bkdsnn.command import run_stage
from bkdsnn.data.files import Expected
from bkdsnn.distributed.device import this_device
from bkdsnn.errors import InputError
from bkdsnn.params.check import check
from bkdsnn.params.read import validated
from bkdsnn.params.schema import Params
from bkdsnn.params.settings import settings_of
from bkdsnn.paths import raw_data
from bkdsnn.tools.compose import check_same_runs, check_table
from bkdsnn.tools.parts import composed
from bkdsnn.tools.plan.data import expected, status, weights
from bkdsnn.tools.plan.job import Job
from bkdsnn.tools.plan.lines import HEAD, Line, add, in_hours, print_caches, print_line, print_students
from bkdsnn.tools.plan.step import measure
from bkdsnn.tools.plan.supply import print_supply

BUSY = 1.5  # on a quiet machine the slowest of four repetitions of a step takes 1.1 to 1.3 times the fastest
OPTIONS = {"gpu_tflops": 312.0, "utilisation": 0.2}  # an A100's bfloat16; how much of it is used is a guess


def plan(arguments: list[str]) -> None:
    """Prints the plan of the table that the overrides name; touches neither params.yaml nor any data."""
    options, overrides = _options(arguments)
    check_table(overrides)
    params = validated(Params, composed(*overrides), where="")
    check(params)
    check_same_runs(params)
    shapes = {key: expected(key, dataset) for key, dataset in params.datasets.items()}
    print(f"Plan of the table {params.table} ({params.title}). Nothing is downloaded or written.")
    if params.same_runs_as:
        print(f"Its runs are those of the table {params.same_runs_as}: what that has already is not made again.")
    speed, used = options["gpu_tflops"], options["utilisation"]
    print(f"Here: {_machine()}. GPU: {speed:g} TFLOP/s, {100 * used:g} % of it used.\n")
    print(f"Data, below {raw_data()}")
    for key, dataset in params.datasets.items():
        print(f"  {key}: {status(key, dataset, shapes[key])}")
    for key, part in {**params.teachers, **params.students}.items():
        if source := weights(part):
            print(f"  weights of {key}: {source}")
    students, teachers = _lines(params, shapes)
    start = time.perf_counter()
    networks: dict[str, list[Line]] = {}
    for line in [*students, *teachers]:
        networks.setdefault(f"{line.job.student} {line.job.input_shape}", []).append(line)
    for lines in tqdm(networks.values(), desc="networks measured", disable=None):
        _measure(lines)
    flops = speed * 1e12 * used
    print("\nStudents (+2: two more rows cost the same; GiB and s/step for the true batch or part, GFLOP for a sample)")
    print(HEAD)
    total = print_students(students, params, flops=flops)
    if teachers:
        print(f"Teachers to train\n{HEAD}")
        total = add(total, *(print_line(line, flops=flops) for line in teachers))
    total = add(total, *print_caches(params, shapes, students, flops=flops))
    print_supply(params, shapes, [*students, *teachers], flops=flops)
    print(f"\nTogether {in_hours(total[0])} hours here, {in_hours(total[1])} GPU hours: steps and caches, without")
    print(f"validation, augmentation, evaluation. Measured in {time.perf_counter() - start:.0f} s.")
    if warning := busy([*students, *teachers]):
        print(warning)


def busy(lines: list[Line]) -> str | None:
    """A warning where repetitions of the same step differ much: then something else ran beside them."""
    spreads = sorted(line.measured.spread for line in lines if line.measured)
    if not spreads or (typical := spreads[len(spreads) // 2]) <= BUSY:
        return None
    return f"WARNING: repetitions of a step differ by a factor of {typical:.1f}: the machine is busy, measure again."


def _options(arguments: list[str]) -> tuple[dict[str, float], list[str]]:
    options, overrides = dict(OPTIONS), []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in options:
            overrides.append(argument)
            continue
        try:
            options[key] = float(value)
        except ValueError:
            options[key] = 0.0
        if not 0 < options[key] < float("inf") or (key == "utilisation" and options[key] > 1):
            raise InputError(f"{argument}: wanted a number above 0{', at most 1' if key == 'utilisation' else ''}")
    return options, overrides


def _machine() -> str:
    device = this_device(portable=False)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads of {os.cpu_count()} cores, torch {torch.__version__}"


def _lines(params: Params, shapes: dict[str, Expected]) -> tuple[list[Line], list[Line]]:
    """Rows, and teachers that are trained, each kind once."""
    students: dict[str, Line] = {}
    teachers: dict[str, Line] = {}
    for key, row in params.rows.items():
        teacher = params.teachers[row.teacher] if row.teacher else None
        own = shapes[row.dataset]
        if not params.recipes[row.recipe].epochs:
            continue
        job = Job(
            student=params.students[row.student],
            method=params.methods[row.method],
            settings=settings_of(row, params),
            teacher=teacher,
            recipe=params.recipes[row.recipe],
            input_shape=own.input_shape,
            teacher_shape=shapes[teacher.dataset].input_shape if teacher else own.input_shape,
            classes=own.classes,
        )
        line = Line(job, own.train, len(params.seeds), [])
        students.setdefault(f"{row.student} {own.train} {_kind(job)}", line).rows.append(key)
    for key, part in params.teachers.items():
        own, method = shapes[part.dataset], params.methods[part.method]
        recipe = params.recipes[part.recipe]
        if recipe.epochs:
            job = Job(part, method, method.settings, None, recipe, own.input_shape, own.input_shape, own.classes)
            teachers.setdefault(f"{own.train} {_kind(job)}", Line(job, own.train, 1, [])).rows.append(key)
    return list(students.values()), list(teachers.values())


def _kind(job: Job) -> str:
    """The same for jobs that cost the same: weights, ratios and temperatures do not count, nor whose data it is."""
    settings = {name: value for name, value in job.settings.items() if not isinstance(value, float)}
    teacher = job.teacher and [job.teacher.network, job.teacher.settings, job.teacher.features]
    parts = [job.student.network, job.student.settings, job.method.method, settings, teacher]
    return json.dumps([*parts, job.recipe.model_dump(), job.input_shape, job.teacher_shape], sort_keys=True)


def _measure(lines: list[Line]) -> None:
    """Measures lines of one network in a process of their own; where the system kills it, each line in its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            found = pool.submit(measure, [line.job for line in lines]).result()
        except BrokenProcessPool:
            found = [None] * len(lines)
    for line, measured in zip(lines, found, strict=True):
        line.measured = measured
    if len(lines) > 1 and found[0] is None:
        for line in lines:
            _measure([line])


def _plan(*arguments: str) -> None:
    plan(list(arguments))


if __name__ == "__main__":
    run_stage(_plan)
