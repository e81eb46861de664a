"""The judged runs of a table, as they lie under `results/runs/<table>/`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bkdsnn.errors import InputError
from bkdsnn.params import Params
from bkdsnn.paths import read_json


@dataclass(frozen=True)
class Collected:
    """metrics: one record per run or teacher by key; histories: per-epoch records; maps: `[N, H, W]`."""

    metrics: dict[str, dict]
    histories: dict[str, pd.DataFrame]
    maps: dict[str, np.ndarray]

    def of_row(self, row: str) -> list[dict]:
        """The runs of a row, by seed."""
        runs = [entry for entry in self.metrics.values() if entry.get("row") == row]
        return sorted(runs, key=lambda entry: entry["seed"])


def collect(folder: Path, params: Params) -> Collected:
    """Reads the runs and teachers that the params name and no others; `InputError` names one that is missing."""
    teachers = {row.teacher for row in params.rows.values() if row.teacher}
    keys = [*params.runs, *sorted(teachers)]
    missing = [key for key in keys if not (folder / key / "metrics.json").is_file()]
    if missing:
        raise InputError(f"{folder}: no results of {missing[0]} (and {len(missing) - 1} more); run `dvc repro`")
    return Collected(
        metrics={key: read_json(folder / key / "metrics.json") for key in keys},
        histories={key: pd.read_csv(folder / key / "history.csv") for key in keys},
        maps={key: np.load(folder / key / "feature_maps.npy") for key in keys},
    )
