"""Puts committed results into README.md and docs/speed.md, so that no number there is typed (`make readme`)."""

import re
from pathlib import Path

from bkdsnn import paths
from bkdsnn.command import run_stage
from bkdsnn.errors import InputError
from bkdsnn.files import new_file
from bkdsnn.tools.gpu_check import committed

START, END = "<!-- table: digits -->\n", "<!-- end of table -->\n"
GPU_START, GPU_END = "<!-- results/gpu -->\n", "<!-- end of results/gpu -->\n"
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
    return _between(text, START, END, _short(table), where="README.md")


def with_gpus(text: str, measured: str) -> str:
    """The text of docs/speed.md with what was measured on GPUs between its marks."""
    return _between(text, GPU_START, GPU_END, measured, where="docs/speed.md")


def _between(text: str, start: str, end: str, content: str, *, where: str) -> str:
    before, found, rest = text.partition(start)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise InputError(f"{where}: the marks {start.strip()} and {end.strip()} are not both there")
    return f"{before}{start}\n{content}\n{end}{after}"


def _short(table: str) -> str:
    """A Markdown file's one table, less the columns that are left out."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    head, rule, *body = ([cell.strip() for cell in _CELL.split(line)[1:-1]] for line in lines)
    kept = [place for place, name in enumerate(head) if name not in LEFT_OUT]
    rule = [":---" if mark.startswith(":") else "---" for mark in rule]
    return "".join(f"| {' | '.join(line[place] for place in kept)} |\n" for line in (head, rule, *body))


def readme() -> None:
    table = paths.tables("digits") / "comparison.md"
    if not table.is_file():
        raise InputError(f"{table}: missing; run `dvc repro`")
    made = {Path("README.md"): (with_table, table.read_text(encoding="utf-8"))}
    made[Path("docs/speed.md")] = (with_gpus, committed.measured())
    for file, (put, content) in made.items():
        updated = put(file.read_text(encoding="utf-8"), content)
        with new_file(file) as written:
            written.write_text(updated, encoding="utf-8")


if __name__ == "__main__":
    run_stage(readme)
