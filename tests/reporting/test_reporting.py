"""Tables and figures from made-up runs whose statistics are known."""

import numpy as np
import pandas as pd
import pytest
from conftest import write_data

from bkdsnn.errors import InputError
from bkdsnn.params import Params, validated
from bkdsnn.paths import write_csv, write_json
from bkdsnn.reporting.collect import collect
from bkdsnn.reporting.figures import draw_figures
from bkdsnn.reporting.tables import for_reading, numbers, paired_interval, write_tables

TOP1 = {"image-ce": (90.0, 92.0, 91.0), "image-bkd": (92.0, 94.0, 96.0)}


@pytest.fixture
def params(composed) -> Params:
    content = composed("table=tiny", "seeds=[0,1,2]")
    content["rows"] = {key: content["rows"][key] for key in TOP1}
    content["runs"] = {key: run for key, run in content["runs"].items() if run["row"] in TOP1}
    content["rows"]["image-bkd"]["published"] = {"value": 95.29, "source": "README", "grade": "P"}
    content["rows"]["image-ce"]["published"] = {"value": None, "source": "paper", "grade": None}
    return validated(Params, content, where="")


@pytest.fixture
def runs(params, tmp_path):
    def write(key: str, **facts) -> None:
        folder = tmp_path / "runs" / key
        folder.mkdir(parents=True)
        common = {"epochs": 2, "parameters": 1234, "macs": 500.0, "synaptic_operations": 2000.0, "energy_uj": 0.0041}
        common |= {
            "time_steps": 4,
            "data_sha256": "ab" * 32,
            "test_samples": 60,
            "split": "stratified",
            "firing_rate": 0.125,
        }
        write_json(folder / "metrics.json", {"key": key, "test_top1_validation_choice": 91.5, **common, **facts})
        write_csv(folder / "history.csv", {"epoch": [0, 1], "task": [1.0, 0.5], "validation_top1": [50.0, 90.0]})
        np.save(folder / "feature_maps.npy", np.random.default_rng(0).random((6, 4, 4)))

    for row, values in TOP1.items():
        for seed, value in enumerate(values):
            write(f"{row}-s{seed}", kind="student", row=row, seed=seed, test_top1=value)
    write("resnet-digits", kind="teacher", seed=0, test_top1=98.0)
    return tmp_path / "runs"


def test_the_paired_interval_by_hand():
    mean, half = paired_interval(np.array([2.0, 2.0, 5.0]))
    assert mean == 3.0
    assert half == pytest.approx(4.302653 * 3**0.5 / 3**0.5, rel=1e-6)  # t(0.975, 2) * s / sqrt(3), s = sqrt(3)
    assert np.isnan(paired_interval(np.array([1.0]))[1])


def test_numbers_of_a_row(params, runs):
    table = numbers(params, collect(runs, params)).set_index("row")
    assert table.loc["image-ce", "top1_mean"] == 91.0
    assert table.loc["image-ce", "top1_std"] == 1.0
    assert np.isnan(table.loc["image-ce", "gain_over_ce"])
    assert table.loc["image-bkd", "gain_over_ce"] == 3.0
    assert table.loc["image-bkd", "gain_ci95"] == pytest.approx(4.302653, rel=1e-6)
    assert table.loc["image-bkd", "teacher_top1"] == 98.0
    assert table.loc["image-bkd", "seeds"] == 3


def test_what_is_read(params, runs):
    rows = for_reading(numbers(params, collect(runs, params)), params).set_index("row")
    assert rows.loc["image-bkd", "top-1 %, last epoch"] == "94.00 ± 2.00"
    assert rows.loc["image-bkd", "gain over CE"] == "+3.00 ± 4.30"
    assert rows.loc["image-bkd", "published"] == "95.29 (P)"
    assert rows.loc["image-ce", "published"] == "not found"
    assert rows.loc["image-ce", "teacher"] == "–"
    assert rows.loc["image-ce", "energy (µJ)"] == "0.004"


def test_files_are_the_same_bytes_again(params, runs, tmp_path):
    collected = collect(runs, params)
    contents = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        write_tables(folder, params, collected)
        draw_figures(folder, params, collected, {"digits": write_data(tmp_path / f"data-{name}", shape=(1, 8, 8))})
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1]
    figures = {"accuracy.png", "training_curves.png", "feature_maps.png", "data-digits.png"}
    assert set(contents[0]) == figures | {"table.md", "table.csv", "table.tex", "summary.json"}
    assert len(pd.read_csv(tmp_path / "a" / "table.csv")) == 2
    tex = contents[0]["table.tex"].decode()
    assert r"94.00 $\pm$ 2.00" in tex
    assert "±" not in tex


def test_a_missing_or_damaged_run_is_named(params, runs):
    path = runs / "image-bkd-s1" / "metrics.json"
    path.write_text('{"test_top1": ')
    with pytest.raises(InputError, match=r"image-bkd-s1/metrics.json: no readable JSON"):
        collect(runs, params)
    path.unlink()
    with pytest.raises(InputError, match="no results of image-bkd-s1"):
        collect(runs, params)


def test_runs_of_other_tables_are_not_looked_at(params, runs):
    stray = runs / "image-ce-s9"
    stray.mkdir()
    write_json(stray / "metrics.json", {"row": "image-ce", "seed": 9, "test_top1": 0.0})
    assert len(collect(runs, params).of_row("image-ce")) == 3
