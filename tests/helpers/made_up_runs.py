"""Results of runs that never ran, with numbers whose statistics are known."""

from pathlib import Path

import numpy as np

from bkdsnn.files import write_csv, write_json
from bkdsnn.params import cards
from bkdsnn.params.read import validated
from bkdsnn.params.schema import Params
from bkdsnn.reporting.collect import Collected, Evaluated, Metrics

TOP1 = {"image-ce": (90.0, 92.0, 91.0), "image-bkd": (92.0, 94.0, 96.0)}
DATA, WEIGHTS = "ab" * 32, "cd" * 32
MADE_WITH = {"torch": "2.0", "spikingjelly": "0.9", "timm": "1.0", "processor": "any"}


def made_up_params(composed, *, rows: dict[str, dict] | None = None, seeds: int = 3) -> Params:
    """The tiny table's params with the rows of TOP1, or with these changes to them as rows."""
    content = composed("table=tiny", f"seeds=[{','.join(map(str, range(seeds)))}]")
    known, runs = content["rows"], content["runs"]
    changes = rows or {key: {"of": key} for key in TOP1}
    content["rows"], content["runs"] = {}, {}
    for key, own in changes.items():
        of = own["of"]
        content["rows"][key] = {**known[of], **{name: value for name, value in own.items() if name != "of"}}
        for seed in range(seeds):
            names = {name: content["rows"][key][name] for name in ("dataset", "student", "teacher", "method", "recipe")}
            settings = content["rows"][key].get("method_settings", {})
            made = {**runs[f"{of}-s0"], **names, "row": key, "seed": seed, "method_settings": settings}
            content["runs"][f"{key}-s{seed}"] = made
    return validated(Params, content, where="")


def made_up_table(params: Params, top1: dict[str, np.ndarray]) -> Collected:
    """A table of which nothing is known but the test accuracies of its rows, by seed."""
    nothing = dict.fromkeys(("history", "predictions", "maps", "grad_cam", "spread"))
    evaluated = {}
    for key, run in params.runs.items():
        rate = float(top1[run.row][params.seeds.index(run.seed)])
        metrics = Metrics.model_construct(key=key, seed=run.seed, test_top1=rate)
        evaluated[key] = Evaluated(metrics=metrics, **nothing)
    return Collected(params, evaluated, problems={}, strays=[])


def write_results(folder: Path, params: Params, *, top1: dict[str, tuple[float, ...]]) -> None:
    """The folders of all runs of these params, and of their teachers with 98 %."""
    for key, run in params.runs.items():
        rate = top1[run.row][run.seed]
        teacher = WEIGHTS if run.teacher else None
        hashes = {"teacher_sha256": teacher, "params_sha256": cards.sha256_of(cards.of_run(params, key))}
        _write(folder / key, row=run.row, seed=run.seed, test_top1=rate, model_sha256="ef" * 32, **hashes)
    for key in {run.teacher for run in params.runs.values()} - {None}:
        hashes = {"teacher_sha256": None, "params_sha256": cards.sha256_of(cards.of_teacher(params, key))}
        _write(
            folder / key,
            seed=0,
            test_top1=98.0,
            model_sha256=WEIGHTS,
            firing_rate=None,
            activation_sparsity=None,
            **hashes,
        )


def _write(folder: Path, **facts) -> None:
    folder.mkdir(parents=True)
    common = {
        "key": folder.name,
        "test_top1_validation_choice": 91.5,
        "epochs": 2,
        "parameters": 1234,
        "macs": 500.0,
        "synaptic_operations": 2000.0,
        "energy_uj": 0.0041,
        "ece": 4.5,
        "footprint_bytes": 5678,
        "connection_sparsity": 0.0,
        "activation_sparsity": 0.875,
        "effective_macs": 400.0,
        "effective_acs": 1800.0,
        "dense_operations": 16000.0,
        "time_steps": 4,
        "data_sha256": DATA,
        "test_samples": 60,
        "split": "stratified",
        "firing_rate": 0.125,
        "firing_rate_per_layer": [["stem", 0.25], ["head", 0.0]],
        "shown_samples": [0, 1],
        "made_with": MADE_WITH,
        "evaluated_with": MADE_WITH,
    }
    write_json(folder / "metrics.json", {**common, **facts})
    write_csv(folder / "history.csv", {"epoch": [0, 1], "task": [1.0, 0.5], "validation_top1": [50.0, 90.0]})
    write_csv(folder / "predictions.csv", {"actual": [0, 0, 1], "predicted": [0, 1, 1]})
    for name in ("feature_maps", "grad_cam"):
        np.save(folder / f"{name}.npy", np.random.default_rng(0).random((2, 4, 4)))
    np.save(folder / "feature_spread.npy", np.linspace(0, 2, 512, dtype=np.float32))
