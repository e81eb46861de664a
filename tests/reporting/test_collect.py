"""Which results are taken into a table, and what is said of the others."""

import json
import shutil

import numpy as np
import pytest
from made_up_runs import DATA, TOP1, made_up_params, write_results

from bkdsnn.reporting.collect import collect
from bkdsnn.reporting.comparison import for_reading as compared
from bkdsnn.reporting.notes import Sources, problem_notes
from bkdsnn.reporting.tables import for_reading, numbers, summary

SOURCES = {"digits": DATA}


@pytest.fixture
def params(composed):
    return made_up_params(composed)


@pytest.fixture
def runs(params, tmp_path):
    write_results(tmp_path / "runs", params, top1=TOP1)
    return tmp_path / "runs"


def change(path, **facts):
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


def cells(collected) -> dict[str, str]:
    table = for_reading(collected, Sources(collected.params)).set_index("row")
    return table["top-1 %, last epoch"].to_dict()


def test_all_is_there(params, runs):
    collected = collect(runs, params, data_sha256=SOURCES)
    assert set(collected.evaluated) == {*params.runs, "resnet-digits"}
    assert problem_notes(collected) == []


def test_a_missing_run(params, runs):
    shutil.rmtree(runs / "image-bkd-s1")
    collected = collect(runs, params, data_sha256=SOURCES)
    assert cells(collected) == {"image-ce": "91.00 ± 1.00", "image-bkd": "94.00 ± 2.83 (s1 missing)"}
    row = numbers(collected).set_index("row").loc["image-bkd"]
    assert (row["seeds"], row["gain_pairs"], row["problems"]) == (2, 2, "s1 missing")
    assert row["gain"] == 3.5, "paired with the CE runs of seeds 0 and 2"
    assert problem_notes(collected) == [f"Missing: image-bkd-s1 ({runs}/image-bkd-s1: no results; run `dvc repro`)."]


def test_runs_of_the_table_that_this_one_has_in_common_with_it_are_no_strays(params, runs):
    (runs / "image-mixed-s0").mkdir()
    assert collect(runs, params, data_sha256=SOURCES).strays == ["image-mixed-s0"]
    shown = params.model_copy(update={"same_runs_as": "tiny"})
    assert collect(runs, shown, data_sha256=SOURCES).strays == []


def test_a_row_of_which_nothing_is_there(params, runs):
    for seed in range(3):
        shutil.rmtree(runs / f"image-bkd-s{seed}")
    collected = collect(runs, params, data_sha256=SOURCES)
    assert cells(collected)["image-bkd"] == "missing"
    line = compared(collected, Sources(params)).iloc[0]
    assert (line["BKD"], line["gain"], line["baseline"]) == ("missing", "–", "91.00 ± 1.00")
    assert summary(collected) == {"last_validation_top1": {"image-ce": 90.0}, "test_top1": {"image-ce": 91.0}}


def test_an_empty_table_is_all_missing(params, tmp_path):
    collected = collect(tmp_path / "none", params, data_sha256=SOURCES)
    assert set(cells(collected).values()) == {"missing"}
    assert for_reading(collected, Sources(params)).set_index("row").loc["image-bkd", "teacher"] == "missing"


@pytest.mark.parametrize(
    ("file", "damage", "said"),
    [
        ("metrics.json", b'{"test_top1": ', "metrics.json: no readable JSON here (JSONDecodeError)"),
        ("metrics.json", b"{}", "metrics.json: key: Field required"),
        ("history.csv", b"", "history.csv: no readable csv (EmptyDataError)"),
        ("history.csv", b"epoch\n0\n", "history.csv: no column 'validation_top1'"),
        ("predictions.csv", b"\xff\xfe\x00", "predictions.csv: no readable csv (UnicodeDecodeError)"),
        ("feature_maps.npy", b"\x93NUMPY", "feature_maps.npy: no readable array (ValueError)"),
        ("grad_cam.npy", b"", "grad_cam.npy: no readable array (EOFError)"),
        ("feature_spread.npy", None, "feature_spread.npy: no readable array (FileNotFoundError)"),
    ],
)
def test_a_damaged_file_is_named_and_its_cell_broken(params, runs, file, damage, said):
    path = runs / "image-bkd-s1" / file
    path.unlink() if damage is None else path.write_bytes(damage)
    collected = collect(runs, params, data_sha256=SOURCES)
    assert cells(collected)["image-bkd"] == "94.00 ± 2.83 (s1 broken)"
    assert problem_notes(collected) == [f"Broken: image-bkd-s1 ({path.parent}/{said})."]


def test_a_wrong_type_or_a_foreign_file_is_damage(params, runs):
    change(runs / "image-ce-s0/metrics.json", test_top1="high")
    change(runs / "image-ce-s1/metrics.json", key="image-ce-s7")
    np.save(runs / "image-ce-s2/feature_spread.npy", np.zeros((2, 2)))
    collected = collect(runs, params, data_sha256=SOURCES)
    assert cells(collected)["image-ce"] == "broken"
    told = problem_notes(collected)
    assert "metrics.json: test_top1: Input should be a valid number" in told[0]
    assert "metrics.json: holds the results of 'image-ce-s7'" in told[1]
    assert "feature_spread.npy: has shape (2, 2), wanted 1 dimensions" in told[2]


@pytest.mark.parametrize(
    ("fact", "value"),
    [("ece", 100.1), ("footprint_bytes", 0), ("connection_sparsity", 1.5), ("effective_acs", -1.0)],
)
def test_a_number_that_cannot_be_is_damage(params, runs, fact, value):
    change(runs / "image-ce-s0/metrics.json", **{fact: value})
    (note,) = problem_notes(collect(runs, params, data_sha256=SOURCES))
    assert f"metrics.json: {fact}: Input should be" in note


def test_nothing_is_unpickled(params, runs):
    np.save(runs / "image-bkd-s0/grad_cam.npy", np.array([[["text", 1]]], dtype=object), allow_pickle=True)
    collected = collect(runs, params, data_sha256=SOURCES)
    assert collected.problems["image-bkd-s0"][0] == "broken"


@pytest.mark.parametrize(
    ("fact", "name"), [("params_sha256", "params"), ("data_sha256", "data"), ("teacher_sha256", "teacher")]
)
def test_results_of_other_params_data_or_teachers_are_left_out(params, runs, fact, name):
    path = runs / "image-bkd-s2/metrics.json"
    change(path, **{fact: "00" * 32})
    collected = collect(runs, params, data_sha256=SOURCES)
    assert cells(collected)["image-bkd"] == "93.00 ± 1.41 (s2 other params)"
    assert problem_notes(collected) == [f"Other params: image-bkd-s2 ({path}: of other {name} than this table's)."]


def test_changed_params_leave_out_the_runs_that_they_concern(params, runs):
    settings = {"method_settings": {"blur_ratio": 0.3}}
    changed = {
        key: run.model_copy(update=settings if run.row == "image-bkd" else {}) for key, run in params.runs.items()
    }
    row = params.rows["image-bkd"].model_copy(update=settings)
    other = params.model_copy(update={"rows": {**params.rows, "image-bkd": row}, "runs": changed})
    collected = collect(runs, other, data_sha256=SOURCES)
    assert cells(collected) == {"image-ce": "91.00 ± 1.00", "image-bkd": "other params"}


def test_folders_of_no_run_are_left_out_and_named(params, runs):
    shutil.copytree(runs / "image-ce-s0", runs / "image-ce-s9")
    collected = collect(runs, params, data_sha256=SOURCES)
    assert cells(collected)["image-ce"] == "91.00 ± 1.00"
    assert problem_notes(collected) == ["Left out, no runs of this table: image-ce-s9."]
