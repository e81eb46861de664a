"""Stage train_student@<run>: a spiking network learns the task, under a teacher where the run has one."""

from functools import partial
from pathlib import Path

from bkdsnn.assembly import load_trained, make_method, make_network
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.fitting import Engine, fit
from bkdsnn.params import Params, Run, load_params
from bkdsnn.paths import digest, read_json
from bkdsnn.stage import run_stage
from bkdsnn.teachers import CachedTeacher, LiveTeacher, NoTeacher
from bkdsnn.training import Teacher


def train_student(key: str) -> None:
    params = load_params()
    run = params.entry("runs", key)
    data = ArrayData(Path("data") / run.dataset)
    engine = Engine(data, params.recipes[run.recipe])
    student = make_network(params.students[run.student], data=data, seed=run.seed).to(engine.fabric.device)
    teacher = _teacher(run, params, engine)
    batch = next(engine.batches.shuffled(epoch=0, seed=run.seed, augmentation=engine.recipe.augmentation))
    settings = params.method_settings(run)
    method = make_method(
        params.methods[run.method],
        settings,
        student=student,
        teacher_output=teacher(batch),
        batch=batch,
        seed=run.seed,
    )
    teacher_digest = _teacher_digest(run, params)
    fit(
        engine,
        name=key,
        kind="student",
        seed=run.seed,
        params={
            "run": run.model_dump(include={"table", "row", "seed", "dataset", "student", "teacher", "recipe"}),
            "student": params.students[run.student].model_dump(),
            "method": {"name": run.method, **settings},
            "recipe": engine.recipe.model_dump(),
            "sha256": {
                "data": digest(data.folder),
                "teacher": teacher_digest,
                "teacher_outputs": run.teacher and digest(Path(run.teacher_path)),
            },
        },
        student=student,
        method=method.to(engine.fabric.device),
        teacher=teacher,
        teacher_digest=teacher_digest,
        target=Path("models/students") / run.table / key,
    )


def _teacher(run: Run, params: Params, engine: Engine) -> Teacher:
    if run.teacher is None:
        return NoTeacher()
    recipe, device = engine.recipe, engine.fabric.device
    if recipe.cache.enabled:
        seen = digest(Path(run.teacher_data))
        return CachedTeacher(
            Path(run.teacher_path), data_digest=seen, views=recipe.augmentation.all_views, device=device
        )
    part = params.teachers[run.teacher]
    data = engine.data if part.dataset == run.dataset else ArrayData(Path(run.teacher_data))
    network = load_trained(Path(run.teacher_path), part, data=data, which="last").to(device)
    if data is engine.data:
        return LiveTeacher(network, features=part.features)
    own = Batches(data, batch_size=recipe.batch_size, device=device)
    return LiveTeacher(network, features=part.features, look=partial(own.again, augmentation=recipe.augmentation))


def _teacher_digest(run: Run, params: Params) -> str | None:
    """What tells the teacher's weights from others, whether they run or their outputs are read."""
    if run.teacher is None:
        return None
    if params.recipes[run.recipe].cache.enabled:
        return read_json(Path(run.teacher_path) / "manifest.json")["teacher_sha256"]
    return digest(Path(run.teacher_path))


if __name__ == "__main__":
    run_stage(train_student, shares_work=True)
