"""A table's evaluated runs, as they lie under `results/runs/<table>/`, and what is wrong with the others."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, ValidationError

from bkdsnn.errors import InputError
from bkdsnn.files import read_json
from bkdsnn.params import cards
from bkdsnn.params.recipe import Probability
from bkdsnn.params.schema import Params, Run

MISSING, BROKEN, OTHER = "missing", "broken", "other params"


class Metrics(BaseModel):
    """metrics.json as `evaluate` writes it; accuracies and ECE in percent, energy in uJ, operations of one sample."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    key: str
    seed: int
    test_top1: float
    test_top1_validation_choice: float
    ece: Annotated[float, Field(ge=0.0, le=100.0)]
    firing_rate: float | None
    firing_rate_per_layer: list[tuple[str, Probability]]
    macs: float
    synaptic_operations: float
    energy_uj: float
    parameters: int
    footprint_bytes: PositiveInt
    connection_sparsity: Probability
    activation_sparsity: Probability | None
    effective_macs: NonNegativeFloat
    effective_acs: NonNegativeFloat
    dense_operations: NonNegativeFloat
    epochs: int
    time_steps: int | None
    test_samples: int
    split: str
    shown_samples: list[int]
    data_sha256: str
    teacher_sha256: str | None
    model_sha256: str
    params_sha256: str
    made_with: dict[str, str]
    evaluated_with: dict[str, str]


@dataclass(frozen=True)
class Evaluated:
    """One run or teacher. history: per epoch; predictions: actual, predicted; maps, grad_cam `[N, H, W]`; spread."""

    metrics: Metrics
    history: pd.DataFrame
    predictions: pd.DataFrame
    maps: np.ndarray
    grad_cam: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True)
class Collected:
    """evaluated: by key of run or teacher. problems: of the others, (state, what is wrong). strays: other folders."""

    params: Params
    evaluated: dict[str, Evaluated]
    problems: dict[str, tuple[str, str]]
    strays: list[str]

    def of_row(self, row: str) -> list[Evaluated]:
        """The runs of a row that there are, by seed."""
        return [self.evaluated[key] for key in self._keys(row) if key in self.evaluated]

    def problems_of_row(self, row: str) -> dict[int, str]:
        """The state of each seed that is not there."""
        runs = self.params.runs
        return {runs[key].seed: self.problems[key][0] for key in self._keys(row) if key in self.problems}

    def _keys(self, row: str) -> list[str]:
        runs = [key for key, run in self.params.runs.items() if run.row == row]
        return sorted(runs, key=lambda key: self.params.runs[key].seed)


def collect(folder: Path, params: Params, *, data_sha256: dict[str, str]) -> Collected:
    """Reads the runs and teachers that the params name and that were made with these params, data and teachers.

    data_sha256: of the manifests of data sets, by key; a data set that is not there is not compared.
    """
    evaluated: dict[str, Evaluated] = {}
    problems: dict[str, tuple[str, str]] = {}

    def take(key: str, *, params_sha256: str, data: str | None, teacher: str | None) -> None:
        path = folder / key / "metrics.json"
        if not path.is_file():
            problems[key] = (MISSING, f"{folder / key}: no results; run `dvc repro`")
            return
        try:
            found = _read(path.parent)
        except InputError as error:
            problems[key] = (BROKEN, str(error))
            return
        own = found.metrics
        pairs = {"params": (own.params_sha256, params_sha256), "data": (own.data_sha256, data)}
        pairs["teacher"] = (own.teacher_sha256, teacher)
        others = [name for name, (ours, wanted) in pairs.items() if wanted is not None and ours != wanted]
        if others:
            problems[key] = (OTHER, f"{path}: of other {' and '.join(others)} than this table's")
        else:
            evaluated[key] = found

    teachers = sorted({row.teacher for row in params.rows.values() if row.teacher})
    for key in teachers:
        data = data_sha256.get(params.teachers[key].dataset)
        take(key, params_sha256=cards.sha256_of(cards.of_teacher(params, key)), data=data, teacher=None)
    for key, run in params.runs.items():
        take(
            key,
            params_sha256=cards.sha256_of(cards.of_run(params, key)),
            data=data_sha256.get(run.dataset),
            teacher=_weights(run, evaluated),
        )
    # Other runs in the folder of another table are that table's own.
    strays = [] if params.same_runs_as else _strays(folder, known={*teachers, *params.runs})
    return Collected(params, evaluated, problems, strays)


def _strays(folder: Path, *, known: set[str]) -> list[str]:
    """Folders that neither a run nor a teacher of the table has; those of a stage that is at work do not count."""
    folders = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return [name for name in folders if name not in known and ".partial" not in name]


def _weights(run: Run, evaluated: dict[str, Evaluated]) -> str | None:
    """What a run's teacher is now, as far as its results tell."""
    return evaluated[run.teacher].metrics.model_sha256 if run.teacher in evaluated else None


def _read(folder: Path) -> Evaluated:
    """A whole folder; `InputError` names the first file that is damaged."""
    path = folder / "metrics.json"
    try:
        metrics = Metrics.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {where}: {first['msg']}") from error
    if metrics.key != folder.name:
        raise InputError(f"{path}: holds the results of '{metrics.key}'")
    return Evaluated(
        metrics=metrics,
        history=_csv(folder / "history.csv", ["epoch", "validation_top1"]),
        predictions=_csv(folder / "predictions.csv", ["actual", "predicted"]),
        maps=_array(folder / "feature_maps.npy", dimensions=3),
        grad_cam=_array(folder / "grad_cam.npy", dimensions=3),
        spread=_array(folder / "feature_spread.npy", dimensions=1),
    )


def _csv(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise InputError(f"{path}: no readable csv ({type(error).__name__})") from error
    if lacking := [name for name in columns if name not in table]:
        raise InputError(f"{path}: no column '{lacking[0]}'")
    return table


def _array(path: Path, *, dimensions: int) -> np.ndarray:
    try:
        array = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: no readable array ({type(error).__name__})") from error
    if array.ndim != dimensions:
        raise InputError(f"{path}: has shape {array.shape}, wanted {dimensions} dimensions")
    return array
