"""The evaluation of one model of params.yaml, student or teacher: what both stages of that name do."""

from pathlib import Path
from typing import Any

from bkdsnn import paths
from bkdsnn.files import digest
from bkdsnn.params import cards
from bkdsnn.params.schema import Recipe, Student
from bkdsnn.tracking.tracker import evaluation_tracker


def evaluate_model(
    source: Path,
    *,
    key: str,
    table: str,
    part: Student,
    dataset: str,
    recipe: Recipe,
    card: cards.Card,
    facts: dict[str, Any],
) -> None:
    """Evaluates the model in `source` into `results/runs/<table>/<key>`; `facts` (kind, seed) go into its metrics."""
    facts = {**facts, "key": key, "params_sha256": cards.sha256_of(card)}
    with evaluation_tracker(name=key, kind=facts["kind"], digest=digest(source), seed=facts["seed"]) as tracker:
        from bkdsnn.evaluation.evaluate import evaluate_network  # late: MLflow starts while torch is imported

        target = paths.runs(table) / key
        evaluate_network(source, target, part=part, dataset=dataset, recipe=recipe, facts=facts, tracker=tracker)
