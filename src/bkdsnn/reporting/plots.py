"""Data files of `dvc plots`: learning curves and confusion matrices, one row of the table after another."""

from pathlib import Path

import pandas as pd

from bkdsnn.reporting.collect import Collected

_CLASSES = 100  # a matrix of more cannot be read


def write_plots(folder: Path, collected: Collected) -> None:
    """Writes learning_curves.csv (means over seeds) and confusion.csv (counts, the seeds together)."""
    trained = {row: runs for row, runs in _rows(collected).items() if len(runs[0].history)}
    curves = {row: pd.concat([run.history for run in runs]) for row, runs in trained.items()}
    columns = ["row", "epoch", "task", "validation_top1"]
    _write(
        folder / "learning_curves.csv",
        [table.groupby("epoch", as_index=False)[columns[2:]].mean().assign(row=row) for row, table in curves.items()],
        columns,
    )
    counts = {row: pd.concat([run.predictions for run in runs]) for row, runs in _rows(collected).items()}
    _write(
        folder / "confusion.csv",
        [
            table.groupby(["actual", "predicted"]).size().reset_index(name="count").assign(row=row)
            for row, table in counts.items()
            if table["actual"].nunique() <= _CLASSES
        ],
        ["row", "actual", "predicted", "count"],
    )


def _rows(collected: Collected) -> dict[str, list]:
    return {row: runs for row in collected.params.rows if (runs := collected.of_row(row))}


def _write(path: Path, tables: list[pd.DataFrame], columns: list[str]) -> None:
    table = pd.concat(tables) if tables else pd.DataFrame(columns=columns)
    table[columns].to_csv(path, index=False, lineterminator="\n")
