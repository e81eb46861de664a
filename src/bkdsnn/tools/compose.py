"""Composes params.yaml from the catalogue without running anything, exactly as `dvc exp run` would."""

import shutil
import tempfile
from pathlib import Path

from bkdsnn import paths
from bkdsnn.command import run_stage
from bkdsnn.errors import InputError
from bkdsnn.files import new_file
from bkdsnn.params import cards
from bkdsnn.params.check import check
from bkdsnn.params.read import FILE
from bkdsnn.params.schema import Params, load_params

_OWN = "-S same_runs_as=null gives this table runs of its own"


def compose(output: Path, overrides: list[str]) -> None:
    """Writes the composition of `conf/config.yaml` with overrides such as `table=digits-blur`, whole or not at all.

    `InputError` for overrides that Hydra does not understand, and for what cannot be composed of them.
    """
    from dvc.utils.hydra import compose_and_dump  # late: `make gpu-check` gets what is composed as a file

    try:
        with new_file(output) as written:
            compose_and_dump(written, str(paths.CONF), None, "config", str(paths.CONF.parents[1]), overrides)
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("hydra", "omegaconf"):
            raise
        said = " ".join(str(error).split()).removeprefix("InputError raised while resolving interpolation: ")
        raise InputError(": ".join([*filter(None, [" ".join(overrides)]), said])) from error


def check_table(overrides: list[str]) -> None:
    """`InputError` with the tables there are, where an override names another."""
    tables = paths.catalogue("table")
    for name in (override.removeprefix("table=") for override in overrides if override.startswith("table=")):
        if name not in tables:
            raise InputError(f"table '{name}': there is none; there are {', '.join(tables)}")


def check_same_runs(params: Params) -> None:
    """`InputError` where a table shows the runs of another one and has any that that one, composed alike, has not."""
    if (name := params.same_runs_as) is None:
        return
    if name == params.table:
        raise InputError(f"{FILE}: same_runs_as: '{name}': the table itself; wanted another one, or null")
    check_table([f"table={name}"])
    theirs = _cards(_composed_alike(name, params))
    for place, card in _cards(params).items():
        if place not in theirs:
            raise InputError(f"{FILE}: same_runs_as: table '{name}' has no {'.'.join(place)}; {_OWN}")
        if differing := [part for part in card if card[part] != theirs[place].get(part)]:
            raise InputError(
                f"{FILE}: same_runs_as: {'.'.join(place)} has another {differing[0]} than that of table '{name}', "
                f"whose results it would replace; {_OWN}"
            )


def _composed_alike(table: str, params: Params) -> Params:
    """Another table with the same seeds and knobs."""
    knobs = {knob: getattr(params, knob) for knob in ("blur_ratio", "time_steps", "precision")}
    same = [f"{knob}={value}" for knob, value in knobs.items() if value is not None]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        compose(path, [f"table={table}", f"seeds=[{','.join(map(str, params.seeds))}]", *same])
        return load_params(path)


def _cards(params: Params) -> dict[tuple[str, str], cards.Card]:
    """The cards of a table's runs and of what they read."""
    rows = params.rows.values()
    read = {
        "runs": set(params.runs),
        "teachers": {row.teacher for row in rows},
        "datasets": {row.dataset for row in rows},
    }
    return {place: card for place, card in cards.all_cards(params).items() if place[1] in read.get(place[0], ())}


def params(*overrides: str) -> None:
    """Writes params.yaml where it passes what the stage check_params asks; `InputError` with that stage's line."""
    from bkdsnn.teachers.fit import check_fit  # late: torch takes seconds

    check_table(list(overrides))
    with tempfile.TemporaryDirectory() as folder:
        composed = Path(folder) / FILE  # DVC writes YAML where the name ends so
        compose(composed, list(overrides))
        found = load_params(composed)
        check(found)
        check_fit(found)
        check_same_runs(found)
        with new_file(Path(FILE)) as written:
            shutil.copyfile(composed, written)


if __name__ == "__main__":
    run_stage(params)
