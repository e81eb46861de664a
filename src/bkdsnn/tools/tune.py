"""`make tune TABLE= ROW= SPACE= SEEDS=`: which settings of a row are best on the validation split.

Trains every point of the space with every seed and evaluates nothing: the test split is never looked at.
"""

import itertools

import pandas as pd
from tabulate import tabulate

from bkdsnn import paths
from bkdsnn.command import run_stage
from bkdsnn.errors import InputError
from bkdsnn.params import cards
from bkdsnn.params.check import check
from bkdsnn.params.schema import Params, load_params
from bkdsnn.reporting.intervals import mean_and_std
from bkdsnn.reporting.layout import with_spread
from bkdsnn.tools.compose import check_table
from bkdsnn.tools.repro.params_file import alone, composed, lock_kept
from bkdsnn.tools.repro.processes import dvc_repro
from bkdsnn.tools.repro.row import check_row
from bkdsnn.tracking import server
from bkdsnn.trained import checked

_FIXED = ("table", "seeds", "rows", "runs")  # what is tuned is one row, with the seeds that SEEDS names


def tune(table: str, row: str, space: str, seeds: str) -> None:
    """Prints the points by validation top-1, best first, and writes all trials; params.yaml and dvc.lock stay."""
    check_table([f"table={table}"])
    wanted, points = seeds_of(seeds), points_of(space)
    with alone(), lock_kept():
        _check(table, row, points, wanted)
        with server.running():
            trials = [trial for point in points for trial in _trials(table, row, point, wanted)]
    target = paths.tuning(table, row)
    target.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(trials).to_csv(target, index=False, lineterminator="\n")
    print(tabulate(ranking(trials), headers="keys", tablefmt="github", showindex=False, disable_numparse=True))
    spread = f"mean ± standard deviation over seeds {seeds}" if len(wanted) > 1 else f"seed {seeds}"
    print(f"Validation split, last epoch, {spread}; every trial: {target}")


def points_of(space: str) -> list[list[str]]:
    """The points of a space in Hydra's words (`a.b=1,2 c=x`): every combination of the values, as overrides."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_overrides(space.split())
        axes = [[f"{one.get_key_element()}={value}" for value in _values(one)] for one in parsed]
    except HydraException as error:
        raise InputError(f"SPACE: {' '.join(str(error).split())}") from error
    if taken := [one.key_or_group for one in parsed if one.key_or_group.split(".")[0] in _FIXED]:
        raise InputError(f"SPACE: {taken[0]}: a space is of the parts of a row: methods., recipes., blur_ratio, ...")
    if not parsed:
        raise InputError("SPACE: empty: wanted KEY=VALUE,VALUE,... such as blur_ratio=0.1,0.2")
    return [list(point) for point in itertools.product(*axes)]


def _values(override) -> list[str]:
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    if not override.is_discrete_sweep():
        raise InputError(f"SPACE: {override.input_line}: wanted single values: KEY=VALUE,VALUE,...")
    return list(override.sweep_string_iterator())


def seeds_of(text: str) -> list[int]:
    """Seeds from `100,101`; `InputError` where it is no list of whole numbers, each once."""
    seeds = text.split(",")
    if not all(seed.isdecimal() for seed in seeds) or len({int(seed) for seed in seeds}) < len(seeds):
        raise InputError(f"SEEDS={text}: wanted whole numbers from 0 on, each once, such as 100,101")
    return [int(seed) for seed in seeds]


def check_unused(seeds: list[int], table_seeds: list[int]) -> None:
    """Raises `InputError` where a table is made with these seeds: it would be chosen for them."""
    if used := sorted(set(seeds) & set(table_seeds)):
        raise InputError(f"SEEDS: {used[0]} is a seed of the table itself ({', '.join(map(str, table_seeds))})")


def _check(table: str, row: str, points: list[list[str]], seeds: list[int]) -> None:
    """All that can be known before the first training: row, seeds, settings, and that each point is another run."""
    known: dict[str, list[str]] = {}
    for point in points:
        with composed([f"table={table}", *point]):
            params = load_params()
            check_row(row, table, params)
            check_unused(seeds, params.seeds)
            check(params)
            if not params.recipes[params.rows[row].recipe].epochs:
                raise InputError(f"ROW={row}: it is as others published it: nothing is trained")
            card = cards.sha256_of(cards.of_run(params, f"{row}-s{params.seeds[0]}"))
        if (first := known.setdefault(card, point)) is not point:
            raise InputError(f"SPACE: {' '.join(first)} and {' '.join(point)} are the same run of this row")


def _trials(table: str, row: str, point: list[str], seeds: list[int]) -> list[dict]:
    """A point trained with each seed."""
    with composed([f"table={table}", f"seeds=[{','.join(map(str, seeds))}]", *point]):
        keys = [f"{row}-s{seed}" for seed in seeds]
        dvc_repro(*[f"train_student@{key}" for key in keys])
        params = load_params()
        return [_trial(key, point, params) for key in keys]


def _trial(key: str, point: list[str], params: Params) -> dict:
    """One trial: its settings, its seed, the card that it was trained by, and validation top-1 (%), last epoch."""
    history = pd.read_csv(checked(paths.student(params.runs_table, key), "history.csv"))
    return {
        **dict(setting.split("=", 1) for setting in point),
        "seed": params.runs[key].seed,
        "params_sha256": cards.sha256_of(cards.of_run(params, key)),
        "validation_top1": float(history["validation_top1"].iloc[-1]),
    }


def ranking(trials: list[dict]) -> pd.DataFrame:
    """The points as text, best mean first; of equal ones the first of the space."""
    points: dict[str, list[float]] = {}
    for trial in trials:
        points.setdefault(_settings(trial), []).append(trial["validation_top1"])
    rows = [(point, *mean_and_std(pd.Series(values).to_numpy()), len(values)) for point, values in points.items()]
    rows.sort(key=lambda entry: -entry[1])
    return pd.DataFrame(
        [
            {"settings": point, "validation top-1 %": with_spread(mean, std), "seeds": str(count)}
            for point, mean, std, count in rows
        ]
    )


def _settings(trial: dict) -> str:
    own = {name: value for name, value in trial.items() if name not in ("seed", "params_sha256", "validation_top1")}
    return " ".join(f"{name}={value}" for name, value in own.items())


if __name__ == "__main__":
    run_stage(tune)
