"""The winning student of a table as a registered model: `python -m bkdsnn.tools.register [--table T] [--row R]`."""

import argparse
import tempfile
from pathlib import Path

from bkdsnn import environment, paths
from bkdsnn.command import run_stage
from bkdsnn.errors import InputError
from bkdsnn.export.mlflow_model import winner, write_model, write_pyfunc
from bkdsnn.export.model_card import read_metrics
from bkdsnn.files import digest
from bkdsnn.params.schema import load_params
from bkdsnn.tracking.tracker import evaluation_tracker


def register(*, table: str | None, row: str | None) -> None:
    """Registers the winner of all rows, or of one, as `bkdsnn-<table>`."""
    params = load_params()
    if table not in (None, params.table):
        raise InputError(
            f"params.yaml holds the table '{params.table}': `make params TABLE={table}` and `dvc repro` first"
        )
    if row is not None:
        params.entry("rows", row)
    if not environment.tracked():
        raise InputError("BKDSNN_TRACKING is off: there is no store to register in")
    results = paths.runs(params.runs_table)
    key, accuracy = winner(params, results, rows=[row] if row else params.rows)
    run = params.runs[key]
    source = paths.student(run.table, key)
    read_metrics(results / key, of=source)
    print(f"{key}: of the row {run.row}, {accuracy:.2f} % on the validation split in the mean over its seeds")
    with tempfile.TemporaryDirectory() as name:
        student, model = Path(name, "student"), Path(name, "model")
        student.mkdir()
        write_model(student, key, params)
        write_pyfunc(model, student)
        with evaluation_tracker(name=key, kind="student", seed=run.seed, digest=digest(source)) as tracker:
            tracker.register(f"bkdsnn-{params.table}", model, digest=digest(source))
    if tracker.failed:
        raise InputError("MLflow has not taken the model, see above")


def _register(*options: str) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("table", "row"):
        parser.add_argument(f"--{option}")
    register(**vars(parser.parse_args(options)))


if __name__ == "__main__":
    run_stage(_register)
