"""What a run is called in MLflow's columns: the same short names in every run, student or teacher."""

import json
from typing import Any

NOT_USED = "-"
# Short names by what they stand for in the nested parameters that the stages tell. Every run has all of them.
_SHORT = {
    "table": ("run.table",),
    "row": ("run.row",),
    "dataset": ("run.dataset", "teacher.dataset"),
    "student": ("run.student",),
    "teacher": ("run.teacher",),
    "network": ("student.network", "teacher.network"),
    "method": ("method.name", "teacher.method"),
    "recipe": ("run.recipe", "teacher.recipe"),
    "seed": ("run.seed", "teacher.seed"),
    "time_steps": ("student.settings.time_steps", "teacher.settings.time_steps"),
    "neuron": ("student.settings.neuron.kind", "teacher.settings.neuron.kind"),
    "blur_ratio": ("method.blur_ratio",),
    "feature_weight": ("method.feature_weight",),
    "logits_weight": ("method.logits_weight",),
    "temperature": ("method.temperature",),
    "restore": ("method.restore",),
    "epochs": ("recipe.epochs",),
    "batch_size": ("recipe.batch_size",),
    "lr": ("recipe.optimiser.lr",),
    "precision": ("recipe.precision",),
}
_SHOWN_METRICS = ("test_top1", "validation_top1", "energy_uj")
_SHOWN_PARAMS = ("table", "row", "method", "blur_ratio", "teacher", "time_steps", "seed")


def named(values: dict[str, Any]) -> dict[str, Any]:
    """Nested parameters flat: what a reader compares by its short name (or '-'), the rest by its dotted path."""
    flat = _flat(values)
    short = {}
    for name, paths in _SHORT.items():
        found = [flat.pop(path) for path in paths if path in flat]
        short[name] = NOT_USED if not found or found[0] is None else found[0]
    return short | flat


def experiment_tags() -> dict[str, str]:
    """What MLflow's page of the experiment reads: its kind, and a shared view `bkdsnn`: students, columns, order.

    MLflow has no default columns; its page takes a shared view that the address names (`viewStateShareKey=bkdsnn`).
    """
    shown = [f"metrics.`{name}`" for name in _SHOWN_METRICS] + [f"params.`{name}`" for name in _SHOWN_PARAMS]
    view = {
        "selectedColumns": [*shown, "tags.`bkdsnn.experiment`"],
        "searchFilter": "tags.`bkdsnn.kind` = 'student'",
        "orderByKey": "metrics.`validation_top1`",
        "orderByAsc": False,
    }
    return {"mlflow.experimentKind": "custom_model_development", "mlflow.sharedViewState.bkdsnn": json.dumps(view)}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
