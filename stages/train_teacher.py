"""Stage train_teacher@<teacher>: an ANN learns the task by cross-entropy, in the same loop as the students."""

from pathlib import Path

from bkdsnn.assembly import make_method, make_network
from bkdsnn.data.arrays import ArrayData
from bkdsnn.fitting import Engine, fit
from bkdsnn.params import load_params
from bkdsnn.paths import digest
from bkdsnn.stage import run_stage
from bkdsnn.teachers import NoTeacher


def train_teacher(key: str) -> None:
    params = load_params()
    part = params.entry("teachers", key)
    data = ArrayData(Path("data") / part.dataset)
    engine = Engine(data, params.recipes[part.recipe])
    network = make_network(part, data=data, seed=part.seed).to(engine.fabric.device)
    batch = next(engine.batches.plain("validation"))
    method_part = params.methods[part.method]
    method = make_method(
        method_part, method_part.settings, student=network, teacher_output=None, batch=batch, seed=part.seed
    )
    fit(
        engine,
        name=key,
        kind="teacher",
        seed=part.seed,
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
        target=Path("models/teachers") / key,
    )


if __name__ == "__main__":
    run_stage(train_teacher, shares_work=True)
