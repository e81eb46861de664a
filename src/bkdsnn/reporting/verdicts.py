"""Whether a gain is more than chance: tests paired over seeds, corrected over all gains of a table."""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from bkdsnn.reporting.collect import Collected
from bkdsnn.reporting.intervals import Gain, differences

LEVEL = 0.05  # of a whole table: how often one without any effect may say "better" or "worse" somewhere
ENOUGH = 5  # pairs of seeds: our own rule; nor do five show that differences are normal
BETTER, WORSE, UNDECIDED, TOO_FEW = "better", "worse", "undecided", "too few seeds"


class Verdict(NamedTuple):
    """A word; p of the two-sided paired t-test, p after Holm, mean / deviation of the differences; nan: not tested."""

    word: str = TOO_FEW
    p: float = math.nan
    p_holm: float = math.nan
    effect: float = math.nan


def verdicts(collected: Collected) -> dict[str, Verdict]:
    """By row, of the rows that have a gain; those with enough seeds are corrected together."""
    return judged({row: values for row in collected.params.rows if len(values := differences(row, collected))})


def judged(found: dict[str, np.ndarray]) -> dict[str, Verdict]:
    """Differences paired by seed, by row, to verdicts; those with enough pairs are corrected together."""
    tests = {row: paired_test(values) for row, values in found.items() if len(values) >= ENOUGH}
    corrected = dict(zip(tests, holm(np.array([p for p, _ in tests.values()])), strict=True))
    return {row: _verdict(*tests[row], corrected[row]) if row in tests else Verdict() for row in found}


def paired_test(values: np.ndarray) -> tuple[float, float]:
    """Two-sided p of Student's paired t-test, and the effect (mean / deviation), of two paired differences or more.

    Where no seed differs p is 1 and the effect 0; where all differ by the same, 0 and infinite.
    """
    mean = float(np.mean(values))
    if not np.ptp(values):
        return (0.0, math.copysign(math.inf, mean)) if mean else (1.0, 0.0)
    effect = mean / float(np.std(values, ddof=1))
    return 2 * float(stats.t.sf(abs(effect) * math.sqrt(len(values)), len(values) - 1)), effect


def holm(p: np.ndarray) -> np.ndarray:
    """P-values `[tests]` corrected by Holm's step-down: the smallest times all, the next times all but one, ..."""
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def as_columns(name: str, interval: Gain | None, verdict: Verdict | None) -> dict[str, object]:
    """What a csv holds of a gain besides its mean; empty where there is no gain."""
    own = verdict if interval else Verdict(word="")
    return {
        f"{name}_ci95": interval.half if interval else math.nan,
        f"{name}_pairs": interval.pairs if interval else None,
        f"{name}_p": own.p,
        f"{name}_p_holm": own.p_holm,
        f"{name}_effect": own.effect,
        f"{name}_verdict": own.word or None,
    }


def note(found: dict[str, Verdict]) -> str:
    """How the verdicts came about, for below a table."""
    tested = sum(verdict.word != TOO_FEW for verdict in found.values())
    return (
        f"Verdicts: Student's two-sided t-test, paired by seed, corrected (Holm) over all gains of this table that "
        f"have {ENOUGH} pairs or more ({tested}); {BETTER} or {WORSE} where the corrected p is at most {LEVEL:g}, else "
        f'{UNDECIDED}, which does not mean equal; "{TOO_FEW}" below {ENOUGH} pairs. The intervals are not corrected.'
    )


def _verdict(p: float, effect: float, p_holm: float) -> Verdict:
    sign = BETTER if effect > 0 else WORSE
    return Verdict(sign if p_holm <= LEVEL else UNDECIDED, p, float(p_holm), effect)
