"""Stage build_tables@<table>: from judged runs to the table and its figures."""

import logging
from pathlib import Path

from bkdsnn.params import load_params
from bkdsnn.paths import digest, new_folder, write_json
from bkdsnn.stage import run_stage
from bkdsnn.tracking import report_tracker

log = logging.getLogger("bkdsnn")


def build_tables(table: str) -> None:
    from bkdsnn.data.arrays import ArrayData  # late: an idle process has left without torch
    from bkdsnn.reporting.collect import collect
    from bkdsnn.reporting.figures import draw_figures
    from bkdsnn.reporting.notes import problem_notes
    from bkdsnn.reporting.plots import write_plots
    from bkdsnn.reporting.report import write_tables

    params = load_params()
    data = {name: ArrayData(Path("data") / name) for name in dict.fromkeys(row.dataset for row in params.rows.values())}
    manifests = {name: digest(content.folder) for name, content in data.items()}
    collected = collect(Path("results/runs") / table, params, data_sha256=manifests)
    for note in problem_notes(collected):
        log.warning(note)
    tables, figures = Path("results/tables") / table, Path("results/figures") / table
    with new_folder(figures) as folder:
        drawn = draw_figures(folder, collected, data)
    with new_folder(tables) as folder:
        write_tables(folder, collected)
        write_plots(folder, collected)
        write_json(folder / "figures.json", {"figures": drawn})
    with report_tracker() as tracker:
        for folder in (tables, figures):
            tracker.artifact(folder)
    print((tables / "comparison.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_stage(build_tables)
