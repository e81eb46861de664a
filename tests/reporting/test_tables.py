"""The tables from made-up runs whose statistics are known by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from made_up_runs import TOP1, made_up_params, write_results

from bkdsnn.files import write_csv
from bkdsnn.reporting import comparison, tables
from bkdsnn.reporting.collect import Collected, collect
from bkdsnn.reporting.intervals import gain, mean_and_std, paired_interval
from bkdsnn.reporting.notes import Sources
from bkdsnn.reporting.report import write_tables
from bkdsnn.reporting.verdicts import verdicts

CE, BKD = {"of": "image-ce"}, {"of": "image-bkd"}
VIT, DVS = {"of": "image-vit"}, {"of": "dvs-mixed"}
STRONG = {"method_settings": {"blur_ratio": 0.6}}


@pytest.fixture
def collect_rows(composed, tmp_path):
    """Collected made-up results of rows that differ from the tiny table's, all with the same three accuracies."""

    def made(rows: dict[str, dict], top1: dict[str, tuple[float, ...]] | None = None) -> Collected:
        params = made_up_params(composed, rows=rows)
        write_results(tmp_path / "runs", params, top1=top1 or dict.fromkeys(rows, (90.0, 92.0, 91.0)))
        return collect(tmp_path / "runs", params, data_sha256={})

    return made


@pytest.fixture
def both(collect_rows):
    published = {"value": 95.29, "source": "README of the authors", "grade": "P"}
    unknown = {"value": None, "source": "paper, table 2", "grade": None}
    return collect_rows({"image-ce": {**CE, "published": unknown}, "image-bkd": {**BKD, "published": published}}, TOP1)


def test_the_paired_interval_by_hand():
    mean, half = paired_interval(np.array([2.0, 2.0, 5.0]))
    assert mean == 3.0
    assert half == pytest.approx(4.302653 * 3**0.5 / 3**0.5, rel=1e-6)  # t(0.975, 2) * s / sqrt(3), s = sqrt(3)
    assert np.isnan(paired_interval(np.array([1.0]))[1])


def test_mean_and_deviation_by_hand():
    assert mean_and_std(np.array([1.0, 2.0, 6.0])) == (3.0, pytest.approx(7**0.5))  # (4 + 1 + 9) / 2
    assert np.isnan(mean_and_std(np.array([1.0]))[1])
    assert np.isnan(mean_and_std(np.array([]))).all()


def test_numbers_of_a_row(both):
    table = tables.numbers(both).set_index("row")
    assert (table.loc["image-ce", "top1_mean"], table.loc["image-ce", "top1_std"]) == (91.0, 1.0)
    assert np.isnan(table.loc["image-ce", "gain"])
    assert gain("image-bkd", both) == (3.0, pytest.approx(4.302653, rel=1e-6), 3)  # differences 2, 2, 5
    row = table.loc["image-bkd"]
    assert (row["gain"], row["teacher_top1"], row["seeds"], row["split"]) == (3.0, 98.0, 3, "stratified")
    assert (row["ece"], row["footprint_bytes"], row["activation_sparsity"]) == (4.5, 5678, 0.875)
    assert (row["effective_macs"], row["effective_acs"], row["dense_operations"]) == (400.0, 1800.0, 16000.0)
    assert (row["published"], row["published_source"], row["published_grade"]) == (95.29, "README of the authors", "P")


def test_a_gain_over_the_row_that_is_named(collect_rows):
    rows = {"ce": CE, "plain": BKD, "blurred": {**BKD, "over": "plain", "method_settings": {"blur_ratio": 0.5}}}
    top1 = {"ce": (90.0, 92.0, 91.0), "plain": (92.0, 94.0, 96.0), "blurred": (93.0, 94.0, 98.0)}
    collected = collect_rows(rows, top1)
    table = tables.numbers(collected).set_index("row")
    assert table["gain_over"].dropna().to_dict() == {"plain": "ce", "blurred": "plain"}
    assert table["gain"].tolist()[1:] == [3.0, 1.0]
    assert np.isnan(table.loc["blurred", "gap_closed"]), "a share of the way from the baseline to the teacher"
    read = tables.for_reading(collected, Sources(collected.params)).set_index("row")["gain"]
    assert read["plain"] == "+3.00 ± 4.30 (too few seeds)"
    assert read["blurred"] == "+1.00 ± 2.48 (over plain, too few seeds)"  # differences 1, 0, 2
    line = comparison.for_reading(collected, Sources(collected.params)).iloc[-1]
    assert line["gain"] == "+1.00 ± 2.48 (blurred over plain, too few seeds)"
    assert line["verdicts"] == "too few seeds: blurred over plain"


def test_a_table_that_shows_another_s_runs_judges_its_own_questions_alone(collect_rows):
    rows = {"ce": CE, "plain": BKD, "blurred": {**BKD, "over": "plain", "method_settings": {"blur_ratio": 0.5}}}
    made = collect_rows(rows)
    shown = Collected(made.params.model_copy(update={"same_runs_as": "tiny"}), made.evaluated, {}, [])
    table = tables.numbers(shown).set_index("row")
    assert table["gain_over"].dropna().to_dict() == {"blurred": "plain"}
    assert table["gain_verdict"].dropna().to_dict() == {"blurred": "too few seeds"}
    assert set(verdicts(shown)) == {"blurred"}
    numbers = comparison.numbers(shown).iloc[-1]
    assert (numbers["gain_of"], numbers["gain_over"]) == ("blurred", "plain")
    read = tables.for_reading(shown, Sources(shown.params)).set_index("row")["gain"]
    assert (read["ce"], read["plain"]) == ("–", "–")


def test_what_is_read(both):
    sources = Sources(both.params)
    rows = tables.for_reading(both, sources).set_index("row")
    assert rows.loc["image-bkd", "top-1 %, last epoch"] == "94.00 ± 2.00"
    assert rows.loc["image-bkd", "gain over CE"] == "+3.00 ± 4.30 (too few seeds)"
    assert rows.loc["image-bkd", "gap closed, %"] == "+42.86 ± 61.47 (too few seeds)"  # of 98 - 91
    assert rows.loc["image-bkd", "validation top-1 %, last epoch"] == "90.00"
    assert rows.loc["image-bkd", "published"] == "95.29 [2]"
    assert rows.loc["image-ce", "published"] == "not found [1]"
    assert rows.loc["image-ce", "teacher"] == "–"
    assert rows.loc["image-ce", "energy, estimated (µJ)"] == "0.004"
    assert rows.loc["image-ce", "ECE %"] == "4.50"
    assert sources.notes()[1:] == ["[1] paper, table 2.", "[2] README of the authors, grade P: the authors' own."]


def test_a_line_of_the_comparison(both):
    (line,) = comparison.for_reading(both, Sources(both.params)).to_dict("records")
    assert line == {
        "data set": "digits",
        "student": "sew-digits",
        "parameters": "1,234",
        "teacher": "resnet-digits 98.00",
        "T": "4",
        "epochs": "2",
        "seeds": "3",
        "baseline": "91.00 ± 1.00",
        "BKD": "94.00 ± 2.00",
        "gain": "+3.00 ± 4.30 (BKD, too few seeds)",
        "verdicts": "too few seeds: BKD",
        "published": "baseline not found [1], BKD 95.29 [2]",
        "difference": "BKD -1.29",
        "firing rate": "0.125 → 0.125",
        "energy (µJ)": "0.004 → 0.004",
    }
    (record,) = comparison.numbers(both).to_dict("records")
    assert (record["bkd_mean"], record["baseline_std"], record["gain"]) == (94.0, 1.0, 3.0)
    assert (record["bkd_published"], record["gain_of"]) == (95.29, "image-bkd")


def test_lines_are_students_and_teachers_and_what_a_method_has_twice(collect_rows):
    mixed = {**BKD, "method": "mixed"}
    collected = collect_rows({"ce": CE, "bkd": BKD, "mixed": mixed, "more": {**BKD, **STRONG}, "vit": VIT, "dvs": DVS})
    found = [(line.dataset, line.teacher, line.cells) for line in comparison.lines(collected.params)]
    assert found == [
        ("digits", "resnet-digits", {"bkd": "bkd", "ce": "ce", "mixed": "mixed"}),
        ("digits", "resnet-digits", {"bkd": "more", "ce": "ce"}),
        ("digits", "vit-digits", {"mixed": "vit", "ce": "ce"}),
        ("digits-dvs", "resnet-dvs", {"mixed": "dvs"}),
    ]
    read = comparison.for_reading(collected, Sources(collected.params))
    same, few = "+0.00 ± 0.00", "too few seeds"
    assert list(read["variant"]) == ["–", "blur_ratio=0.6", "–", "–"]
    assert list(read["gain"]) == [f"{same} (mixed, {few})", f"{same} (BKD, {few})", f"{same} (mixed, {few})", "–"]
    assert list(read["verdicts"]) == [f"{few}: BKD, mixed", f"{few}: BKD", f"{few}: mixed", "–"]


@pytest.mark.parametrize(
    ("of_bkd", "variants"), [({}, ["mixed: blur_ratio=0.6", "–"]), (STRONG, ["blur_ratio=0.6", "–"])]
)
def test_where_methods_share_a_line_a_setting_of_some_says_whose_it_is(collect_rows, of_bkd, variants):
    mixed = {**BKD, "method": "mixed", **STRONG}
    collected = collect_rows({"ce": CE, "bkd": {**BKD, **of_bkd}, "mixed": mixed, "more": BKD})
    assert list(comparison.for_reading(collected, Sources(collected.params))["variant"]) == variants


def test_a_baseline_alone_is_a_line(collect_rows):
    collected = collect_rows({"ce": CE})
    (line,) = comparison.for_reading(collected, Sources(collected.params)).to_dict("records")
    assert (line["baseline"], line["gain"], line["firing rate"]) == ("91.00 ± 1.00", "–", "0.125")


def test_the_methods_of_a_table_are_explained(both, tmp_path):
    write_tables(tmp_path, both)
    note = (
        "- Methods, all with a cross-entropy (of the mean logits, or of every time step's): "
        "baseline (ce): cross-entropy alone; "
        "BKD: the feature, blurred and restored before it is compared (Xu et al. 2024)."
    )
    for name in ("comparison.md", "table.md"):
        assert note in (tmp_path / name).read_text(encoding="utf-8").splitlines()


def test_a_method_of_somebody_else_is_in_the_note_by_its_name(both):
    theirs = both.params.methods["bkd"].model_copy(
        update={"method": "plain_mse", "label": None, "meaning": None, "column": None}
    )
    params = both.params.model_copy(update={"methods": {**both.params.methods, "bkd": theirs}})
    assert comparison.methods_note(params).endswith("cross-entropy alone; plain_mse.")


def test_notes_say_every_setting_of_every_method_and_of_a_row_its_own(both):
    rows = {**both.params.rows}
    bkd = rows["image-bkd"]
    rows["image-blurred"] = bkd.model_copy(update={"method_settings": {"blur_ratio": 0.4}})
    said = comparison.settings_note(both.params.model_copy(update={"rows": rows}))
    assert "baseline: label_smoothing 0.0;" in said
    own, other = (part.split(": ", 1)[0] for part in said.split("; ")[1:])
    assert (own, other) == ("BKD (image-bkd)", "BKD (image-blurred)")
    assert said.count("blur_ratio 0.15") == 1
    assert said.count("blur_ratio 0.4") == 1


def test_notes_say_what_energy_and_ece_are(both, tmp_path):
    write_tables(tmp_path, both)
    for name in ("comparison.md", "table.md"):
        assert "- Energy is a relative estimate, " in (tmp_path / name).read_text(encoding="utf-8")
    assert "ECE: expected calibration error of the last epoch on the test split, 15 bins" in (
        tmp_path / "table.md"
    ).read_text(encoding="utf-8")


def test_csv_holds_all_digits(collect_rows, tmp_path):
    collected = collect_rows({"ce": CE, "bkd": BKD}, {"ce": (90.0, 90.0, 91.0), "bkd": (90.1, 92.2, 94.3)})
    write_tables(tmp_path, collected)
    read = pd.read_csv(tmp_path / "table.csv", float_precision="round_trip").set_index("row")
    assert read.loc["ce", "top1_mean"] == float(np.mean([90.0, 90.0, 91.0]))
    assert read.loc["bkd", "gain_ci95"] == gain("bkd", collected).half
    assert len(pd.read_csv(tmp_path / "comparison.csv")) == 1


def test_the_summary_has_validation_first_where_the_file_and_dvc_sort_by_name(both, tmp_path):
    write_tables(tmp_path, both)
    found = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert list(found.items()) == [
        ("last_validation_top1", {"image-bkd": 90.0, "image-ce": 90.0}),
        ("test_top1", {"image-bkd": 94.0, "image-ce": 91.0}),
    ]


def test_a_run_without_epochs_has_no_validation_accuracy(both, tmp_path):
    for seed in range(3):
        write_csv(tmp_path / f"runs/image-ce-s{seed}/history.csv", {"epoch": [], "validation_top1": []})
    again = collect(tmp_path / "runs", both.params, data_sha256={})
    assert tables.summary(again)["last_validation_top1"] == {"image-bkd": 90.0}
    rows = tables.for_reading(again, Sources(again.params)).set_index("row")
    assert rows.loc["image-ce", "validation top-1 %, last epoch"] == "–"


def test_best_on_test_is_nowhere(both, tmp_path):
    (tmp_path / "out").mkdir()
    write_tables(tmp_path / "out", both)
    for path in (tmp_path / "out").iterdir():
        assert "best" not in path.read_text(encoding="utf-8")
