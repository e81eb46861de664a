"""Means, spreads and paired differences over the seeds of a row."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from bkdsnn.reporting.collect import Collected
from bkdsnn.reporting.methods import reference_of


class Gain(NamedTuple):
    """A mean over paired seeds, the half-width of its 95 % interval (nan for one pair), the number of pairs."""

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


def validation_top1(row: str, collected: Collected) -> np.ndarray:
    """The validation accuracies of a row after the last epoch, by seed; a run without epochs has none."""
    last = [run.history["validation_top1"].iloc[-1:] for run in collected.of_row(row)]
    return np.array([value for values in last for value in values])


def average(row: str, name: str, collected: Collected) -> float:
    """The mean of another number over a row's seeds; nan where there is none."""
    values = [getattr(run.metrics, name) for run in collected.of_row(row)]
    return float(np.mean(values)) if values and None not in values else float("nan")


def differences(row: str, collected: Collected) -> np.ndarray:
    """A row's top-1 less that of the row its gain is over, in points, by their common seeds; empty for a baseline."""
    own, reference = _pairs(row, collected)
    return own - reference


def gain(row: str, collected: Collected) -> Gain | None:
    """A row's gain over its CE row, or the one it names, in points, paired by seed; None without a pair."""
    values = differences(row, collected)
    return Gain(*paired_interval(values), len(values)) if len(values) else None


def gap_closed(row: str, collected: Collected) -> Gain | None:
    """The share of the gap from its CE row to its teacher that a row closes, (student - CE) / (teacher - CE), by seed.

    The divisor is one number, the teacher less the mean of the paired CE runs, so that the shares differ from 0 as the
    gains do: the gain's test is theirs too. Their interval takes the divisor as known. None where it cannot be told
    from 0, that is where the teacher is not above the 95 % interval of the CE runs, or the gain is over another row.
    """
    teacher = collected.evaluated.get(collected.params.rows[row].teacher)
    own, baseline = _pairs(row, collected)
    if teacher is None or collected.params.rows[row].over or not len(own):
        return None
    mean, half = paired_interval(baseline)
    gap = teacher.metrics.test_top1 - mean
    return Gain(*paired_interval((own - baseline) / gap), len(own)) if gap > half else None


def _pairs(row: str, collected: Collected) -> tuple[np.ndarray, np.ndarray]:
    """Top-1 of a row and of the row its gain is over, by the seeds that both have."""
    reference = reference_of(collected.params.rows[row], collected.params)
    if reference in (None, row):
        return np.array([]), np.array([])
    own, other = (
        {run.metrics.seed: run.metrics.test_top1 for run in collected.of_row(key)} for key in (row, reference)
    )
    seeds = [seed for seed in own if seed in other]
    return np.array([own[seed] for seed in seeds]), np.array([other[seed] for seed in seeds])
