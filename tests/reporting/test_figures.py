"""Figures and plot files: which are made, of what, and the same bytes every time."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import write_data
from made_up_runs import TOP1, made_up_params, made_up_table, write_results

from bkdsnn.reporting.collect import collect
from bkdsnn.reporting.figures.accuracy import blur_ratio, blurred_lines
from bkdsnn.reporting.figures.datasets import images
from bkdsnn.reporting.figures.draw import draw_figures
from bkdsnn.reporting.figures.gains import gains
from bkdsnn.reporting.figures.style import Drawn, look
from bkdsnn.reporting.plots import write_plots
from bkdsnn.reporting.report import write_tables

CE, BKD = {"of": "image-ce"}, {"of": "image-bkd"}


@pytest.fixture
def collected(composed, tmp_path):
    params = made_up_params(composed)
    write_results(tmp_path / "runs", params, top1=TOP1)
    return collect(tmp_path / "runs", params, data_sha256={})


def test_files_are_the_same_bytes_again(collected, tmp_path):
    contents = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        data = write_data(tmp_path / f"data-{name}", shape=(1, 8, 8))
        drawn = draw_figures(folder, collected, {"digits": data})
        assert {entry["file"] for entry in drawn} == {path.name for path in folder.iterdir()}
        assert all(entry["title"] and entry["caption"] and entry["alt"] for entry in drawn)
        write_tables(folder, collected)
        write_plots(folder, collected)
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1]
    figures = {
        "accuracy",
        "gains",
        "training_curves",
        "energy",
        "firing_rates",
        "feature_spread",
        "feature_maps-digits",
    }
    figures |= {"grad_cam-digits", "data-digits"}
    tables = {f"{name}.{kind}" for name in ("comparison", "table") for kind in ("md", "csv", "tex")}
    plots = {"learning_curves.csv", "confusion.csv"}
    assert set(contents[0]) == {f"{name}.png" for name in figures} | tables | plots | {"summary.json"}


def test_a_table_without_results_shows_its_data_alone(composed, tmp_path):
    collected = collect(tmp_path / "none", made_up_params(composed), data_sha256={})
    drawn = draw_figures(tmp_path, collected, {"digits": write_data(tmp_path / "data", shape=(1, 8, 8))})
    assert [entry["file"] for entry in drawn] == ["data-digits.png"]


def test_maps_are_left_out_where_the_feature_is_a_vector(collected, tmp_path):
    for key in collected.evaluated:
        for name in ("feature_maps", "grad_cam"):
            np.save(tmp_path / "runs" / key / f"{name}.npy", np.zeros((0, 1, 1), np.float32))
    again = collect(tmp_path / "runs", collected.params, data_sha256={})
    drawn = draw_figures(tmp_path, again, {"digits": write_data(tmp_path / "data", shape=(1, 8, 8))})
    assert not {entry["file"] for entry in drawn} & {"grad_cam-digits.png", "feature_maps-digits.png"}


def test_who_has_no_map_is_said(collected, tmp_path):
    for name in ("feature_maps", "grad_cam"):
        np.save(tmp_path / "runs" / "image-ce-s0" / f"{name}.npy", np.zeros((0, 1, 1), np.float32))
    again = collect(tmp_path / "runs", collected.params, data_sha256={})
    drawn = draw_figures(tmp_path, again, {"digits": write_data(tmp_path / "data", shape=(1, 8, 8))})
    captions = {entry["file"]: entry["caption"] for entry in drawn}
    for name in ("feature_maps", "grad_cam"):
        assert captions[f"{name}-digits.png"].endswith(" No map: image-ce, whose feature is a vector.")


def test_rows_that_differ_in_blur_ratio_alone_are_a_line(composed, tmp_path):
    rows = {f"blur-{number}": {**BKD, "method_settings": {"blur_ratio": number / 10}} for number in (6, 0)}
    rows |= {"ce": CE, "other": {**BKD, "method_settings": {"blur_ratio": 0.3, "feature_weight": 0.1}}}
    params = made_up_params(composed, rows=rows)
    write_results(tmp_path / "runs", params, top1=dict.fromkeys(rows, (90.0, 92.0, 91.0)))
    made = collect(tmp_path / "runs", params, data_sha256={})
    (line,) = blurred_lines(made).values()
    assert list(line.items()) == [(0.0, "blur-0"), (0.6, "blur-6")]
    drawn = draw_figures(tmp_path, made, {"digits": write_data(tmp_path / "data", shape=(1, 8, 8))})
    assert "bkd on digits at 0.6: 91.00" in {entry["file"]: entry["alt"] for entry in drawn}["blur_ratio.png"]


def test_the_band_of_a_line_is_what_its_rows_gain_over(composed, tmp_path):
    rows = {
        f"blur-{number}": {**BKD, "over": "other", "method_settings": {"blur_ratio": number / 10}} for number in (6, 0)
    }
    rows |= {"ce": CE, "other": {**BKD, "method_settings": {"feature_weight": 0.1}}}
    params = made_up_params(composed, rows=rows)
    write_results(
        tmp_path / "runs", params, top1={**dict.fromkeys(rows, (90.0, 92.0, 91.0)), "other": (80.0, 82.0, 81.0)}
    )
    (drawn,) = blur_ratio(collect(tmp_path / "runs", params, data_sha256={}))
    assert [text.get_text() for text in drawn.figure.axes[0].get_legend().get_texts()] == ["other 81.0 %", "bkd"]


def test_gains_are_drawn_with_their_verdicts_and_what_they_are_over(composed):
    rows = {"ce": CE, "higher": BKD, "lower": BKD, "alike": {**BKD, "over": "higher"}}
    high, noise = (92.0, 94.1, 93.0, 91.0, 95.2), (0.5, -0.5, 0.2, -0.3, 0.1)
    top1 = {"ce": (90.0, 92.0, 91.0, 89.0, 93.0), "higher": high, "lower": (85.0, 87.1, 86.0, 84.0, 88.2)}
    top1["alike"] = tuple(map(sum, zip(high, noise, strict=True)))
    (drawn,) = gains(made_up_table(made_up_params(composed, rows=rows, seeds=5), top1))
    said = "higher over ce +2.06 (better), lower over ce -4.94 (worse), alike over higher +0.00 (undecided)"
    assert drawn.alt == f"Mean gains: {said}."
    (axis,) = drawn.figure.axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["better", "undecided", "worse"]


def test_a_figure_says_which_table_it_is_of(collected, tmp_path, monkeypatch):
    said = {}
    monkeypatch.setattr(Drawn, "save", lambda drawn, folder: said.setdefault(drawn.name, drawn.figure.get_suptitle()))
    draw_figures(tmp_path, collected, {"digits": write_data(tmp_path / "data", shape=(1, 8, 8))})
    plt.close("all")
    assert said.pop("data-digits") == "digits"
    assert {"accuracy", "gains", "grad_cam-digits"} < set(said)
    assert set(said.values()) == {collected.params.title}


def test_a_table_of_one_row_has_no_gains(composed):
    params = made_up_params(composed, rows={"ce": CE})
    assert gains(made_up_table(params, {"ce": (90.0, 92.0, 91.0)})) == []


def test_a_class_may_be_called_what_a_formula_looks_like(tmp_path):
    data = write_data(tmp_path / "data", shape=(1, 8, 8))
    data.classes = ["$_$", "a$b$", "$\\frac{"]
    figure = images("digits", data)
    figure.savefig(tmp_path / "images.png")
    assert [axis.get_title() for axis in figure.axes] == data.classes


def test_lines_differ_in_grey_too():
    assert len({(own.marker, own.ls) for own in map(look, range(20))}) == 20


def test_plot_files_by_hand(collected, tmp_path):
    write_plots(tmp_path, collected)
    curves = pd.read_csv(tmp_path / "learning_curves.csv")
    assert curves.to_dict("list") == {
        "row": ["image-ce"] * 2 + ["image-bkd"] * 2,
        "epoch": [0, 1] * 2,
        "task": [1.0, 0.5] * 2,
        "validation_top1": [50.0, 90.0] * 2,
    }
    counts = pd.read_csv(tmp_path / "confusion.csv").set_index(["row", "actual", "predicted"])["count"]
    assert counts["image-bkd"].to_dict() == {(0, 0): 3, (0, 1): 3, (1, 1): 3}, "three seeds of one each"
