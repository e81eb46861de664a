"""The teacher of a run as params.yaml describes it: none, live, or one whose outputs were stored."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from bkdsnn.contracts import Shape
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.data.views import view_count
from bkdsnn.files import digest
from bkdsnn.params.schema import Params, Run
from bkdsnn.teachers.cached import CachedTeacher
from bkdsnn.teachers.live import LiveTeacher, NoTeacher
from bkdsnn.trained import load_trained


class TeacherOfRun(NamedTuple):
    """What is called with every batch, the shapes of its features by name, and what tells its weights from others."""

    call: NoTeacher | LiveTeacher | CachedTeacher
    shapes: dict[str, Shape]
    digest: str | None


def teacher_of(run: Run, params: Params, *, data: ArrayData, device: torch.device) -> TeacherOfRun:
    """A run's teacher; `data` is what the student learns from, another cut of it may be what the teacher sees."""
    if run.teacher is None:
        return TeacherOfRun(NoTeacher(), {}, None)
    recipe, path = params.recipes[run.recipe], Path(run.teacher_path)
    if not recipe.cache.enabled:
        return _live(run, params, data=data, device=device)
    seen, views = digest(Path(run.teacher_data)), view_count(recipe.augmentation)
    cached = CachedTeacher(path, data_digest=seen, views=views, device=device)
    return TeacherOfRun(cached, cached.feature_shapes(), cached.manifest["teacher_sha256"])


def _live(run: Run, params: Params, *, data: ArrayData, device: torch.device) -> TeacherOfRun:
    recipe, part, path = params.recipes[run.recipe], params.teachers[run.teacher], Path(run.teacher_path)
    seen = data if part.dataset == run.dataset else ArrayData(Path(run.teacher_data))
    network = load_trained(path, part, data=seen, which="last").to(device)
    look = {}
    if seen is not data:
        batches = Batches(seen, batch_size=recipe.batch_size, device=device)
        look = {"look": partial(batches.again, augmentation=recipe.augmentation)}
    live = LiveTeacher(network, features=part.features, precision=recipe.teacher_precision, **look)
    shapes = live.output_for(torch.zeros(1, *seen.input_shape, device=device)).feature_shapes()
    return TeacherOfRun(live, shapes, digest(path))
