"""Whether data, networks and methods fit each other, found before anything is made: a step on the meta device, where
tensors have shapes and no memory.

What the meta device cannot do (kernels of one's own) is done again with two real samples on the device that trains.
"""

import json

import numpy as np

from bkdsnn import plugins
from bkdsnn.build import built_for, load_part_weights
from bkdsnn.contracts import Shape
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.foreseen import Foreseen, foreseen
from bkdsnn.data.parts import smallest_part
from bkdsnn.errors import InputError
from bkdsnn.params.read import FILE, validated
from bkdsnn.params.schema import Dataset, Params, Run, Student
from bkdsnn.teachers.trial import Trial


def check_fit(params: Params, *, found: dict[str, Foreseen] | None = None) -> None:
    """Raises `InputError` that names the teacher or row with the first thing that would not fit once it is trained.

    What the settings do not say of a data set, and `found` neither, is not judged.
    """
    data = {key: foreseen_of(key, params) for key in params.datasets} | (found or {})
    for key, known in data.items():
        if known.input_shape:
            _check_channels(key, params, known.input_shape)
    trial = Trial(params, data)
    for key, teacher in params.teachers.items():
        if data[teacher.dataset].input_shape:
            trial.attempt(f"teachers.{key}", params.recipes[teacher.recipe], lambda at, key=key: at.learns(key))
            _check_weights(f"teachers.{key}", teacher, data[teacher.dataset], params.datasets[teacher.dataset])
    for run in _kinds(params):
        if all(data[key].input_shape for key in (run.dataset, _seen_by_teacher(run, params))):
            _check_run(run, params, trial)


def check_prepared(params: Params, key: str, data: ArrayData) -> None:
    """`check_fit` once more, where a prepared data set shows what its settings did not say: the shape of its samples,
    or that an epoch ends with a batch, or part, of one."""
    train = len(data.splits["train"])
    ends_with_one = any(smallest_part(train, recipe=recipe) == 1 for recipe in params.recipes.values())
    # Without loading their sources, which takes seconds.
    says = {"picture", "frames"} & params.datasets[key].settings.keys()
    if ends_with_one or not (says or foreseen_of(key, params).input_shape):
        packed = isinstance(data.inputs, np.ndarray)
        check_fit(params, found={key: Foreseen(data.input_shape, len(data.classes), train, packed)})


def _check_run(run: Run, params: Params, trial: Trial) -> None:
    where, recipe = f"rows.{run.row}", params.recipes[run.recipe]
    for key in (run.dataset, _seen_by_teacher(run, params)):
        trial.attempt(f"{where}.recipe: '{run.recipe}'", recipe, lambda at, key=key: at.fits(key, recipe))
    trial.attempt(f"{where}.student: '{run.student}'", recipe, lambda at: at.student(run))
    student, known = params.students[run.student], trial.data[run.dataset]
    _check_weights(f"students.{run.student}", student, known, params.datasets[run.dataset])
    if recipe.epochs:
        trial.attempt(f"{where}.method: '{run.method}'", recipe, lambda at: at.learns_from_teacher(run))


def _check_weights(where: str, part: Student, known: Foreseen, dataset: Dataset) -> None:
    """A file that a part names is there and fits, as far as the classes are known."""
    if part.weights is None or known.classes is None:
        return
    try:
        shape, normalise = known.input_shape, dataset.normalise
        network = built_for(part, input_shape=shape, classes=known.classes, normalise=normalise, seed=0)
        load_part_weights(network, part)
    except InputError as error:
        raise InputError(f"{FILE}: {where}.weights: {error}") from error


def _kinds(params: Params) -> list[Run]:
    """One run of every row, and of every other setting that a row's runs have."""
    kinds = {(run.row, json.dumps(run.method_settings, sort_keys=True)): run for run in params.runs.values()}
    return list(kinds.values())


def _seen_by_teacher(run: Run, params: Params) -> str:
    return params.teachers[run.teacher].dataset if run.teacher else run.dataset


def foreseen_of(key: str, params: Params) -> Foreseen:
    """What a data set's settings say of it."""
    dataset = params.datasets[key]
    source = plugins.load("source", dataset.source)
    return foreseen(source, validated(source.Settings, dataset.settings, where=f"datasets.{key}.settings"))


def _check_channels(key: str, params: Params, shape: Shape) -> None:
    values = len(params.datasets[key].normalise.mean)
    if shape[-3] != values:
        raise InputError(
            f"{FILE}: datasets.{key}.normalise: mean and std have {values} values, one for each channel; "
            f"its samples {shape} have {shape[-3]}"
        )
