"""Cards: all that params.yaml says of one run, teacher, cache, data set or table, and nothing else.

Stages depend on their own card, so that what is changed elsewhere reruns none of them; results carry its hash. What a
run reads of data, teacher and code is not on it: those have hashes of their own.
"""

import hashlib
from typing import Any

from bkdsnn.files import json_text
from bkdsnn.params.schema import Params

_RUN = {"table", "row", "seed", "dataset", "student", "teacher", "method", "method_settings", "recipe"}
_METHOD = {"method", "settings"}  # what it is called is the tables' business
_LOOK = {"network", "settings", "features"}
_SEEN_BY_CACHE = {"augmentation", "batch_size", "threads", "portable", "cache", "teacher_precision"}
_UNSAID = {"accumulate": 1, "teacher_precision": "32-true"}  # so that cards are as they were before there was either
Card = dict[str, Any]


def of_run(params: Params, key: str) -> Card:
    """A run's card; whether it reads a cache is not on it, its dtype is, where there is a teacher."""
    run = params.entry("runs", key)
    card = {
        "run": run.model_dump(mode="json", include=_RUN),
        "student": params.students[run.student].model_dump(mode="json"),
        "method": params.methods[run.method].model_dump(mode="json", include=_METHOD),
        "recipe": _recipe(params, run.recipe, exclude={"cache"}),
    }
    if run.teacher is None:
        card["recipe"].pop("teacher_precision", None)
        return card
    # What a live teacher's outputs depend on beside its weights.
    teacher = params.teachers[run.teacher].model_dump(mode="json", include=_LOOK)
    return {**card, "teacher": teacher, "dtype": params.recipes[run.recipe].cache.dtype}


def of_teacher(params: Params, key: str) -> Card:
    """A teacher's card."""
    teacher = params.entry("teachers", key)
    return {
        "teacher": teacher.model_dump(mode="json"),
        "method": params.methods[teacher.method].model_dump(mode="json", include=_METHOD),
        "recipe": _recipe(params, teacher.recipe, exclude={"cache", "teacher_precision"}),
    }


def of_cache(params: Params, key: str) -> Card:
    """A cache's card."""
    entry = params.entry("caches", key)
    recipe = _recipe(params, entry.recipe, include=_SEEN_BY_CACHE)
    recipe["cache"].pop("enabled")
    recipe["tf32"] = params.recipes[entry.recipe].speed.tf32
    return {
        "cache": entry.model_dump(mode="json"),
        "teacher": params.teachers[entry.teacher].model_dump(mode="json"),
        "recipe": recipe,
    }


def _recipe(params: Params, key: str, **fields: set[str]) -> Card:
    content = params.recipes[key].model_dump(mode="json", **fields)
    crop = content["augmentation"]["resized_crop"]
    if crop and not crop["reduced_decode"]:
        del crop["reduced_decode"]  # as above
    return {name: value for name, value in content.items() if name not in _UNSAID or value != _UNSAID[name]}


def of_dataset(params: Params, key: str) -> Card:
    """A data set's card."""
    return params.entry("datasets", key).model_dump(mode="json")


def of_table(params: Params) -> Card:
    """The card of the whole table: what its reports say of rows and methods."""
    content = params.model_dump(mode="json", include={"table", "title", "seeds", "rows"})
    methods = {key: part.model_dump(mode="json", exclude={"settings"}) for key, part in params.methods.items()}
    return {**content, "methods": methods}


def all_cards(params: Params) -> dict[tuple[str, str], Card]:
    """Every card by kind and key, as `paths.card` places them."""
    makers = {"runs": of_run, "teachers": of_teacher, "caches": of_cache, "datasets": of_dataset}
    cards = {(kind, key): make(params, key) for kind, make in makers.items() for key in getattr(params, kind)}
    return {**cards, ("tables", params.table): of_table(params)}


def sha256_of(card: Card) -> str:
    """The SHA-256 of a card's file."""
    return hashlib.sha256(json_text(card).encode()).hexdigest()
