"""Means, spreads and paired differences over the seeds of a row."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from bkdsnn.reporting.collect import Collected
from bkdsnn.reporting.methods import baseline_of


class Gain(NamedTuple):
    """A mean of paired differences in points, the half-width of its 95 % interval (nan for one pair), the pairs."""

    mean: float
    half: float
    pairs: int


def paired_interval(differences: np.ndarray) -> tuple[float, float]:
    """Mean and half-width of the 95 % interval (Student's t) of paired differences; the width is nan for one pair."""
    mean = float(np.mean(differences))
    if len(differences) < 2:
        return mean, float("nan")
    error = float(np.std(differences, ddof=1)) / np.sqrt(len(differences))
    return mean, float(stats.t.ppf(0.975, len(differences) - 1)) * error


def mean_and_std(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation (n - 1) over seeds; nan where there are none, or one has no deviation."""
    mean = float(np.mean(values)) if len(values) else float("nan")
    return mean, float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def top1(row: str, collected: Collected) -> np.ndarray:
    """The accuracies of a row after the last epoch, by seed."""
    return np.array([run.metrics.test_top1 for run in collected.of_row(row)])


def average(row: str, name: str, collected: Collected) -> float:
    """The mean of another number over a row's seeds; nan where there is none."""
    values = [getattr(run.metrics, name) for run in collected.of_row(row)]
    return float(np.mean(values)) if values and None not in values else float("nan")


def gain(row: str, collected: Collected) -> Gain | None:
    """A row's gain over its CE row, paired by the seeds that both have; None for a CE row or without a pair."""
    baseline = baseline_of(collected.params.rows[row], collected.params)
    if baseline in (None, row):
        return None
    own, other = ({run.metrics.seed: run.metrics.test_top1 for run in collected.of_row(key)} for key in (row, baseline))
    differences = np.array([own[seed] - other[seed] for seed in own if seed in other])
    return Gain(*paired_interval(differences), len(differences)) if len(differences) else None
