"""The README of a published student: every number in it is read from the evaluation and the table."""

import csv
import json
from pathlib import Path

import yaml

from bkdsnn.errors import InputError
from bkdsnn.files import digest, read_json

_PAPER = "https://arxiv.org/abs/2407.09083"
_TEXT = """\
# {run}: a spiking network of the table {table}

{title}. Reproduced with bkdsnn, after [BKDSNN]({paper}) (ECCV 2024).

| | top-1 % on the test split |
|---|---|
| this network (seed {seed}, last epoch) | {top1:.2f} |
| its row, mean ± standard deviation over {seeds} seeds | {mean} |
{gain}| teacher ({teacher}) | {teacher_top1} |

The weights are those after the last epoch: none was chosen on the test split. {samples} test samples; split: {split}.

| | |
|---|---|
| network | {network}, {parameters:,} parameters, T = {time_steps} |
| data set | {dataset}, SHA-256 of its manifest `{data_sha256}` |
| teacher | {teacher}, SHA-256 of its manifest `{teacher_sha256}` |
| method | {method} |
| trained model | SHA-256 of its manifest `{model_sha256}` |
| model.safetensors | SHA-256 `{weights_sha256}` |
| inputs | {inputs} |
| made with | {versions} |

## How to load it

```python
import bkdsnn

network, preprocess = bkdsnn.load("{name}")  # this folder, or its name on Hugging Face
logits = network(preprocess("image.png")).logits.mean(0)  # of classes network.card["classes"]
```

That needs bkdsnn itself, torch, spikingjelly, safetensors, pydantic and numba; images need Pillow and torchvision too.

## Licence

The weights and this text: MIT. The data they were learnt from have terms of their own.
"""


def write_readme(folder: Path, card: dict, *, metrics: dict, table: Path, title: str, name: str) -> None:
    """Writes README.md; `InputError` where the table, or this row of it, is not there or not whole."""
    row = _row(table, card["run"]["row"])
    try:
        text = _text(card, row, metrics, table=table.name, title=title, name=name)
        matter = _front_matter(card["run"], metrics)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{table / 'table.csv'}, or metrics.json of the run: not whole ({error}); `dvc repro`"
        ) from error
    (folder / "README.md").write_text(f"---\n{matter}---\n\n{text}", encoding="utf-8")


def _gain(row: dict[str, str]) -> str:
    """The lines on a row's gain, if it has one."""
    if not row["gain_verdict"]:
        return ""
    gain = _spread(row["gain"], row["gain_ci95"], sign="+")
    return (
        f"| gain of the row over {row['gain_over']}, paired by seed | {gain} |\n| verdict | {row['gain_verdict']} |\n"
    )


def _text(card: dict, row: dict[str, str], metrics: dict, *, table: str, title: str, name: str) -> str:
    run = card["run"]
    return _TEXT.format(
        paper=_PAPER,
        title=title,
        name=name,
        run=run["key"],
        table=table,
        seed=run["seed"],
        top1=metrics["test_top1"],
        seeds=row["seeds"],
        mean=_spread(row["top1_mean"], row["top1_std"]),
        gain=_gain(row),
        teacher=run["teacher"] or "none",
        teacher_top1=_number(row["teacher_top1"]),
        samples=metrics["test_samples"],
        split=metrics["split"],
        network=card["network"],
        parameters=metrics["parameters"],
        time_steps=metrics["time_steps"],
        dataset=run["dataset"],
        data_sha256=metrics["data_sha256"],
        teacher_sha256=metrics["teacher_sha256"] or "–",
        method=f"{run['method']} {json.dumps(card['method_settings'], sort_keys=True)}",
        model_sha256=card["model_sha256"],
        weights_sha256=card["weights_sha256"],
        inputs=_inputs(card),
        versions=", ".join(f"{library} {version}" for library, version in sorted(metrics["made_with"].items())),
    )


def read_metrics(folder: Path, *, of: Path) -> dict:
    """What the evaluation of a trained network found; `InputError` where it is of other weights."""
    metrics = read_json(folder / "metrics.json")
    if metrics.get("model_sha256") != digest(of):
        raise InputError(f"{folder}: of other weights than {of}; run `dvc repro`")
    return metrics


def _row(table: Path, key: str) -> dict[str, str]:
    path = table / "table.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return next(row for row in csv.DictReader(file) if row["row"] == key)
    except (OSError, StopIteration, KeyError, UnicodeError) as error:
        raise InputError(f"{path}: no table with the row {key}; run `dvc repro`") from error


def _number(text: str, *, sign: str = "") -> str:
    return f"{float(text):{sign}z.2f}" if text else "–"


def _spread(middle: str, width: str, *, sign: str = "") -> str:
    return f"{_number(middle, sign=sign)} ± {_number(width)}" if width else _number(middle, sign=sign)


def _inputs(card: dict) -> str:
    shape = " x ".join(map(str, card["input_shape"]))
    made = card.get("event_frames") or "images"
    normalise = card["normalise"]
    return f"{shape}, {made}; (value / {normalise['scale']:g} - {normalise['mean']}) / {normalise['std']}"


def _front_matter(run: dict, metrics: dict) -> str:
    """What Hugging Face lists of a model."""
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"name": run["dataset"], "type": run["dataset"], "split": "test"},
        "metrics": [{"type": "accuracy", "name": "top-1 %", "value": round(metrics["test_top1"], 2)}],
    }
    matter = {
        "license": "mit",
        "library_name": "bkdsnn",
        "pipeline_tag": "image-classification",
        "tags": ["spiking-neural-network", "snn", "knowledge-distillation", "bkdsnn"],
        "metrics": ["accuracy"],
        "model-index": [{"name": run["key"], "results": [result]}],
    }
    return yaml.safe_dump(matter, sort_keys=False)
