"""Puts the committed comparison into the README, so that no number there is typed (`make readme`)."""

import re
from pathlib import Path

from bkdsnn import paths
from bkdsnn.command import run_stage
from bkdsnn.errors import InputError
from bkdsnn.files import new_file

START, END = "<!-- table: digits -->\n", "<!-- end of table -->\n"
# Columns that are left to the whole table; what is neither here nor a method's stays.
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
_CELL = re.compile(r"(?<!\\)\|")


def with_table(text: str, table: str) -> str:
    """The README's text with the lines between the marks replaced by the comparison, without title, notes, LEFT_OUT."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise InputError(f"README.md: the marks {START.strip()} and {END.strip()} are not both there")
    return f"{before}{START}\n{_short(table)}\n{END}{after}"


def _short(table: str) -> str:
    """A Markdown file's one table, less the columns that are left out."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    head, rule, *body = ([cell.strip() for cell in _CELL.split(line)[1:-1]] for line in lines)
    kept = [place for place, name in enumerate(head) if name not in LEFT_OUT]
    rule = [":---" if mark.startswith(":") else "---" for mark in rule]
    return "".join(f"| {' | '.join(line[place] for place in kept)} |\n" for line in (head, rule, *body))


def readme() -> None:
    file, table = Path("README.md"), paths.tables("digits") / "comparison.md"
    if not table.is_file():
        raise InputError(f"{table}: missing; run `dvc repro`")
    updated = with_table(file.read_text(encoding="utf-8"), table.read_text(encoding="utf-8"))
    with new_file(file) as written:
        written.write_text(updated, encoding="utf-8")


if __name__ == "__main__":
    run_stage(readme)
