"""Stage build_tables@<table>: from judged runs to the table and its figures."""

from pathlib import Path

from bkdsnn.params import load_params
from bkdsnn.paths import new_folder
from bkdsnn.stage import run_stage
from bkdsnn.tracking import report_tracker


def build_tables(table: str) -> None:
    from bkdsnn.data.arrays import ArrayData  # late: an idle process has left without torch
    from bkdsnn.reporting.collect import collect
    from bkdsnn.reporting.figures import draw_figures
    from bkdsnn.reporting.tables import write_tables

    params = load_params()
    collected = collect(Path("results/runs") / table, params)
    data = {name: ArrayData(Path("data") / name) for name in dict.fromkeys(row.dataset for row in params.rows.values())}
    tables, figures = Path("results/tables") / table, Path("results/figures") / table
    with new_folder(figures) as folder:
        draw_figures(folder, params, collected, data)
    with new_folder(tables) as folder:
        write_tables(folder, params, collected)
    with report_tracker() as tracker:
        for folder in (tables, figures):
            tracker.artifact(folder)
    print((tables / "table.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_stage(build_tables)
