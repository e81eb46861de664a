"""`make row TABLE=cifar100 ROW=... SEED=0`: one row with what it needs, and nothing else."""

import difflib

from bkdsnn import paths
from bkdsnn.command import run_stage
from bkdsnn.errors import InputError
from bkdsnn.files import read_json
from bkdsnn.params.schema import Params, load_params
from bkdsnn.tools.compose import check_table
from bkdsnn.tools.repro.params_file import alone, composed
from bkdsnn.tools.repro.processes import dvc_repro
from bkdsnn.tracking import server


def row(table: str, name: str, seed: str) -> None:
    """Trains and evaluates one run of a table; params.yaml is afterwards as it was. `InputError` for no such row."""
    if not seed.isdecimal() or seed != str(int(seed)):
        raise InputError(f"SEED={seed}: wanted a whole number from 0 on")
    check_table([f"table={table}"])
    with alone(), composed([f"table={table}", f"seeds=[{seed}]"]):
        params = load_params()
        check_row(name, table, params)
        key = f"{name}-s{seed}"
        if key not in params.runs:
            raise InputError(f"SEED={seed}: the row '{name}' is as others published it: SEED=0 is its only run")
        with server.running():
            dvc_repro(f"evaluate@{key}")
        folder = paths.runs(params.runs_table) / key
        top1 = read_json(folder / "metrics.json")["test_top1"]
        print(f"{folder}: {top1:.2f} % of the test split, last epoch")


def check_row(name: str, table: str, params: Params) -> None:
    """Raises `InputError` with the rows there are, where a table has no such row."""
    if name not in params.rows:
        near = difflib.get_close_matches(name, params.rows, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"ROW={name}: table '{table}' has no such row; {guess}there are {', '.join(params.rows)}")


if __name__ == "__main__":
    run_stage(row)
