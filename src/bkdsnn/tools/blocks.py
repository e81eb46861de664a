"""What documents say of committed tables and trials: blocks of Markdown, each of one kind (`make readme`)."""

import re

import pandas as pd
from tabulate import tabulate

from bkdsnn import paths
from bkdsnn.errors import InputError
from bkdsnn.reporting.layout import EMPTY, number, with_spread
from bkdsnn.reporting.verdicts import BETTER, TOO_FEW, UNDECIDED, WORSE

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
_NOTES = ("Mean ±", "Data ", "Made with", "Missing", "Broken", "Other params")  # of a whole table, for below its rows
_CELL = re.compile(r"(?<!\\)\|")


def comparison(table: str) -> str:
    """A table as papers print it, without title, notes and what LEFT_OUT names."""
    return short(_file(table, "comparison.md"))


def short(text: str) -> str:
    """A Markdown file's one table, less the columns that are left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    head, rule, *body = ([cell.strip() for cell in _CELL.split(line)[1:-1]] for line in lines)
    kept = [place for place, name in enumerate(head) if name not in LEFT_OUT]
    rule = [":---" if mark.startswith(":") else "---" for mark in rule]
    return "".join(f"| {' | '.join(line[place] for place in kept)} |\n" for line in (head, rule, *body))


def rows(table: str) -> str:
    """A table row by row, best first: test top-1, gain, verdict; and the notes on seeds, data and versions."""
    found = _numbers(table).sort_values("top1_mean", ascending=False, kind="stable", na_position="last")
    made = [
        {
            "row": row["row"],
            "test top-1 %": with_spread(row["top1_mean"], row["top1_std"]),
            "gain over": row["gain_over"] if isinstance(row["gain_over"], str) else EMPTY,
            "gain": with_spread(row["gain"], row["gain_ci95"], sign="+"),
            "verdict": row["gain_verdict"] if isinstance(row["gain_verdict"], str) else EMPTY,
            "p, corrected": number(row["gain_p_holm"], ".3f"),
            "gap closed, %": number(100 * row["gap_closed"], ".0f"),
            "teacher %": number(row["teacher_top1"], ".2f"),
            "T": row["T"],
            "seeds": row["seeds"],
        }
        for row in found.to_dict("records")
    ]
    notes = [line for line in _file(table, "table.md").splitlines() if line.removeprefix("- ").startswith(_NOTES)]
    return "\n".join([_markdown(made), "", *notes, ""])


def gains(table: str) -> str:
    """One line per verdict: the rows that have it, the highest gain first."""
    found = _numbers(table).dropna(subset="gain").sort_values("gain", ascending=False, kind="stable")
    lines = []
    for word in (BETTER, WORSE, UNDECIDED, TOO_FEW):
        own = [_gain(row) for row in found[found["gain_verdict"] == word].to_dict("records")]
        lines += [f"- **{word}**: {', '.join(own)}."] if own else []
    return "\n".join([*lines, ""])


def _gain(row: dict) -> str:
    return f"{row['row']} over {row['gain_over']} {with_spread(row['gain'], row['gain_ci95'], sign='+')}"


def trials(table: str) -> str:
    """All trials of a table's rows on the validation split, and the choice: the best, of equal ones the smallest."""
    prefix = f"{table}-"
    files = sorted(paths.tuning(table, "*").parent.glob(f"{prefix}*.csv"))
    return "\n".join([_markdown([_trials(file.stem.removeprefix(prefix), pd.read_csv(file)) for file in files]), ""])


def _trials(row: str, found: pd.DataFrame) -> dict[str, str]:
    settings = [name for name in found.columns if "." in name]
    varied = next(name for name in settings if found[name].nunique() > 1)
    tried = found.sort_values(varied)
    return {
        "row": row,
        "setting": varied.rpartition(".")[2],
        "values": ", ".join(f"{value:g}" for value in tried[varied]),
        "validation top-1 %": ", ".join(f"{value:.1f}" for value in tried["validation_top1"]),
        "chosen": f"{chosen(tried, varied):g}",
    }


def chosen(found: pd.DataFrame, setting: str) -> float:
    """The value with the best validation top-1, of equal ones the smallest."""
    tried = found.sort_values(setting)
    return float(tried[setting].iloc[int(tried["validation_top1"].to_numpy().argmax())])


def _markdown(records: list[dict]) -> str:
    return tabulate(records, headers="keys", tablefmt="github", disable_numparse=True)


def _numbers(table: str) -> pd.DataFrame:
    _file(table, "table.csv")
    return pd.read_csv(paths.tables(table) / "table.csv")


def _file(table: str, name: str) -> str:
    file = paths.tables(table) / name
    if not file.is_file():
        raise InputError(f"{file}: missing; run `dvc repro`")
    return file.read_text(encoding="utf-8")
