"""The table as papers print it: one line per data set and student, one column per method."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from bkdsnn.params import Params, Published
from bkdsnn.reporting.collect import Collected
from bkdsnn.reporting.intervals import average, baseline_of, gain, mean_and_std, top1
from bkdsnn.reporting.layout import EMPTY, number, with_spread
from bkdsnn.reporting.notes import Sources
from bkdsnn.reporting.tables import accuracy, teacher_top1

# How the columns are called and ordered; a method that is not here comes last, under its own name.
LABELS = {
    "ce": "baseline",
    "logits_kd": "logits",
    "kdsnn": "KDSNN",
    "lasnn": "LaSNN",
    "bkd": "BKD",
    "mixed": "mixed",
}
_MEANINGS = {
    "ce": "cross-entropy alone",
    "logits_kd": "the teacher's logits, by weighted soft labels (Zhou et al. 2021)",
    "kdsnn": "the teacher's last feature (Xu et al. 2023)",
    "lasnn": "several features (Hong et al. 2023)",
    "bkd": "the feature, blurred and restored before it is compared (Xu et al. 2024)",
    "mixed": "BKD and logits together, the paper's main row",
}


@dataclass
class Line:
    """One data set, student and teacher; cells: the row of each method. of: how many lines share all three."""

    dataset: str
    student: str
    teacher: str | None
    cells: dict[str, str] = field(default_factory=dict)
    of: int = 1

    @property
    def main(self) -> str | None:
        """The row that the paper's claim is about: mixed, else BKD, else the last method; None for a baseline alone."""
        distilled = {method: row for method, row in self.cells.items() if method != "ce"}
        ranked = [distilled[method] for method in ("mixed", "bkd") if method in distilled]
        return (ranked or [*distilled.values()][-1:] or [None])[0]


def lines(params: Params) -> list[Line]:
    """The rows put into lines; where a method comes twice (another blur_ratio, say), a new line begins."""
    groups: dict[tuple, list[Line]] = {}
    baselines: list[str] = []
    for key, row in params.rows.items():
        method = params.methods[row.method].method
        own = groups.setdefault((row.dataset, row.student, row.recipe, row.teacher), [])
        line = next((line for line in own if method not in line.cells), None)
        if line is None:
            line = Line(row.dataset, row.student, row.teacher)
            own.append(line)
        line.cells[method] = key
        baseline = baseline_of(row, params)
        if row.teacher and baseline:
            line.cells.setdefault("ce", baseline)
            baselines.append(baseline)
    for own in groups.values():
        for line in own:
            line.of = len(own)
    made = [line for own in groups.values() for line in own]
    return [line for line in made if line.main or line.cells["ce"] not in baselines]


def columns(params: Params) -> list[str]:
    """The methods of the table, in the order of their columns."""
    used = [params.methods[row.method].method for row in params.rows.values()]
    return [method for method in LABELS if method in used] + sorted(set(used) - set(LABELS))


def numbers(collected: Collected) -> pd.DataFrame:
    """The comparison as numbers, one record per line; what the csv holds."""
    params = collected.params
    records = []
    for line in lines(params):
        record: dict[str, object] = {"dataset": line.dataset, "student": line.student, "teacher": line.teacher}
        record["variant"] = _variant(line, params)
        for method in columns(params):
            name, row = LABELS.get(method, method).lower(), line.cells.get(method)
            mean, std = mean_and_std(top1(row, collected)) if row else (np.nan, np.nan)
            published = params.rows[row].published if row else None
            record |= {
                f"{name}_row": row,
                f"{name}_mean": mean,
                f"{name}_std": std,
                f"{name}_seeds": len(collected.of_row(row)) if row else None,
                f"{name}_published": published.value if published else np.nan,
                f"{name}_firing_rate": average(row, "firing_rate", collected) if row else np.nan,
                f"{name}_energy_uj": average(row, "energy_uj", collected) if row else np.nan,
            }
        over = gain(line.main, collected) if line.main else None
        record |= {"gain_of": line.main, "gain": over.mean if over else np.nan}
        record["gain_ci95"] = over.half if over else np.nan
        records.append(record)
    return pd.DataFrame(records)


def for_reading(collected: Collected, sources: Sources) -> pd.DataFrame:
    """The comparison as text."""
    params = collected.params
    made = lines(params)
    rows = []
    for line in made:
        runs = [run.metrics for row in line.cells.values() for run in collected.of_row(row)]
        teacher = f"{line.teacher} {teacher_top1(line.teacher, collected)}" if line.teacher else EMPTY
        seeds = {len(collected.of_row(row)) for row in line.cells.values()}
        cells = {LABELS.get(method, method): line.cells.get(method) for method in columns(params)}
        rows.append(
            {
                "data set": line.dataset,
                "student": line.student,
                **({"variant": _variant(line, params) or EMPTY} if any(other.of > 1 for other in made) else {}),
                "parameters": f"{runs[0].parameters:,}" if runs else EMPTY,
                "teacher": teacher,
                "T": _one({run.time_steps for run in runs}),
                "epochs": _one({run.epochs for run in runs}),
                "seeds": "-".join(str(count) for count in sorted({min(seeds), max(seeds)})),
                **{name: accuracy(row, collected) if row else EMPTY for name, row in cells.items()},
                "gain": _gain(line, collected),
                "published": _told({row: sources.cell(entry) for row, entry in _cited(line, params).items()}, params),
                "difference": _told(_differences(line, collected), params),
                "firing rate": _change(line, "firing_rate", collected),
                "energy (µJ)": _change(line, "energy_uj", collected),
            }
        )
    return pd.DataFrame(rows)


NOTE = (
    "Gain: of mixed (else of BKD, else of the method that is named) over the baseline of the same seeds. Difference: "
    "ours - published. Firing rate and energy: of the baseline → of the method that gains."
)


def methods_note(params: Params) -> str:
    """What the methods of the table learn from beside the labels; of one that is not ours, its name alone."""
    told = []
    for name in columns(params):
        label, meaning = LABELS.get(name, name), _MEANINGS.get(name)
        known_as = label if label.lower() == name else f"{label} ({name})"
        told.append(f"{known_as}: {meaning}" if meaning else known_as)
    return f"Methods, all on top of cross-entropy: {'; '.join(told)}."


def _variant(line: Line, params: Params) -> str:
    """The settings by which a line differs from its neighbours, where it has any."""
    if line.of == 1:
        return ""
    told = [
        f"{name}={'+'.join(value) if isinstance(value, dict) else value}"
        for method, row in line.cells.items()
        if method != "ce" or not line.main
        for name, value in params.rows[row].method_settings.items()
    ]
    return ", ".join(dict.fromkeys(told))


def _gain(line: Line, collected: Collected) -> str:
    over = gain(line.main, collected) if line.main else None
    if over is None:
        return EMPTY
    return f"{with_spread(over.mean, over.half, sign='+')} ({_label(line.main, collected.params)})"


def _cited(line: Line, params: Params) -> dict[str, Published]:
    """What was published for the rows of a line, in the order of the columns."""
    rows = [line.cells[method] for method in columns(params) if method in line.cells]
    return {row: params.rows[row].published for row in rows if params.rows[row].published}


def _differences(line: Line, collected: Collected) -> dict[str, str]:
    """Ours - published as text, of the rows that have both."""
    cited = {row: entry.value for row, entry in _cited(line, collected.params).items() if entry.value is not None}
    return {row: f"{top1(row, collected).mean() - value:+.2f}" for row, value in cited.items() if collected.of_row(row)}


def _told(cells: dict[str, str], params: Params) -> str:
    return ", ".join(f"{_label(row, params)} {cell}" for row, cell in cells.items()) or EMPTY


def _change(line: Line, name: str, collected: Collected) -> str:
    rows = dict.fromkeys(row for row in (line.cells.get("ce"), line.main) if row)
    return " → ".join(number(average(row, name, collected), ".3f") for row in rows)


def _label(row: str, params: Params) -> str:
    method = params.methods[params.rows[row].method].method
    return LABELS.get(method, method)


def _one(values: set) -> str:
    """The value that all have in common, else all of them."""
    return ", ".join(str(value) for value in sorted(values - {None})) or EMPTY
