"""What a table says of its gains: by hand, and how often it is wrong or blind where the truth is made up."""

import math

import numpy as np
import pandas as pd
import pytest
from made_up_runs import made_up_params, made_up_table, write_results
from scipy import stats

from bkdsnn.params.read import validated
from bkdsnn.params.schema import Params
from bkdsnn.reporting import comparison, tables
from bkdsnn.reporting.collect import collect
from bkdsnn.reporting.intervals import gap_closed
from bkdsnn.reporting.notes import Sources
from bkdsnn.reporting.report import write_tables
from bkdsnn.reporting.verdicts import ENOUGH, LEVEL, holm, note, paired_test, verdicts

TABLES = 1000
NOISE = 0.8  # of a run, in points; a paired difference has √2 of it
CE, BKD = {"of": "image-ce"}, {"of": "image-bkd"}
BASELINE = (90.0, 91.0, 92.0, 91.0, 90.0, 92.0)
HIGHER = tuple(value + gain for value, gain in zip(BASELINE, (2.0, 2.5, 1.5, 2.0, 2.25, 1.75), strict=True))
NOISY = tuple(value + gain for value, gain in zip(BASELINE, (2.0, -2.0, 1.0, -1.0, 0.5, -0.25), strict=True))
LOWER = tuple(value - 1.0 for value in BASELINE)


@pytest.fixture
def collect_rows(composed, tmp_path):
    """Collected made-up results of the rows ce, bkd, ...: accuracies by row, as many seeds as there are of ce."""

    def made(**top1: tuple[float, ...]):
        rows = {row: CE if row == "ce" else BKD for row in top1}
        params = made_up_params(composed, rows=rows, seeds=len(top1["ce"]))
        write_results(tmp_path / "runs", params, top1=top1)
        return collect(tmp_path / "runs", params, data_sha256={})

    return made


def read(collected) -> tuple[pd.DataFrame, pd.DataFrame]:
    sources = Sources(collected.params)
    return tables.for_reading(collected, sources).set_index("row"), comparison.for_reading(collected, sources)


def test_p_is_that_of_scipy_s_paired_t_test():
    own, baseline = np.random.default_rng(0).normal(size=(2, 7))
    p, effect = paired_test(own - baseline)
    assert p == pytest.approx(stats.ttest_rel(own, baseline).pvalue, rel=1e-9)
    assert effect == pytest.approx(np.mean(own - baseline) / np.std(own - baseline, ddof=1), rel=1e-9)


def test_differences_without_spread():
    assert paired_test(np.zeros(5)) == (1.0, 0.0)
    assert paired_test(np.full(5, 0.1)) == (0.0, math.inf)
    assert paired_test(np.full(5, -0.1)) == (0.0, -math.inf)


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.5, 0.9])).tolist() == [1.0, 1.0]
    assert holm(np.array([])).tolist() == []


def test_every_gain_has_a_verdict_and_its_numbers(collect_rows):
    collected = collect_rows(ce=BASELINE, higher=HIGHER, noisy=NOISY, lower=LOWER)
    found = verdicts(collected)
    assert {row: verdict.word for row, verdict in found.items()} == {
        "higher": "better",
        "noisy": "undecided",
        "lower": "worse",
    }
    row = tables.numbers(collected).set_index("row").loc["higher"]
    p = stats.ttest_rel(HIGHER, BASELINE).pvalue
    assert row["gain_p"] == pytest.approx(p, rel=1e-9)
    assert row["gain_p_holm"] == pytest.approx(2 * p, rel=1e-9), "second of three: p of lower is 0"
    assert row["gain_effect"] == pytest.approx(2.0 / np.std([2.0, 2.5, 1.5, 2.0, 2.25, 1.75], ddof=1))
    assert (row["gain_pairs"], row["gain_verdict"], row["gap_closed_verdict"]) == (6, "better", "better")
    assert pd.isna(tables.numbers(collected).set_index("row").loc["ce", ["gain_p", "gain_verdict"]]).all()
    assert "over all gains of this table that have 5 pairs or more (3)" in note(found)


def test_more_rows_make_the_same_gain_undecided(collect_rows, composed):
    slight = tuple(value + gain for value, gain in zip(BASELINE, (1.0, 0.0, 2.0, 1.0, 0.2, 1.8), strict=True))
    assert 0.01 < stats.ttest_rel(slight, BASELINE).pvalue < 0.05
    rows = {"ce": CE, "slight": BKD, **{f"noisy-{number}": BKD for number in range(5)}}
    top1 = {"ce": BASELINE, "slight": slight} | dict.fromkeys(list(rows)[2:], NOISY)
    assert verdicts(collect_rows(ce=BASELINE, slight=slight))["slight"].word == "better"
    params = made_up_params(composed, rows=rows, seeds=6)
    assert verdicts(made_up_table(params, top1))["slight"].word == "undecided"


def test_with_few_seeds_or_pairs_it_says_so(collect_rows):
    collected = collect_rows(ce=BASELINE[: ENOUGH - 1], higher=HIGHER[: ENOUGH - 1])
    detail, lines = read(collected)
    assert detail.loc["higher", "gain over CE"].endswith("(too few seeds)")
    assert detail.loc["higher", "gap closed, %"].endswith("(too few seeds)")
    assert lines.loc[0, "verdicts"] == "too few seeds: BKD"
    row = tables.numbers(collected).set_index("row").loc["higher"]
    assert row[["gain_p", "gain_p_holm", "gain_effect"]].isna().all()
    assert (row["gain_pairs"], row["gain_verdict"]) == (ENOUGH - 1, "too few seeds")


def test_pairs_count_not_seeds(collect_rows):
    collected = collect_rows(ce=BASELINE, higher=HIGHER)
    for key in ("ce-s0", "higher-s1"):
        del collected.evaluated[key]
    assert verdicts(collected)["higher"].word == "too few seeds"
    assert tables.numbers(collected).set_index("row").loc["higher", "gain_pairs"] == 4


def test_the_comparison_tells_the_verdict_of_every_method(composed):
    rows = {"ce": CE, "bkd": BKD, "mixed": {**BKD, "method": "mixed"}}
    params = made_up_params(composed, rows=rows, seeds=6)
    content = {"ce": BASELINE, "bkd": HIGHER, "mixed": NOISY}
    line = comparison.lines(params)[0]
    collected = made_up_table(params, content)
    assert comparison.verdicts_of(line, verdicts(collected), params) == "better: BKD; undecided: mixed"


def test_the_gap_closed_by_hand(collect_rows):
    collected = collect_rows(ce=BASELINE, higher=HIGHER)
    closed = gap_closed("higher", collected)
    assert closed.mean == pytest.approx(2.0 / (98.0 - 91.0))
    assert closed.half == pytest.approx(
        stats.t.ppf(0.975, 5) * np.std((np.array(HIGHER) - BASELINE) / 7, ddof=1) / 6**0.5
    )
    detail, _ = read(collected)
    assert detail.loc["higher", "gap closed, %"] == f"+28.57 ± {100 * closed.half:.2f} (better)"
    shares = (np.array(HIGHER) - BASELINE) / (98.0 - 91.0)
    assert paired_test(shares)[0] == pytest.approx(verdicts(collected)["higher"].p), "the gain's test is its test"


@pytest.mark.parametrize("above", [8.0, 7.0, 6.5], ids=["better", "equal", "within the interval"])
def test_without_a_gap_there_is_no_share_of_it(collect_rows, above):
    """The CE runs have 91 % and this more, the teacher has 98 %."""
    collected = collect_rows(ce=tuple(value + above for value in BASELINE), higher=HIGHER)
    assert gap_closed("higher", collected) is None
    detail, _ = read(collected)
    assert detail.loc["higher", "gap closed, %"] == "–"
    row = tables.numbers(collected).set_index("row").loc["higher"]
    assert row[["gap_closed", "gap_closed_ci95", "gap_closed_p", "gap_closed_verdict"]].isna().all()


def test_the_notes_say_how(collect_rows, tmp_path):
    write_tables(tmp_path, collect_rows(ce=BASELINE, higher=HIGHER))
    for name in ("comparison.md", "table.md"):
        assert "that have 5 pairs or more (1)" in (tmp_path / name).read_text(encoding="utf-8")
    assert "Gap closed:" in (tmp_path / "table.md").read_text(encoding="utf-8")


# How often it is wrong, and how often blind: 1,000 made-up tables with the rows of the embedded one.


@pytest.fixture(scope="module")
def embedded(composed) -> Params:
    """The embedded table's params with its seeds; with 8 as long as those are too few for any verdict."""
    seeds = len(composed("table=digits")["seeds"])
    content = composed("table=digits", f"seeds=[{','.join(map(str, range(seeds if seeds >= ENOUGH else 8)))}]")
    return validated(Params, content, where="")


def made_up_tables(params: Params, gains: dict[str, float]):
    """Tables of normal noise, independent between runs: gains that share a CE row are correlated, as in real ones."""
    random = np.random.default_rng(0)
    for _ in range(TABLES):
        noise = random.normal(scale=NOISE, size=(len(params.rows), len(params.seeds)))
        yield made_up_table(
            params, {row: 90 + gains.get(row, 0.0) + own for row, own in zip(params.rows, noise, strict=True)}
        )


def test_of_tables_without_any_effect_at_most_one_in_twenty_says_there_is_one(embedded):
    """1,000 tables measure 5 % to ± 0.7 % alone, so what is refused is a number that 1 in 100 such counts exceeds."""
    found = [{verdict.word for verdict in verdicts(table).values()} for table in made_up_tables(embedded, {})]
    wrong = sum(words != {"undecided"} for words in found)
    print(f"\n{len(embedded.seeds)} seeds, family-wise error in {TABLES} tables: {wrong / TABLES:.1%}")
    assert wrong <= stats.binom.ppf(0.99, TABLES, LEVEL)


def test_the_error_itself_is_below_one_in_twenty(embedded):
    """Where nothing is true Holm errs when its first step does, so scipy alone can count 100,000 tables."""
    students, gains = 2, 3
    assert len(embedded.rows) == students * (gains + 1)
    accuracies = np.random.default_rng(0).normal(size=(100_000, students, gains + 1, len(embedded.seeds)))
    p = stats.ttest_rel(accuracies[:, :, 1:], accuracies[:, :, :1], axis=-1).pvalue
    wrong = np.mean(p.min(axis=(1, 2)) * students * gains <= LEVEL)
    print(f"\n{len(embedded.seeds)} seeds, family-wise error: {wrong:.2%}")
    assert 0.04 < wrong <= LEVEL, "far below, the test would be blind"


def test_a_gain_of_twice_the_noise_is_found_in_four_tables_of_five(embedded):
    """Noise: the standard deviation of a paired difference. The other gains are 0, which is hardest for Holm."""
    gains = {"image-bkd": 2 * 2**0.5 * NOISE}
    found = [verdicts(table)["image-bkd"].word for table in made_up_tables(embedded, gains)]
    power = found.count("better") / TABLES
    print(f"\n{len(embedded.seeds)} seeds, found: {power:.1%}")
    assert power >= 0.8
