"""Stage train_student@<run>: a spiking network learns the task, under a teacher where the run has one.

Without epochs it is written as others trained it, and neither method nor teacher has a part in it.
"""

from bkdsnn import portable
from bkdsnn.command import begin, run_stage

if __name__ == "__main__":
    begin()
    portable.use_for("runs")  # before numpy and torch are imported

from pathlib import Path

from torch import nn

from bkdsnn import paths
from bkdsnn.build import feature_shapes, make_method, make_network
from bkdsnn.data.arrays import ArrayData
from bkdsnn.files import digest
from bkdsnn.params.schema import load_params
from bkdsnn.params.settings import settings_of
from bkdsnn.provenance.digests import code_behind
from bkdsnn.teachers.fit import check_prepared
from bkdsnn.teachers.of_run import teacher_of
from bkdsnn.training.run import Engine, fit


def train_student(key: str) -> None:
    params = load_params()
    run = params.entry("runs", key)
    data = ArrayData(paths.dataset(run.dataset))
    check_prepared(params, run.dataset, data)
    engine = Engine(data, params.recipes[run.recipe])
    student = make_network(params.students[run.student], data=data, seed=run.seed).to(engine.fabric.device)
    teacher = teacher_of(run, params, data=data, device=engine.fabric.device)
    shapes = {"student": feature_shapes(student, input_shape=data.input_shape), "teacher": teacher.shapes}
    size = {"samples": len(data.labels), "classes": len(data.classes)}
    settings = settings_of(run, params)
    method = nn.Identity()
    if engine.recipe.epochs:
        method = make_method(params.methods[run.method], settings, **shapes, **size, seed=run.seed)
    fit(
        engine,
        name=key,
        kind="student",
        seed=run.seed,
        code=code_behind("stages/train_student", run.code_student, run.code_teacher, run.code_method),
        params={
            "run": run.model_dump(include={"table", "row", "seed", "dataset", "student", "teacher", "recipe"}),
            "student": params.students[run.student].model_dump(),
            "method": {"name": run.method, **settings},
            "recipe": engine.recipe.model_dump(),
            "sha256": {
                "data": digest(data.folder),
                "teacher": teacher.digest,
                "teacher_outputs": run.teacher and digest(Path(run.teacher_path)),
            },
        },
        student=student,
        method=method.to(engine.fabric.device),
        teacher=teacher.call,
        teacher_digest=teacher.digest,
        target=paths.student(run.table, key),
    )


if __name__ == "__main__":
    run_stage(train_student, parallel=True)
