"""The detail table: one line per row, mean and standard deviation over seeds, paired differences to the CE row."""

import numpy as np
import pandas as pd

from bkdsnn.evaluation.calibration import BINS
from bkdsnn.params.schema import Row
from bkdsnn.reporting.collect import Collected
from bkdsnn.reporting.intervals import average, gain, mean_and_std, top1
from bkdsnn.reporting.layout import EMPTY, number, with_problems, with_spread
from bkdsnn.reporting.notes import Sources

NOTE = (
    f"ECE: expected calibration error of the last epoch on the test split, {BINS} bins of equal width of the softmax "
    "probability of the predicted class (Guo et al. 2017), from the logits' mean over time. table.csv also has what "
    "NeuroBench reports, by its names."
)
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
    return pd.DataFrame([_record(key, row, collected) for key, row in collected.params.rows.items()])


def _record(key: str, row: Row, collected: Collected) -> dict[str, object]:
    runs = collected.of_row(key)
    first = runs[0].metrics if runs else None
    mean, std = mean_and_std(top1(key, collected))
    over = gain(key, collected)
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
        "gain_over_ce": over.mean if over else np.nan,
        "gain_ci95": over.half if over else np.nan,
        "gain_pairs": over.pairs if over else None,
        "top1_validation_choice": average(key, "test_top1_validation_choice", collected),
        "teacher_top1": teacher.metrics.test_top1 if teacher else np.nan,
        "published": row.published.value if row.published else np.nan,
        "published_source": row.published.source if row.published else None,
        "published_grade": row.published.grade if row.published else None,
        "parameters": first.parameters if first else None,
        **{name: average(key, name, collected) for name in means},
    }


def for_reading(collected: Collected, sources: Sources) -> pd.DataFrame:
    """The table as text, with the headings of the md and tex."""
    rows = []
    for key, row in collected.params.rows.items():
        record = _record(key, row, collected)
        rows.append(
            {
                "row": key,
                "top-1 %, last epoch": accuracy(key, collected),
                "gain over CE": with_spread(record["gain_over_ce"], record["gain_ci95"], sign="+"),
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
    return with_problems(with_spread(*mean_and_std(top1(key, collected))), collected.problems_of_row(key))


def teacher_top1(teacher: str | None, collected: Collected) -> str:
    """A teacher's accuracy as text, or what is wrong with its results."""
    if teacher in collected.problems:
        return collected.problems[teacher][0]
    return number(collected.evaluated[teacher].metrics.test_top1, ".2f") if teacher else EMPTY


def summary(collected: Collected) -> dict[str, float]:
    """Top-1 by row, of the rows that have results: for `dvc metrics` and `dvc exp show`."""
    means = {key: float(mean_and_std(top1(key, collected))[0]) for key in collected.params.rows}
    return {key: round(mean, 2) for key, mean in means.items() if not np.isnan(mean)}
