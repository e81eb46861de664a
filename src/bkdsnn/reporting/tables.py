"""The detail table: one line per row, mean and standard deviation over seeds, gains paired by seed."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from bkdsnn.evaluation.calibration import BINS
from bkdsnn.reporting import as_published
from bkdsnn.reporting.collect import Collected
from bkdsnn.reporting.intervals import average, gain, gap_closed, mean_and_std, top1, validation_top1
from bkdsnn.reporting.layout import EMPTY, number, with_problems, with_spread
from bkdsnn.reporting.methods import reference_of
from bkdsnn.reporting.notes import Sources
from bkdsnn.reporting.verdicts import Verdict, as_columns, verdicts

NOTES = [
    "Gap closed: (student - CE) / (teacher - CE), the gain over a single number (the teacher less the mean of the CE "
    "runs), which its interval takes as known; so the gain's verdict is its verdict. "
    f"{EMPTY}: the teacher is not better than the CE runs, or within their 95 % interval, or the gain is not over CE.",
    f"ECE: expected calibration error of the last epoch on the test split, {BINS} bins of equal width of the softmax "
    "probability of the predicted class (Guo et al. 2017), from the logits' mean over time. table.csv also has what "
    "NeuroBench reports, by its names.",
]
# By the names and definitions of NeuroBench.
_NEUROBENCH = (
    "footprint_bytes",
    "connection_sparsity",
    "activation_sparsity",
    "effective_macs",
    "effective_acs",
    "dense_operations",
)


def numbers(collected: Collected) -> pd.DataFrame:
    """The table as numbers, one record per row; what the csv holds."""
    return pd.DataFrame(_records(collected))


def _records(collected: Collected) -> list[dict[str, object]]:
    found = verdicts(collected)
    return [_record(key, found.get(key), collected) for key in collected.params.rows]


def _record(key: str, verdict: Verdict | None, collected: Collected) -> dict[str, object]:
    row, runs = collected.params.rows[key], collected.of_row(key)
    first = runs[0].metrics if runs else None
    mean, std = mean_and_std(top1(key, collected))
    validation, _ = mean_and_std(validation_top1(key, collected))
    gained, closed = gain(key, collected), gap_closed(key, collected)
    teacher = collected.evaluated.get(row.teacher)
    means = ("ece", "firing_rate", "synaptic_operations", "macs", "energy_uj", *_NEUROBENCH)
    return {
        "row": key,
        "dataset": row.dataset,
        "student": row.student,
        "teacher": row.teacher,
        "method": row.method,
        "recipe": row.recipe,
        "split": first.split if first else None,
        "T": first.time_steps if first else None,
        "epochs": first.epochs if first else None,
        "seeds": len(runs),
        "problems": ", ".join(f"s{seed} {state}" for seed, state in collected.problems_of_row(key).items()),
        "top1_mean": mean,
        "top1_std": std,
        "gain": gained.mean if gained else np.nan,
        "gain_over": reference_of(row, collected.params) if gained else None,
        **as_columns("gain", gained, verdict),
        "gap_closed": closed.mean if closed else np.nan,
        **as_columns("gap_closed", closed, verdict),
        "validation_top1": validation,
        "top1_validation_choice": average(key, "test_top1_validation_choice", collected),
        "teacher_top1": teacher.metrics.test_top1 if teacher else np.nan,
        "published": row.published.value if row.published else np.nan,
        "published_source": row.published.source if row.published else None,
        "published_grade": row.published.grade if row.published else None,
        "parameters": first.parameters if first else None,
        **{name: average(key, name, collected) for name in means},
        **as_published.as_columns(key, collected),
    }


def for_reading(collected: Collected, sources: Sources) -> pd.DataFrame:
    """The table as text, with the headings of the md and tex."""
    rows = []
    heading = "gain" if any(row.over for row in collected.params.rows.values()) else "gain over CE"
    for record in _records(collected):
        key, row = record["row"], collected.params.rows[record["row"]]
        rows.append(
            {
                "row": key,
                "top-1 %, last epoch": accuracy(key, collected),
                "validation top-1 %, last epoch": number(record["validation_top1"], ".2f"),
                heading: _judged(record, "gain", over=row.over),
                "gap closed, %": _judged(record, "gap_closed", times=100),
                "top-1 %, validation choice": number(record["top1_validation_choice"], ".2f"),
                "ECE %": number(record["ece"], ".2f"),
                "published": sources.cell(row.published),
                "teacher": teacher_top1(row.teacher, collected),
                "seeds": record["seeds"],
                "T": record["T"] or EMPTY,
                "epochs": record["epochs"] or EMPTY,
                "parameters": number(record["parameters"], ","),
                "firing rate": number(record["firing_rate"], ".3f"),
                "SynOps (k)": number(record["synaptic_operations"] / 1e3, ",.0f"),
                "MACs (k)": number(record["macs"] / 1e3, ",.0f"),
                "energy, estimated (µJ)": number(record["energy_uj"], ".3f"),
            }
        )
    return pd.DataFrame(rows)


def accuracy(key: str, collected: Collected) -> str:
    """A row's accuracy as text, with what is wrong with its seeds."""
    if found := as_published.share_of(key, collected):
        return f"{found.top1:.2f} (as published weights, {found.low:.2f} to {found.high:.2f})"
    return with_problems(with_spread(*mean_and_std(top1(key, collected))), collected.problems_of_row(key))


def teacher_top1(teacher: str | None, collected: Collected) -> str:
    """A teacher's accuracy as text, or what is wrong with its results."""
    if teacher in collected.problems:
        return collected.problems[teacher][0]
    return number(collected.evaluated[teacher].metrics.test_top1, ".2f") if teacher else EMPTY


def summary(collected: Collected) -> dict[str, dict[str, float]]:
    """Means over seeds by row, of the rows that have them: for `dvc metrics show` and `dvc exp show`.

    DVC and the file sort by name, and these names put validation first: who chooses by test makes its numbers too good.
    """
    return {"last_validation_top1": _means(validation_top1, collected), "test_top1": _means(top1, collected)}


def _means(of: Callable[[str, Collected], np.ndarray], collected: Collected) -> dict[str, float]:
    return {row: round(float(np.mean(values)), 2) for row in collected.params.rows if len(values := of(row, collected))}


def _judged(record: dict, name: str, *, times: float = 1.0, over: str | None = None) -> str:
    """`+1.00 ± 0.50 (better)`, `+1.00 ± 0.50 (over kdsnn, better)`, or a dash."""
    if record[f"{name}_verdict"] is None:
        return EMPTY
    text = with_spread(times * record[name], times * record[f"{name}_ci95"], sign="+")
    return f"{text} ({f'over {over}, ' if over else ''}{record[f'{name}_verdict']})"
