"""What documents say of committed tables and trials: blocks of Markdown, each of one kind (`make readme`)."""

import re

import pandas as pd
from tabulate import tabulate

from bkdsnn import paths
from bkdsnn.errors import InputError
from bkdsnn.reporting.collect import BROKEN, MISSING, OTHER
from bkdsnn.reporting.layout import EMPTY, number, with_spread
from bkdsnn.reporting.verdicts import BETTER, TOO_FEW, UNDECIDED, WORSE
from bkdsnn.tools.parts import composed

# Columns of a comparison that are left to the whole table; what is neither here nor a method's stays.
LEFT_OUT = {
    "parameters",
    "T",
    "epochs",
    "seeds",
    "published",
    "difference",
    "firing rate",
    "energy (µJ)",
}
_LEFT_OUT = [state.capitalize() for state in (MISSING, BROKEN, OTHER)]
_NOTES = ("Mean ±", "Gap closed:", "Verdicts:", "Data ", "Made with", *_LEFT_OUT)
_COLUMNS = {"row", "top1_mean", "gain", "gain_over", "gain_verdict", "gain_ci95", "gain_p_holm", "gap_closed", "T"}
_HOW = "`make params TABLE={table}` and `make repro` make it"
_CELL = re.compile(r"(?<!\\)\|")


def comparison(table: str) -> str:
    """A table as papers print it, without title, notes and what LEFT_OUT names."""
    lines = [line for line in _file(table, "comparison.md").splitlines() if line.startswith("|")]
    head, rule, *body = ([cell.strip() for cell in _CELL.split(line)[1:-1]] for line in lines)
    kept = [place for place, name in enumerate(head) if name not in LEFT_OUT]
    rule = [":---" if mark.startswith(":") else "---" for mark in rule]
    return "".join(f"| {' | '.join(line[place] for place in kept)} |\n" for line in (head, rule, *body))


def rows(table: str) -> str:
    """A table row by row, best first, under its title: test top-1, gain, verdict; and the notes on seeds and data."""
    found = _numbers(table).sort_values("top1_mean", ascending=False, kind="stable", na_position="last")
    made = [
        {
            "row": row["row"],
            "test top-1 %": with_spread(row["top1_mean"], row["top1_std"]),
            "gain over": row["gain_over"] or EMPTY,
            "gain": with_spread(row["gain"], row["gain_ci95"], sign="+"),
            "verdict": row["gain_verdict"] or EMPTY,
            "p, corrected": number(row["gain_p_holm"], ".2g"),
            "gap closed, %": number(100 * row["gap_closed"], "z.0f"),
            "teacher %": number(row["teacher_top1"], ".2f"),
            "T": number(row["T"], ".0f"),
            "seeds": row["seeds"],
        }
        for row in found.to_dict("records")
    ]
    notes = [line for line in _file(table, "table.md").splitlines() if line.removeprefix("- ").startswith(_NOTES)]
    return "\n".join([_title(table), "", _markdown(made), "", *notes, ""])


def gains(table: str) -> str:
    """A table's title, and one line per verdict: the rows that have it, the highest gain first."""
    found = _numbers(table).dropna(subset="gain").sort_values("gain", ascending=False, kind="stable")
    lines = []
    for word in (BETTER, WORSE, UNDECIDED, TOO_FEW):
        own = [_gain(row) for row in found[found["gain_verdict"] == word].to_dict("records")]
        lines += [f"- **{word}**: {', '.join(own)}."] if own else []
    return "\n".join([_title(table), "", *(lines or ["No row of it has a gain yet."]), ""])


def _title(table: str) -> str:
    """What the table is called, which says what its data are."""
    return f"{_file(table, 'table.md').splitlines()[0].removeprefix('# ')}:"


def _gain(row: dict) -> str:
    return f"{row['row']} over {row['gain_over']} {with_spread(row['gain'], row['gain_ci95'], sign='+')}"


def trials(table: str) -> str:
    """All trials of a table's rows on the validation split, as means over their seeds, and what they chose.

    Below them the rows whose choice is the smallest or the largest of its values.
    """
    files = {row: paths.tuning(table, row) for row in composed(f"table={table}")["rows"]}
    found = {row: validation(pd.read_csv(file)) for row, file in files.items() if file.is_file()}
    if not found:
        raise InputError(f"{paths.tuning(table, 'ROW')}: no row of the table '{table}' has trials: `make tune`")
    ends = [row for row, means in found.items() if means.idxmax() in (means.index[0], means.index[-1])]
    note = f"Chosen at an end of the values, so that a better one may lie beyond: {', '.join(ends) or 'none'}."
    return "\n".join([_markdown([_trials(row, means) for row, means in found.items()]), "", note, ""])


def _trials(row: str, means: pd.Series) -> dict[str, str]:
    return {
        "row": row,
        "setting": ", ".join(name.rpartition(".")[2] for name in means.index.names),
        "values": ", ".join(map(_point, means.index)),
        "validation top-1 %": ", ".join(f"{value:.1f}" for value in means),
        "chosen": _point(means.idxmax()),
    }


def validation(trials: pd.DataFrame) -> pd.Series:
    """Validation top-1 by the settings that vary, in their order, as means over seeds.

    Its `idxmax` is the choice: the best, of equal ones the first, that is the smallest.
    """
    settings = [name for name in trials.columns if name not in ("seed", "params_sha256", "validation_top1")]
    varied = [name for name in settings if trials[name].nunique() > 1] or settings
    return trials.groupby(varied)["validation_top1"].mean()


def _point(values: object) -> str:
    return " / ".join(map(str, values)) if isinstance(values, tuple) else str(values)


def _markdown(records: list[dict]) -> str:
    return tabulate(records, headers="keys", tablefmt="github", disable_numparse=True)


def _numbers(table: str) -> pd.DataFrame:
    """table.csv with None for words that are not there; `InputError` where it has not this version's columns."""
    _file(table, "table.csv")
    found = pd.read_csv(paths.tables(table) / "table.csv")
    if lacking := _COLUMNS - set(found):
        raise InputError(f"{paths.tables(table) / 'table.csv'}: no column '{min(lacking)}'; {_HOW.format(table=table)}")
    words = ["gain_over", "gain_verdict"]
    return found.assign(**found[words].astype(object).where(found[words].notna(), None))


def _file(table: str, name: str) -> str:
    file = paths.tables(table) / name
    if not file.is_file():
        raise InputError(f"{file}: missing; {_HOW.format(table=table)}")
    return file.read_text(encoding="utf-8")
