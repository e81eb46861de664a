"""Whether params.yaml holds together: references, settings, and that its parts fit each other."""

from bkdsnn import paths, plugins, portable
from bkdsnn.errors import InputError
from bkdsnn.params.derived import check_knobs, check_runs, how
from bkdsnn.params.read import FILE, validated
from bkdsnn.params.schema import Dataset, Params, Run, Student
from bkdsnn.params.settings import settings_of


def check(params: Params) -> None:
    """Raises `InputError` with the first thing that does not hold together."""
    _check_references(params)
    _check_settings(params)
    _check_labels(params)
    _check_as_published(params)
    _check_baselines(params)
    _check_over(params)
    check_knobs(params)
    check_runs(params)
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
        method = params.methods[teacher.method]
        _settings("method", method.method, method.settings, f"methods.{teacher.method}")
        if plugins.load("method", method.method).Method.needs_teacher:
            raise InputError(f"{FILE}: teachers.{key}.method: '{teacher.method}': it needs a teacher, which none has")
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


def _check_over(params: Params) -> None:
    """A gain that is over a named row is over another one that saw the same samples."""
    for key, row in params.rows.items():
        if row.over is None:
            continue
        _known(f"rows.{key}.over", row.over, params.rows)
        if row.over == key:
            raise InputError(f"{FILE}: rows.{key}.over: '{key}': wanted another row, or null (the baseline)")
        if params.rows[row.over].dataset != row.dataset:
            raise InputError(
                f"{FILE}: rows.{key}.over: '{row.over}' has the data set '{params.rows[row.over].dataset}', "
                f"the row '{row.dataset}': their accuracies are not of the same samples"
            )


def _check_fit(params: Params) -> None:
    """What is put together fits: a teacher where the method needs one, as many frames as time steps."""
    for key, run in params.runs.items():
        if params.recipes[run.recipe].epochs:
            _check_method(run, params)
        _check_steps(params, f"runs.{key}: student '{run.student}'", params.students[run.student], run.dataset)
    for key, teacher in params.teachers.items():
        _check_steps(params, f"teachers.{key}", teacher, teacher.dataset)


def _check_as_published(params: Params) -> None:
    """Students that do not learn come from a file, and have no teacher."""
    for key, row in params.rows.items():
        if params.recipes[row.recipe].epochs:
            continue
        if params.students[row.student].weights is None:
            raise InputError(
                f"{FILE}: recipes.{row.recipe}.epochs: 0, but rows.{key} has a student, which has to learn, or to come "
                f"from a file that students.{row.student}.weights names"
            )
        if row.teacher is not None:
            raise InputError(f"{FILE}: rows.{key}.teacher: '{row.teacher}': '{row.recipe}' has no epochs: null")


def _check_method(run: Run, params: Params) -> None:
    """The method has what it needs: a teacher and its features, labels that are not mixed."""
    method = plugins.load("method", params.methods[run.method].method).Method
    if run.teacher is None and method.needs_teacher:
        raise InputError(f"{FILE}: rows.{run.row}.teacher: null, but the method '{run.method}' needs one")
    if getattr(method, "whole_labels", False) and params.recipes[run.recipe].augmentation.mixup is not None:
        raise InputError(
            f"{FILE}: rows.{run.row}.recipe: '{run.recipe}' mixes samples, but '{run.method}' asks which steps are "
            f"right: recipes.{run.recipe}.augmentation.mixup: null"
        )
    asked = settings_of(run, params).get("features", {}).values()
    kept = params.teachers[run.teacher].features if run.teacher else ()
    if unkept := [name for name in asked if name not in kept]:
        raise InputError(
            f"{FILE}: methods.{run.method}.settings.features: '{unkept[0]}' is not among the features that "
            f"teachers.{run.teacher}.features keeps: {', '.join(kept)}"
        )


def _check_steps(params: Params, where: str, part: Student, dataset: str) -> None:
    """As many time steps as frames, where both are said."""
    frames = (params.datasets[dataset].settings.get("frames") or {}).get("time_steps")
    steps = part.settings.get("time_steps")
    if frames and steps and frames != steps:
        raise InputError(
            f"{FILE}: {where} has time_steps {steps}, data set '{dataset}' has {frames} frames; "
            + how(f"time_steps={steps}", params)
        )


def _samples(dataset: Dataset) -> tuple:
    """What says which samples a data set has, and how large: everything but into how many frames events are cut."""
    frames = {key: value for key, value in dataset.settings.get("frames", {}).items() if key != "time_steps"}
    return dataset.source, {**dataset.settings, "frames": frames}


def _known(where: str, name: str, known: dict) -> None:
    if name not in known:
        raise InputError(f"{FILE}: {where}: '{name}' is missing; there are {', '.join(known) or 'none'}")


def _settings(kind: str, name: str, content: dict, where: str) -> None:
    try:
        module = plugins.load(kind, name)
    except InputError as error:
        raise InputError(f"{FILE}: {where}.{kind}: {error}") from error
    validated(module.Settings, content, where=f"{where}.settings")
