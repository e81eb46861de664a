"""Stage evaluate@<run>: what the trained student is worth on the test split."""

from bkdsnn import portable
from bkdsnn.command import begin, run_stage

if __name__ == "__main__":
    begin()
    portable.use_for("runs")  # before numpy and torch are imported

from bkdsnn import paths
from bkdsnn.evaluation.of_model import evaluate_model
from bkdsnn.params import cards
from bkdsnn.params.schema import load_params


def evaluate(key: str) -> None:
    params = load_params()
    run = params.entry("runs", key)
    evaluate_model(
        paths.student(run.table, key),
        key=key,
        table=run.table,
        part=params.students[run.student],
        dataset=run.dataset,
        recipe=params.recipes[run.recipe],
        card=cards.of_run(params, key),
        facts={"kind": "student", "row": run.row, "seed": run.seed},
    )


if __name__ == "__main__":
    run_stage(evaluate)
