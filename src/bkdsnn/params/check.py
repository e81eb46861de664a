"""Whether params.yaml holds together: references, settings, and that no knob is contradicted by the runs."""

from collections.abc import Iterable

from bkdsnn import paths, plugins, portable
from bkdsnn.errors import InputError
from bkdsnn.params.read import FILE, validated
from bkdsnn.params.runs import caches_of, runs_of, teacher_runs_of
from bkdsnn.params.schema import Dataset, Params, Student
from bkdsnn.params.settings import settings_of

_HOW = "params.yaml was edited by hand where only the composition takes effect: use `dvc exp run -S {}`"


def check(params: Params) -> None:
    """Raises `InputError` with the first thing that does not hold together."""
    _check_references(params)
    _check_settings(params)
    _check_labels(params)
    _check_baselines(params)
    _check_knobs(params)
    _check_runs(params)
    _check_fit(params)
    portable.accelerator(portable=any(recipe.portable for recipe in params.recipes.values()))


def _check_references(params: Params) -> None:
    """Every part that is named exists, and no data set has the name of a folder that is used otherwise."""
    if taken := sorted(paths.TAKEN & set(params.datasets)):
        raise InputError(f"{FILE}: datasets.{taken[0]}: data/{taken[0]} is used otherwise: rename the data set")
    for group in ("rows", "runs"):
        for key, entry in getattr(params, group).items():
            for kind in ("dataset", "student", "teacher", "method", "recipe"):
                if (name := getattr(entry, kind)) is not None:
                    _known(f"{group}.{key}.{kind}", name, getattr(params, f"{kind}s"))
    for key, teacher in params.teachers.items():
        for kind in ("dataset", "method", "recipe"):
            _known(f"teachers.{key}.{kind}", getattr(teacher, kind), getattr(params, f"{kind}s"))
    for key, run in params.runs.items():
        _known(f"runs.{key}.row", run.row, params.rows)
        learnt = params.teachers[run.teacher].dataset if run.teacher else run.dataset
        if _samples(params.datasets[learnt]) != _samples(params.datasets[run.dataset]):
            raise InputError(
                f"{FILE}: runs.{key}.teacher: '{run.teacher}' learns '{learnt}', the run '{run.dataset}': "
                "they may differ in frames.time_steps alone"
            )


def _check_settings(params: Params) -> None:
    """Every part's own settings fit the schema that its file declares."""
    for key, dataset in params.datasets.items():
        _settings("source", dataset.source, dataset.settings, f"datasets.{key}")
    for group in ("students", "teachers"):
        for key, part in getattr(params, group).items():
            _settings("network", part.network, part.settings, f"{group}.{key}")
    for key, teacher in params.teachers.items():
        if plugins.load("method", params.methods[teacher.method].method).Method.needs_teacher:
            raise InputError(f"{FILE}: teachers.{key}.method: '{teacher.method}': it needs a teacher, which none has")
        method = params.methods[teacher.method]
        _settings("method", method.method, method.settings, f"methods.{teacher.method}")
    for key, run in params.runs.items():
        own = ", ".join(f"{name}={value}" for name, value in run.method_settings.items())
        where = f"methods.{run.method}" + (f" (with {own} of runs.{key})" if own else "")
        _settings("method", params.methods[run.method].method, settings_of(run, params), where)


def _check_labels(params: Params) -> None:
    """Tables call no two methods the same."""
    named: dict[str, str] = {}
    for key, part in params.methods.items():
        label = (part.label or part.method).lower()
        if (other := named.setdefault(label, part.method)) != part.method:
            raise InputError(f"{FILE}: methods.{key}.label: '{part.label or part.method}': '{other}' is called so too")


def _check_baselines(params: Params) -> None:
    """Gains are over one method, and over one row of it for the same data, student and recipe."""
    parts = {key: part.method for key, part in params.methods.items() if part.role == "baseline"}
    if len(set(parts.values())) > 1:
        first, second = list({method: key for key, method in parts.items()}.values())[:2]
        raise InputError(
            f"{FILE}: methods.{second}.role: baseline, as is methods.{first}'s: gains are over one of them"
        )
    found: dict[tuple[str, str, str], str] = {}
    for key, row in params.rows.items():
        same = row.dataset, row.student, row.recipe
        if params.methods[row.method].method in parts.values() and (other := found.setdefault(same, key)) != key:
            raise InputError(
                f"{FILE}: rows.{key}: a second baseline beside rows.{other}, of the same dataset, student and recipe: "
                "gains are over one of them"
            )


def _check_runs(params: Params) -> None:
    """The runs are those of the rows and seeds; only a run's `method_settings` may have been edited by hand."""
    plain = params.model_dump(mode="json")
    if made := ", ".join(sorted({run.table for run in params.runs.values()} - {params.table})):
        raise InputError(
            f"{FILE}: table: '{params.table}', but the runs are those of {made}; {_HOW.format('table=NAME')}"
        )
    if both := sorted(set(params.runs) & set(params.teachers)):
        raise InputError(f"{FILE}: teachers.{both[0]}: a run is called so too, and their results lie side by side")
    expected = runs_of(rows=plain["rows"], seeds=params.seeds, table=params.table, parts=plain)
    if set(expected) != set(params.runs):
        odd = sorted(set(expected) ^ set(params.runs))[0]
        raise InputError(
            f"{FILE}: seeds {params.seeds} and the rows ask for other runs than there are (first: '{odd}'); "
            + _HOW.format("'seeds=[...]'")
        )
    for key, run in plain["runs"].items():
        for field, wanted in expected[key].items():
            if run[field] != wanted and field != "method_settings":
                raise InputError(
                    f"{FILE}: runs.{key}.{field}: {run[field]!r}, but its row makes it {wanted!r}; "
                    + _HOW.format("rows.ROW.KEY=VALUE")
                )
    derived = {
        "caches": caches_of(rows=plain["rows"], recipes=plain["recipes"], teachers=plain["teachers"]),
        "teacher_runs": teacher_runs_of(teachers=plain["teachers"], methods=plain["methods"]),
    }
    for group, wanted in derived.items():
        if plain[group] != wanted:
            raise InputError(f"{FILE}: {group} are not those that the rows need; {_HOW.format('KEY=VALUE')}")


def _check_fit(params: Params) -> None:
    """What is put together fits: a teacher where the method needs one, as many frames as time steps."""
    for key, run in params.runs.items():
        if params.recipes[run.recipe].epochs == 0:
            raise InputError(f"{FILE}: recipes.{run.recipe}.epochs: 0, but runs.{key} is a student, which has to learn")
        method = plugins.load("method", params.methods[run.method].method).Method
        if run.teacher is None and method.needs_teacher:
            raise InputError(f"{FILE}: rows.{run.row}.teacher: null, but the method '{run.method}' needs one")
        if getattr(method, "whole_labels", False) and params.recipes[run.recipe].augmentation.mixup is not None:
            raise InputError(
                f"{FILE}: rows.{run.row}.recipe: '{run.recipe}' mixes samples, but '{run.method}' asks which steps are "
                f"right: recipes.{run.recipe}.augmentation.mixup: null"
            )
        _check_steps(params, f"runs.{key}: student '{run.student}'", params.students[run.student], run.dataset)
        asked = settings_of(run, params).get("features", {}).values()
        kept = params.teachers[run.teacher].features if run.teacher else ()
        if unkept := [name for name in asked if name not in kept]:
            raise InputError(
                f"{FILE}: methods.{run.method}.settings.features: '{unkept[0]}' is not among the features that "
                f"teachers.{run.teacher}.features keeps: {', '.join(kept)}"
            )
    for key, teacher in params.teachers.items():
        _check_steps(params, f"teachers.{key}", teacher, teacher.dataset)


def _check_steps(params: Params, where: str, part: Student, dataset: str) -> None:
    """As many time steps as frames, where both are said."""
    frames = (params.datasets[dataset].settings.get("frames") or {}).get("time_steps")
    steps = part.settings.get("time_steps")
    if frames and steps and frames != steps:
        raise InputError(
            f"{FILE}: {where} has time_steps {steps}, data set '{dataset}' has {frames} frames; "
            + _HOW.format(f"time_steps={steps}")
        )


def _check_knobs(params: Params) -> None:
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
                f"(use `dvc exp run -S {knob}={value}`), or this table fixes it row by row"
            )


def _samples(dataset: Dataset) -> tuple:
    """What says which samples a data set has, and how large: everything but into how many frames events are cut."""
    frames = {key: value for key, value in dataset.settings.get("frames", {}).items() if key != "time_steps"}
    return dataset.source, {**dataset.settings, "frames": frames}


def _values(key: str, settings: Iterable[dict]) -> set:
    return {entry[key] for entry in settings if key in entry}


def _known(where: str, name: str, known: dict) -> None:
    if name not in known:
        raise InputError(f"{FILE}: {where}: '{name}' is missing; there are {', '.join(known) or 'none'}")


def _settings(kind: str, name: str, content: dict, where: str) -> None:
    try:
        module = plugins.load(kind, name)
    except InputError as error:
        raise InputError(f"{FILE}: {where}.{kind}: {error}") from error
    validated(module.Settings, content, where=f"{where}.settings")
