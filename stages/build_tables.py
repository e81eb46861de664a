"""Stage build_tables@<table>: from evaluated runs to the table and its figures."""

from bkdsnn import portable
from bkdsnn.command import begin, run_stage

if __name__ == "__main__":
    begin()
    portable.use()  # before numpy and torch are imported

import logging

from bkdsnn import paths
from bkdsnn.files import digest, new_folder, write_json
from bkdsnn.params.schema import load_params
from bkdsnn.tracking.tracker import report_tracker

log = logging.getLogger("bkdsnn")


def build_tables(table: str) -> None:
    from bkdsnn.data.arrays import ArrayData  # late: an idle process has left without torch
    from bkdsnn.reporting.collect import collect
    from bkdsnn.reporting.figures.draw import draw_figures
    from bkdsnn.reporting.notes import problem_notes
    from bkdsnn.reporting.plots import write_plots
    from bkdsnn.reporting.report import write_tables

    params = load_params()
    data = {name: ArrayData(paths.dataset(name)) for name in dict.fromkeys(row.dataset for row in params.rows.values())}
    manifests = {name: digest(content.folder) for name, content in data.items()}
    collected = collect(paths.runs(params.runs_table), params, data_sha256=manifests)
    for note in problem_notes(collected):
        log.warning(note)
    with new_folder(paths.figures(table)) as folder:
        drawn = draw_figures(folder, collected, data)
    with new_folder(paths.tables(table)) as folder:
        write_tables(folder, collected)
        write_plots(folder, collected)
        write_json(folder / "figures.json", {"figures": drawn})
    with report_tracker() as tracker:
        for folder in (paths.tables(table), paths.figures(table)):
            tracker.artifact(folder)
    print((paths.tables(table) / "comparison.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_stage(build_tables)
