"""The parts of the check in their order: what each looks at, and the rows that it gives. Nothing here imports torch."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bkdsnn.tools.gpu_check.project import Project
from bkdsnn.tools.gpu_check.rows import Row, heard
from bkdsnn.tools.gpu_check.setting import Setting, failed, run

# Beside the defaults of `tools.bench.contenders.Setup`: a rehearsal's, and the official recipe's batch.
_SMALL: dict[str, Any] = {"student": "sew-small-cifar", "teacher": "resnet-small-cifar", "batch_size": 4}
_TRUE: dict[str, Any] = {"batch_size": 64}
_FLOAT32, _COMPILED = {"precision": "fp32"}, {"compile": True}
# The compiler takes minutes for the large student, and one kind of every operator lies in the small one, too.
_BYTES = {"float32": _FLOAT32, "bf16": {}, "compiled, bf16": {**_COMPILED, **_SMALL, "batch_size": 32}}
_STOCK = {"stock": True, "live": True}
_SPEED = {
    "stock layers, float32, live teacher": {**_STOCK, **_FLOAT32},
    "stock layers, bf16, live teacher": _STOCK,
    "ours, float32, live teacher": {"live": True, **_FLOAT32},
    "ours, TF32, live teacher": {"live": True, "tf32": True, **_FLOAT32},
    "ours, bf16, live teacher": {"live": True},
    "ours, bf16, live teacher in bf16": {"live": True, "teacher_precision": "bf16-mixed"},
    "ours, bf16, cached teacher": {},
    "cached, channels first": {"channels_last": False},
    "cached, compiled": _COMPILED,
    "cached, one graph": {},
}
_GRAPH, _LOADER = "cached, one graph", "the loader alone"
_START, _LONG = 120.0, 240.0  # seconds at most, of a process that compiles nothing, and one that does
_ENDED_BY_SIGTERM = 143


class Part(NamedTuple):
    """What a part looks at, and how."""

    looks_at: str
    rows: Callable[[Setting], Iterator[Row]]


def _machine(setting: Setting) -> Iterator[Row]:
    yield from setting.rows_of("machine", "machine", seconds=_START)


def _reference(setting: Setting) -> Iterator[Row]:
    yield from setting.rows_of("reference", "reference vectors", seconds=_START)


def _students(setting: Setting) -> Iterator[Row]:
    yield from setting.rows_of("students", "students", seconds=_LONG)


def _bytes(setting: Setting) -> Iterator[Row]:
    """The same steps in two processes each."""
    for name, changes in _BYTES.items():
        given = {"setup": _setup(setting, changes), "steps": 4 if setting.small else 20}
        found = [list(setting.rows_of("steps", name, seconds=_LONG, **given)) for _ in range(2)]
        last = [rows[-1] for rows in found if rows]
        if len(last) < 2 or not all(row.good for row in last):
            yield next((row for row in last if not row.good), Row(name, "no weights", good=False))._replace(name=name)
            continue
        first, second = (row.found for row in last)
        eager = changes.get("compile") and not last[0].numbers["compiled"]
        said = f"{first[:16]} twice" if first == second else f"{first[:16]}, then {second[:16]}"
        numbers = {"sha256": [first, second]}
        yield Row(name, said + "; not compiled, no compiler works" * bool(eager), first == second, numbers)


def _resume(setting: Setting) -> Iterator[Row]:
    project = Project(setting)
    project.prepare()
    key = project.runs[-1]
    whole = project.train(key)
    shutil.rmtree(project.model(key))
    code = project.interrupted(key)
    yield Row("SIGTERM", f"{key}: exit code {code}", code == _ENDED_BY_SIGTERM)
    again = project.train(key)
    differ = [name for name in whole if whole[name] != again.get(name)]
    said = f"other bytes: {', '.join(differ)}" if differ else "the bytes of an unbroken one"
    yield Row("resumed", f"{key}: {said}", not differ, {"sha256": again})


def _speed(setting: Setting) -> Iterator[Row]:
    first = None
    for name, changes in _SPEED.items():
        if name == _GRAPH and setting.device != "cuda":
            yield Row(name, f"{setting.device} has no graphs")
            continue
        given = {"setup": _setup(setting, changes), "name": name, "graph": name == _GRAPH}
        given["budget"] = 1.0 if setting.small else 5.0
        limit = _LONG if "compile" in changes else _START
        measured = list(setting.rows_of("speed", name, seconds=limit, **given))
        for row in [row for row in measured if row.numbers][-1:]:  # the last of it says most
            rate = row.numbers["images_a_second"]
            first = first or rate
            yield row._replace(found=f"{row.found}, {rate / first:5.2f} times the first")
        yield from (row for row in measured if not row.numbers)
    given = {"name": _LOADER, "batch_size": 64, "batches": 8 if setting.small else 60}
    yield from setting.rows_of("speed", _LOADER, seconds=_START, **given)


def _table(setting: Setting) -> Iterator[Row]:
    project = Project(setting)
    project.prepare()
    for key in project.runs:
        project.train(key)
        metrics = project.evaluated(key)
        yield Row(
            key, f"top-1 on the test split {metrics['test_top1']:.2f} %", None, {"test_top1": metrics["test_top1"]}
        )


def _memory(setting: Setting) -> Iterator[Row]:
    project = Project(setting)
    project.prepare()
    given = json.dumps({"run": project.runs[-1]})
    command = [sys.executable, "-m", f"{__package__}.memory", given]
    env = project.environment(PYTHONFAULTHANDLER="1")
    code, lines = run(command, seconds=setting.seconds(_START), folder=project.folder, env=env)
    said = [line for line in lines if line.strip() and not heard(line)]
    one_line = code == 1 and "out of memory" in said[-1] and not any("Traceback" in line for line in said)
    yield Row("too little memory", said[-1][:300], True) if one_line else failed("too little memory", code, lines)


def _setup(setting: Setting, changes: dict[str, Any]) -> dict[str, Any]:
    return {**_TRUE, **changes, **(_SMALL if setting.small else {})}


PARTS = {
    "machine": Part("machine, versions, compiler, and what SpikingJelly takes for each neuron", _machine),
    "reference": Part("the official numbers (tests/reference), and CPU against GPU: float64, float32", _reference),
    "students": Part("every student of the catalogue: loss and gradients, CPU against GPU", _students),
    "bytes": Part("20 steps twice in fresh processes, SHA-256 of the weights: float32, bf16, compiled", _bytes),
    "resume": Part("SIGTERM in a training, and the same bytes when it has gone on", _resume),
    "speed": Part("images/s, how busy the GPU is, peak GiB: stock layers, ours, and the loader alone", _speed),
    "table": Part("the image rows of a real table, trained and evaluated by the stages", _table),
    "memory": Part("a training that runs out of memory: one line", _memory),
}
