"""Stage evaluate_teacher@<teacher>: the same for a teacher."""

from bkdsnn import portable
from bkdsnn.command import begin, run_stage

if __name__ == "__main__":
    begin()
    portable.use_for("teachers")  # before numpy and torch are imported

from bkdsnn import paths
from bkdsnn.evaluation.of_model import evaluate_model
from bkdsnn.params import cards
from bkdsnn.params.schema import load_params


def evaluate_teacher(key: str) -> None:
    params = load_params()
    part = params.entry("teachers", key)
    evaluate_model(
        paths.teacher(key),
        key=key,
        table=params.runs_table,
        part=part,
        dataset=part.dataset,
        recipe=params.recipes[part.recipe],
        card=cards.of_teacher(params, key),
        facts={"kind": "teacher", "seed": part.seed},
    )


if __name__ == "__main__":
    run_stage(evaluate_teacher)
