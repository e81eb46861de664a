"""Stage evaluate@<run>: what the trained student is worth on the test split."""

from pathlib import Path

from bkdsnn import fingerprint
from bkdsnn.params import load_params
from bkdsnn.paths import digest
from bkdsnn.stage import run_stage
from bkdsnn.tracking import evaluation_tracker


def evaluate(key: str) -> None:
    params = load_params()
    run = params.entry("runs", key)
    source = Path("models/students") / run.table / key
    with evaluation_tracker(name=key, kind="student", digest=digest(source), seed=run.seed) as tracker:
        from bkdsnn.judging import judge  # late: MLflow starts while torch is imported

        judge(
            source,
            Path("results/runs") / run.table / key,
            part=params.students[run.student],
            dataset=run.dataset,
            recipe=params.recipes[run.recipe],
            facts={
                "kind": "student",
                "key": key,
                "row": run.row,
                "seed": run.seed,
                "params_sha256": fingerprint.of_run(params, key),
            },
            tracker=tracker,
        )


if __name__ == "__main__":
    run_stage(evaluate)
