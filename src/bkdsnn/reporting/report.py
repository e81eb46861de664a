"""Writes the tables of a report: the comparison and the detail, each as Markdown, csv and LaTeX."""

from pathlib import Path

from bkdsnn.files import write_json
from bkdsnn.reporting import comparison, tables, verdicts
from bkdsnn.reporting.collect import Collected
from bkdsnn.reporting.layout import markdown, tex
from bkdsnn.reporting.notes import Sources, common_notes


def write_tables(folder: Path, collected: Collected) -> None:
    """Writes comparison.* and table.* (md, csv, tex) and summary.json (both top-1 by row, for `dvc metrics`)."""
    params, sources = collected.params, Sources(collected.params)
    judged = verdicts.note(verdicts.verdicts(collected))
    notes = [
        comparison.methods_note(params),
        comparison.settings_note(params),
        judged,
        *common_notes(collected, sources),
    ]
    contents = {
        "comparison": (comparison.numbers(collected), comparison.for_reading(collected, sources), [comparison.NOTE], 2),
        "table": (tables.numbers(collected), tables.for_reading(collected, sources), tables.NOTES, 1),
    }
    for name, (numbers, readable, own_notes, left) in contents.items():
        numbers.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
        said = (params.title, readable, own_notes + notes)
        (folder / f"{name}.md").write_text(markdown(*said), encoding="utf-8")
        (folder / f"{name}.tex").write_text(tex(*said, left=left), encoding="utf-8")
    write_json(folder / "summary.json", tables.summary(collected))
