"""Stage evaluate_teacher@<teacher>: the same for a teacher."""

from pathlib import Path

from bkdsnn import fingerprint
from bkdsnn.params import load_params
from bkdsnn.paths import digest
from bkdsnn.stage import run_stage
from bkdsnn.tracking import evaluation_tracker


def evaluate_teacher(key: str) -> None:
    params = load_params()
    part = params.entry("teachers", key)
    source = Path("models/teachers") / key
    with evaluation_tracker(name=key, kind="teacher", digest=digest(source), seed=part.seed) as tracker:
        from bkdsnn.judging import judge  # late: MLflow starts while torch is imported

        judge(
            source,
            Path("results/runs") / params.table / key,
            part=part,
            dataset=part.dataset,
            recipe=params.recipes[part.recipe],
            facts={
                "kind": "teacher",
                "key": key,
                "seed": part.seed,
                "params_sha256": fingerprint.of_teacher(params, key),
            },
            tracker=tracker,
        )


if __name__ == "__main__":
    run_stage(evaluate_teacher)
