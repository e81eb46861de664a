"""Whether what the composition derives in params.yaml is what its rows and knobs make of it, or was edited by hand."""

from collections.abc import Iterable

from bkdsnn.errors import InputError
from bkdsnn.params.read import FILE
from bkdsnn.params.runs import caches_of, runs_of, teacher_runs_of
from bkdsnn.params.schema import Params
from bkdsnn.params.settings import settings_of


def how(setting: str, params: Params) -> str:
    """What to do where params.yaml was edited by hand."""
    return f"params.yaml was edited by hand where only the composition takes effect: use {_anew(setting, params)}"


def _anew(setting: str, params: Params) -> str:
    """The command that composes a setting; it begins with the default table, so it is told this one, too."""
    return f"`dvc exp run -S table={params.table} -S {setting}`"


def check_runs(params: Params) -> None:
    """The runs are those of the rows and seeds; only a run's `method_settings` may have been edited by hand."""
    plain = params.model_dump(mode="json")
    table = params.same_runs_as or params.table
    if made := ", ".join(sorted({params.runs_table, *(run.table for run in params.runs.values())} - {table})):
        where = "same_runs_as" if params.same_runs_as else "table"
        raise InputError(f"{FILE}: {where}: '{table}', but the runs are those of {made}; `dvc exp run -S table=NAME`")
    if both := sorted(set(params.runs) & set(params.teachers)):
        raise InputError(f"{FILE}: teachers.{both[0]}: a run is called so too, and their results lie side by side")
    expected = runs_of(rows=plain["rows"], seeds=params.seeds, table=table, parts=plain)
    if set(expected) != set(params.runs):
        odd = sorted(set(expected) ^ set(params.runs))[0]
        raise InputError(
            f"{FILE}: seeds {params.seeds} and the rows ask for other runs than there are (first: '{odd}'); "
            + how("'seeds=[...]'", params)
        )
    for key, run in plain["runs"].items():
        for field, wanted in expected[key].items():
            if run[field] != wanted and field != "method_settings":
                raise InputError(
                    f"{FILE}: runs.{key}.{field}: {run[field]!r}, but its row makes it {wanted!r}; "
                    + how("rows.ROW.KEY=VALUE", params)
                )
    derived = {
        "caches": caches_of(rows=plain["rows"], recipes=plain["recipes"], teachers=plain["teachers"]),
        "teacher_runs": teacher_runs_of(teachers=plain["teachers"], methods=plain["methods"]),
    }
    for group, wanted in derived.items():
        if plain[group] != wanted:
            raise InputError(f"{FILE}: {group} are not those that the rows need; {how('KEY=VALUE', params)}")


def check_knobs(params: Params) -> None:
    """A knob that has a value is used by at least one part that could use it."""
    frames = [part.settings.get("frames") or {} for part in params.datasets.values()]
    users = {
        "blur_ratio": _values("blur_ratio", (settings_of(run, params) for run in params.runs.values())),
        "time_steps": _values("time_steps", [part.settings for part in params.students.values()] + frames),
        "precision": {recipe.precision for recipe in params.recipes.values()},
    }
    for knob, used in users.items():
        value = getattr(params, knob)
        if value is not None and used and value not in used:
            found = ", ".join(map(str, sorted(used)))
            raise InputError(
                f"{FILE}: {knob}: {value} has no effect, the runs have {found}: it was edited by hand "
                f"(use {_anew(f'{knob}={value}', params)}), or this table fixes it row by row"
            )


def _values(key: str, settings: Iterable[dict]) -> set:
    return {entry[key] for entry in settings if key in entry}
