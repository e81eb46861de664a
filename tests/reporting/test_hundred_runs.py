"""A table of 100 runs is built; `pytest -s` says in how many seconds."""

import time

from conftest import write_data
from made_up_runs import made_up_params, write_results

from bkdsnn.files import write_csv
from bkdsnn.reporting.collect import collect
from bkdsnn.reporting.figures.draw import draw_figures
from bkdsnn.reporting.plots import write_plots
from bkdsnn.reporting.report import write_tables


def test_a_table_of_a_hundred_runs(composed, tmp_path):
    rows = {
        f"blur-{number:02}": {"of": "image-bkd", "method_settings": {"blur_ratio": number / 20}} for number in range(19)
    }
    params = made_up_params(composed, rows={"ce": {"of": "image-ce"}, **rows}, seeds=5)
    write_results(tmp_path / "runs", params, top1=dict.fromkeys(params.rows, (90.0, 91.0, 92.0, 93.0, 94.0)))
    samples = {
        "actual": [number % 10 for number in range(10000)],
        "predicted": [number % 11 % 10 for number in range(10000)],
    }
    for key in params.runs:
        write_csv(tmp_path / "runs" / key / "predictions.csv", samples)
    data = {"digits": write_data(tmp_path / "data", shape=(1, 8, 8))}
    start = time.perf_counter()
    collected = collect(tmp_path / "runs", params, data_sha256={})
    draw_figures(tmp_path, collected, data)
    write_tables(tmp_path, collected)
    write_plots(tmp_path, collected)
    print(f"\n{len(params.runs)} runs: {time.perf_counter() - start:.1f} s")
    assert len(collected.evaluated) == 101
    assert len((tmp_path / "comparison.csv").read_text().splitlines()) == 20
