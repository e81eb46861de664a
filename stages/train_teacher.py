"""Stage train_teacher@<teacher>: an ANN learns the task by cross-entropy, in the same loop as the students."""

from bkdsnn import portable
from bkdsnn.command import begin, run_stage

if __name__ == "__main__":
    begin()
    portable.use_for("teachers")  # before numpy and torch are imported

from bkdsnn import paths
from bkdsnn.build import feature_shapes, make_method, make_network
from bkdsnn.data.arrays import ArrayData
from bkdsnn.files import digest
from bkdsnn.params.schema import load_params
from bkdsnn.provenance.digests import code_behind
from bkdsnn.teachers.fit import check_prepared
from bkdsnn.teachers.live import NoTeacher
from bkdsnn.training.run import Engine, fit


def train_teacher(key: str) -> None:
    params = load_params()
    part = params.entry("teachers", key)
    data = ArrayData(paths.dataset(part.dataset))
    check_prepared(params, part.dataset, data)
    engine = Engine(data, params.recipes[part.recipe])
    network = make_network(part, data=data, seed=part.seed).to(engine.fabric.device)
    method_part = params.methods[part.method]
    shapes = feature_shapes(network, input_shape=data.input_shape)
    size = {"samples": len(data.labels), "classes": len(data.classes)}
    method = make_method(method_part, method_part.settings, student=shapes, teacher={}, **size, seed=part.seed)
    fit(
        engine,
        name=key,
        kind="teacher",
        seed=part.seed,
        code=code_behind("stages/train_teacher", f"networks/{part.network}", f"methods/{method_part.method}"),
        params={
            "teacher": part.model_dump(),
            "method": {"name": part.method, **method_part.settings},
            "recipe": engine.recipe.model_dump(),
            "sha256": {"data": digest(data.folder)},
        },
        student=network,
        method=method,
        teacher=NoTeacher(),
        teacher_digest=None,
        target=paths.teacher(key),
    )


if __name__ == "__main__":
    run_stage(train_teacher, parallel=True)
