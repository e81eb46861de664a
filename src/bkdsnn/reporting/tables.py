"""A table: one line per row, mean and standard deviation over seeds, paired differences to the CE row."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from bkdsnn.evaluation import COST
from bkdsnn.params import Params, Row
from bkdsnn.paths import write_json
from bkdsnn.reporting.collect import Collected

_EMPTY = "–"


def paired_interval(differences: np.ndarray) -> tuple[float, float]:
    """Mean and half-width of the 95 % interval (Student's t) of paired differences; the width is nan for one pair."""
    mean = float(np.mean(differences))
    if len(differences) < 2:
        return mean, float("nan")
    error = float(np.std(differences, ddof=1)) / np.sqrt(len(differences))
    return mean, float(stats.t.ppf(0.975, len(differences) - 1)) * error


def baseline_of(row: Row, params: Params) -> str | None:
    """The key of the CE row with the same data, student and recipe."""
    for key, other in params.rows.items():
        same = (other.dataset, other.student, other.recipe) == (row.dataset, row.student, row.recipe)
        if same and params.methods[other.method].method == "ce":
            return key
    return None


def difference(row: str, params: Params, collected: Collected) -> tuple[float, float] | None:
    """Mean and half-width of a row's gain over its CE row, paired by seed, in points; None for a CE row."""
    baseline = baseline_of(params.rows[row], params)
    if baseline in (None, row):
        return None
    pairs = zip(collected.of_row(row), collected.of_row(baseline), strict=True)
    return paired_interval(np.array([own["test_top1"] - other["test_top1"] for own, other in pairs]))


def numbers(params: Params, collected: Collected) -> pd.DataFrame:
    """The table as numbers, one record per row; what the csv holds."""
    records = []
    for key, row in params.rows.items():
        runs = collected.of_row(key)
        top1 = np.array([run["test_top1"] for run in runs])
        gain, half = difference(key, params, collected) or (None, None)
        records.append(
            {
                "row": key,
                "dataset": row.dataset,
                "student": row.student,
                "method": row.method,
                "T": runs[0]["time_steps"],
                "epochs": runs[0]["epochs"],
                "seeds": len(runs),
                "top1_mean": top1.mean(),
                "top1_std": top1.std(ddof=1) if len(runs) > 1 else None,
                "gain_over_ce": gain,
                "gain_ci95": half,
                "top1_validation_choice": np.mean([run["test_top1_validation_choice"] for run in runs]),
                "teacher_top1": collected.metrics[row.teacher]["test_top1"] if row.teacher else None,
                "published": row.published.value if row.published else None,
                "parameters": runs[0]["parameters"],
                "firing_rate": np.mean(
                    [run["firing_rate"] if run["firing_rate"] is not None else np.nan for run in runs]
                ),
                "synaptic_operations": np.mean([run["synaptic_operations"] for run in runs]),
                "macs": np.mean([run["macs"] for run in runs]),
                "energy_uj": np.mean([run["energy_uj"] for run in runs]),
            }
        )
    return pd.DataFrame(records)


def for_reading(table: pd.DataFrame, params: Params) -> pd.DataFrame:
    """The table as text, with the headings of the md and tex."""
    rows = []
    for record in table.to_dict("records"):
        rows.append(
            {
                "row": record["row"],
                "top-1 %, last epoch": _with_spread(record["top1_mean"], record["top1_std"]),
                "gain over CE": _with_spread(record["gain_over_ce"], record["gain_ci95"], sign="+"),
                "top-1 %, validation choice": _number(record["top1_validation_choice"], ".2f"),
                "published": _published(params.rows[record["row"]]),
                "teacher": _number(record["teacher_top1"], ".2f"),
                "T": record["T"],
                "epochs": record["epochs"],
                "parameters": f"{record['parameters']:,}",
                "firing rate": _number(record["firing_rate"], ".3f"),
                "SynOps (k)": _number(record["synaptic_operations"] / 1e3, ".0f"),
                "MACs (k)": _number(record["macs"] / 1e3, ".0f"),
                "energy (µJ)": _number(record["energy_uj"], ".3f"),
            }
        )
    return pd.DataFrame(rows)


def write_tables(folder: Path, params: Params, collected: Collected) -> None:
    """Writes table.csv, table.md, table.tex and summary.json (top-1 by row, for `dvc metrics`)."""
    table = numbers(params, collected)
    readable = for_reading(table, params)
    table.to_csv(folder / "table.csv", index=False, lineterminator="\n", float_format="%.6g")
    notes = "\n".join(f"- {note}" for note in _notes(params, collected))
    text = f"# {params.title}\n\n{readable.to_markdown(index=False, disable_numparse=True)}\n\n{notes}\n"
    (folder / "table.md").write_text(text, encoding="utf-8")
    (folder / "table.tex").write_text(_tex(readable), encoding="utf-8")
    write_json(
        folder / "summary.json", {record["row"]: round(record["top1_mean"], 2) for record in table.to_dict("records")}
    )


def _notes(params: Params, collected: Collected) -> list[str]:
    data = {}
    for key, row in params.rows.items():
        run = collected.of_row(key)[0]
        data[row.dataset] = (
            f"{row.dataset} {run['data_sha256'][:12]}, {run['test_samples']} test samples, split {run['split']}"
        )
    seeds = ", ".join(map(str, params.seeds))
    return [
        f"Mean ± standard deviation over {len(params.seeds)} seeds ({seeds}); the gain is paired by seed, ± is the "
        "half-width of its 95 % interval (Student's t).",
        "Last epoch comes first; the epoch chosen on the validation split is the second column. No choice is made on "
        "the test split.",
        f"Energy: convolutions and matrix products of one sample, all time steps; {COST.e_mac_pj} pJ a MAC, "
        f"{COST.e_ac_pj} pJ an accumulation (Horowitz 2014, 45 nm, 32 bit). An input of k spikes is k accumulations.",
        "Firing rate: spikes per neuron and time step. It and the operations are means over the test split.",
        'Published: – where the row is not in the paper, "not found" where its number was not found.',
        f"Data (SHA-256 of the manifest): {'; '.join(data.values())}.",
    ]


def _published(row: Row) -> str:
    if row.published is None:
        return _EMPTY
    if row.published.value is None:
        return "not found"
    return f"{row.published.value:.2f} ({row.published.grade})"


def _number(value: float | None, layout: str) -> str:
    return _EMPTY if value is None or np.isnan(value) else format(value, layout)


def _with_spread(value: float | None, spread: float | None, sign: str = "") -> str:
    text = _number(value, f"{sign}.2f")
    return text if spread is None or np.isnan(spread) else f"{text} ± {spread:.2f}"


def _tex(table: pd.DataFrame) -> str:
    tex = table.copy()
    for column in tex:
        tex[column] = [str(cell).replace("±", r"$\pm$").replace("–", "--").replace("_", r"\_") for cell in tex[column]]
    tex.columns = [name.replace("%", r"\%").replace("µ", r"$\mu$") for name in tex.columns]
    return tex.to_latex(index=False, escape=False, column_format="l" + "r" * (len(tex.columns) - 1))
