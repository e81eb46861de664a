"""The table as papers print it: one line per data set and student, one column per method."""

import numpy as np
import pandas as pd

from bkdsnn.params.schema import Params, Published
from bkdsnn.params.settings import settings_of
from bkdsnn.reporting.collect import Collected
from bkdsnn.reporting.intervals import average, gain, mean_and_std, top1
from bkdsnn.reporting.layout import EMPTY, number, with_spread
from bkdsnn.reporting.lines import Line, lines, variant
from bkdsnn.reporting.methods import columns, label, meaning, method_of, reference_of
from bkdsnn.reporting.notes import Sources
from bkdsnn.reporting.tables import accuracy, teacher_top1
from bkdsnn.reporting.verdicts import Verdict, as_columns, verdicts


def numbers(collected: Collected) -> pd.DataFrame:
    """The comparison as numbers, one record per line; what the csv holds."""
    params, found = collected.params, verdicts(collected)
    records = []
    for line in lines(params):
        record: dict[str, object] = {"dataset": line.dataset, "student": line.student, "teacher": line.teacher}
        record["variant"] = variant(line, params)
        for method in columns(params):
            name, row = label(method, params).lower(), line.cells.get(method)
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
                f"{name}_verdict": found[row].word if row in found else None,
            }
        gained = gain(line.main, collected) if line.main else None
        record |= {"gain_of": line.main, "gain": gained.mean if gained else np.nan}
        record["gain_over"] = reference_of(params.rows[line.main], params) if gained else None
        record |= as_columns("gain", gained, found.get(line.main))
        records.append(record)
    return pd.DataFrame(records)


def for_reading(collected: Collected, sources: Sources) -> pd.DataFrame:
    """The comparison as text."""
    params, found = collected.params, verdicts(collected)
    made = lines(params)
    rows = []
    for line in made:
        runs = [run.metrics for row in line.cells.values() for run in collected.of_row(row)]
        teacher = f"{line.teacher} {teacher_top1(line.teacher, collected)}" if line.teacher else EMPTY
        seeds = {len(collected.of_row(row)) for row in line.cells.values()}
        cells = {label(method, params): line.cells.get(method) for method in columns(params)}
        rows.append(
            {
                "data set": line.dataset,
                "student": line.student,
                **({"variant": variant(line, params) or EMPTY} if any(other.of > 1 for other in made) else {}),
                "parameters": f"{runs[0].parameters:,}" if runs else EMPTY,
                "teacher": teacher,
                "T": _one({run.time_steps for run in runs}),
                "epochs": _one({run.epochs for run in runs}),
                "seeds": "-".join(str(count) for count in sorted({min(seeds), max(seeds)})),
                **{name: accuracy(row, collected) if row else EMPTY for name, row in cells.items()},
                "gain": _gain(line, found, collected),
                "verdicts": verdicts_of(line, found, params),
                "published": _listed({row: sources.cell(entry) for row, entry in _cited(line, params).items()}, params),
                "difference": _listed(_differences(line, collected), params),
                "firing rate": _change(line, "firing_rate", collected),
                "energy (µJ)": _change(line, "energy_uj", collected),
            }
        )
    return pd.DataFrame(rows)


NOTE = (
    "Gain: of the method that is named over the baseline (or the row that is named), of the same seeds; verdicts: of "
    "all methods. "
    "Difference: ours - published. Firing rate and energy (a relative estimate): of the baseline → of the method that "
    "gains."
)


def methods_note(params: Params) -> str:
    """What the methods of the table learn from beside the labels; of one that does not say, its name alone."""
    notes = []
    for name in columns(params):
        known_as, what = label(name, params), meaning(name, params)
        known_as = known_as if known_as.lower() == name else f"{known_as} ({name})"
        notes.append(f"{known_as}: {what}" if what else known_as)
    return f"Methods, all with a cross-entropy (of the mean logits, or of every time step's): {'; '.join(notes)}."


def settings_note(params: Params) -> str:
    """The settings of every method, and of the rows whose own are others: what `-S` or an edit changed is seen."""
    groups: dict[tuple[str, str], list[str]] = {}
    for key, row in params.rows.items():
        settings = ", ".join(f"{name} {_words(value)}" for name, value in settings_of(row, params).items())
        groups.setdefault((method_of(row, params), settings), []).append(key)
    methods = [method for method, _ in groups]
    notes = []
    for (method, settings), keys in groups.items():
        rows = f" ({', '.join(keys)})" if methods.count(method) > 1 else ""
        notes.append(f"{label(method, params)}{rows}: {settings or 'none'}")
    return f"Settings of the methods: {'; '.join(notes)}."


def _words(value: object) -> str:
    return ", ".join(f"{name}: {entry}" for name, entry in value.items()) if isinstance(value, dict) else str(value)


def _gain(line: Line, found: dict[str, Verdict], collected: Collected) -> str:
    gained = gain(line.main, collected) if line.main else None
    if gained is None:
        return EMPTY
    said = f"{_compared(line.main, collected.params)}, {found[line.main].word}"
    return f"{with_spread(gained.mean, gained.half, sign='+')} ({said})"


def verdicts_of(line: Line, found: dict[str, Verdict], params: Params) -> str:
    """`better: BKD; undecided: logits, mixed`, in the order of the columns."""
    rows = [row for method in columns(params) if (row := line.cells.get(method)) in found]
    words = dict.fromkeys(found[row].word for row in rows)
    named = {word: ", ".join(_compared(row, params) for row in rows if found[row].word == word) for word in words}
    return "; ".join(f"{word}: {labels}" for word, labels in named.items()) or EMPTY


def _cited(line: Line, params: Params) -> dict[str, Published]:
    """What was published for the rows of a line, in the order of the columns."""
    rows = [line.cells[method] for method in columns(params) if method in line.cells]
    return {row: params.rows[row].published for row in rows if params.rows[row].published}


def _differences(line: Line, collected: Collected) -> dict[str, str]:
    """Ours - published as text, of the rows that have both."""
    cited = {row: entry.value for row, entry in _cited(line, collected.params).items() if entry.value is not None}
    ours = {row: top1(row, collected).mean() for row in cited if collected.of_row(row)}
    return {row: f"{mean - cited[row]:+z.2f}" for row, mean in ours.items()}


def _listed(cells: dict[str, str], params: Params) -> str:
    return ", ".join(f"{_label(row, params)} {cell}" for row, cell in cells.items()) or EMPTY


def _change(line: Line, name: str, collected: Collected) -> str:
    rows = dict.fromkeys(row for row in (line.baseline, line.main) if row)
    return " → ".join(number(average(row, name, collected), ".3f") for row in rows)


def _label(row: str, params: Params) -> str:
    return label(method_of(params.rows[row], params), params)


def _compared(row: str, params: Params) -> str:
    """`BKD`, or `BKD over kdsnn` where its gain is not over the baseline, `no-restore over bkd` where both are BKD."""
    over = params.rows[row].over
    if not over:
        return _label(row, params)
    alike = method_of(params.rows[row], params) == method_of(params.rows[over], params)
    return f"{row if alike else _label(row, params)} over {over}"


def _one(values: set) -> str:
    """The value that all have in common, else all of them."""
    return ", ".join(str(value) for value in sorted(values - {None})) or EMPTY
