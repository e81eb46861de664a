"""Rows whose student is evaluated with the weights that others trained: one run, and an interval over test samples."""

from typing import NamedTuple

from scipy import stats

from bkdsnn.params.schema import Params, Row
from bkdsnn.reporting.collect import Collected


class Share(NamedTuple):
    """An accuracy in percent, and the ends of its 95 % interval (Wilson 1927) over test samples."""

    top1: float
    low: float
    high: float


def share(top1: float, samples: int) -> Share:
    """The interval of an accuracy (%) on so many samples."""
    interval = stats.binomtest(round(top1 * samples / 100), samples).proportion_ci(0.95, method="wilson")
    return Share(top1, 100 * interval.low, 100 * interval.high)


def is_as_published(row: Row, params: Params) -> bool:
    """Whether a row's student is taken as others trained it."""
    return params.recipes[row.recipe].epochs == 0


def share_of(key: str, collected: Collected) -> Share | None:
    """The accuracy of a row that is as published; None for another, or where it has not been evaluated."""
    runs = collected.of_row(key)
    if not runs or not is_as_published(collected.params.rows[key], collected.params):
        return None
    return share(runs[0].metrics.test_top1, runs[0].metrics.test_samples)


def as_columns(key: str, collected: Collected) -> dict[str, object]:
    """What the csv holds of such a row besides; nothing for others."""
    found = share_of(key, collected)
    return {"weights": "as published", "top1_low": found.low, "top1_high": found.high} if found else {}


def notes(params: Params) -> list[str]:
    """What such cells mean, where a table has any."""
    if not any(is_as_published(row, params) for row in params.rows.values()):
        return []
    return [
        "As published weights: a student that others trained, evaluated once and not trained here; in brackets the "
        "95 % interval (binomial, Wilson) over test samples, which says nothing of seeds."
    ]
