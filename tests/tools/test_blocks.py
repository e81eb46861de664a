"""Blocks of documents that are made of committed results, and the trials behind a table's settings."""

import pandas as pd
import pytest
from conftest import ROOT

from bkdsnn import paths
from bkdsnn.errors import InputError
from bkdsnn.params.read import validated
from bkdsnn.params.schema import Params
from bkdsnn.params.settings import settings_of
from bkdsnn.tools import blocks
from bkdsnn.tools.parts import composed
from bkdsnn.tools.readme import refreshed

TABLE = r"""# Title

| data set   | student   | parameters   | BKD      | gain   | energy (µJ)   |
|:-----------|:----------|-------------:|:---------|:-------|:--------------|
| a          | b         | 1            | 2 \| 3   | +1     | 0.1 → 0.2     |

- A note with | in it.
- Mean ± standard deviation over seeds (0, 1).
"""
CSV = """row,top1_mean,top1_std,gain,gain_over,gain_ci95,gain_p_holm,gap_closed,teacher_top1,T,seeds,gain_verdict
ce,60.0,1.0,,,,,,,4,5,
kd,61.0,1.0,1.0,ce,2.0,0.4,0.1,70.0,4,5,undecided
tks,55.0,0.5,-5.0,ce,1.0,0.001,,,4,5,worse
bkd,64.0,0.5,4.0,ce,0.5,0.001,0.4,70.0,4,5,better
mixed,64.5,0.5,3.5,kd,0.5,0.002,,70.0,4,5,better
"""
TRIALS = {
    "image-bkd": "methods.bkd.settings.feature_weight,seed,params_sha256,validation_top1\n0.2,9,a,50\n0.02,9,b,60.25\n",
    "image-mixed": (
        "methods.mixed.settings.logits_weight,methods.mixed.settings.temperature,seed,params_sha256,validation_top1\n"
        "3,2,9,a,59\n3,2,8,b,57\n1,2,9,c,61\n1,2,8,d,51\n1,4,8,e,\n"
    ),
}


@pytest.fixture
def committed(tmp_path, monkeypatch):
    """A project with one table and the trials of two of its rows."""
    monkeypatch.chdir(tmp_path)
    for folder in (paths.tables("small"), paths.tuning("small", "bkd").parent):
        folder.mkdir(parents=True)
    (paths.tables("small") / "comparison.md").write_text(TABLE)
    (paths.tables("small") / "table.md").write_text(TABLE)
    (paths.tables("small") / "table.csv").write_text(CSV)
    for row, trials in TRIALS.items():
        paths.tuning("digits", row).write_text(trials)


def cells(markdown: str) -> list[list[str]]:
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def document(kind: str, content: str) -> str:
    return f"before\n<!-- made: {kind} -->\n{content}<!-- end -->\nafter\n"


def test_columns_and_notes_are_left_to_the_whole_table(committed):
    short = "| data set | student | BKD | gain |\n| :--- | :--- | :--- | :--- |\n| a | b | 2 \\| 3 | +1 |\n"
    assert blocks.comparison("small") == short
    made = refreshed(document("comparison small", "old\n"), where="README.md")
    assert made == document("comparison small", f"\n{short}\n")
    assert refreshed(made, where="README.md") == made


def test_rows_come_best_first_with_what_they_are_compared_with(committed):
    head, _, *body = cells(blocks.rows("small"))
    assert [line[0] for line in body] == ["mixed", "bkd", "kd", "ce", "tks"]
    assert dict(zip(head, body[0], strict=True)) == {
        "row": "mixed",
        "test top-1 %": "64.50 ± 0.50",
        "gain over": "kd",
        "gain": "+3.50 ± 0.50",
        "verdict": "better",
        "p, corrected": "0.002",
        "gap closed, %": "–",
        "teacher %": "70.00",
        "T": "4",
        "seeds": "5",
    }
    assert body[3][2:9] == ["–", "–", "–", "–", "–", "–", "4"]
    assert blocks.rows("small").endswith("\n\n- Mean ± standard deviation over seeds (0, 1).\n")


def test_gains_are_listed_by_verdict(committed):
    assert blocks.gains("small").splitlines() == [
        "Title:",
        "",
        "- **better**: bkd over ce +4.00 ± 0.50, mixed over kd +3.50 ± 0.50.",
        "- **worse**: tks over ce -5.00 ± 1.00.",
        "- **undecided**: kd over ce +1.00 ± 2.00.",
    ]


def test_trials_are_means_over_their_seeds_and_the_best_is_chosen(committed):
    assert cells(blocks.trials("digits"))[2:] == [
        ["image-bkd", "feature_weight", "0.02, 0.2", "60.2, 50.0", "0.02"],
        ["image-mixed", "logits_weight, temperature", "1 / 2, 1 / 4, 3 / 2", "56.0, nan, 58.0", "3 / 2"],
    ]


@pytest.mark.parametrize(
    ("best", "told"), [(1, "image-bkd, image-mixed"), (2, "image-mixed"), (3, "image-bkd, image-mixed")]
)
def test_a_choice_at_an_end_of_the_values_is_told(committed, best, told):
    lines = [f"{value},9,a,{60 if value == best else 50}" for value in (3, 1, 2)]
    paths.tuning("digits", "image-bkd").write_text("\n".join([TRIALS["image-bkd"].splitlines()[0], *lines]))
    assert blocks.trials("digits").splitlines()[-1].endswith(f"may lie beyond: {told}.")


def test_of_equal_trials_the_smallest_is_chosen():
    trials = pd.DataFrame({"methods.kd.settings.weight": [3, 1], "seed": [9, 9], "validation_top1": [58.0, 58.0]})
    assert blocks.validation(trials).idxmax() == 1


def test_a_table_without_trials_is_told(committed):
    with pytest.raises(InputError, match="tiny-ROW.csv: no row of the table 'tiny' has trials: `make tune`"):
        blocks.trials("tiny")


def test_rows_without_results_leave_the_numbers_of_others_as_they_are(committed):
    file = paths.tables("small") / "table.csv"
    file.write_text(CSV + "nld,,,,,,,,70.0,,0,\n")
    *_, last = cells(blocks.rows("small"))
    assert last == ["nld", "–", "–", "–", "–", "–", "–", "70.00", "–", "0"]
    assert cells(blocks.rows("small"))[2][8] == "4"
    file.write_text("\n".join(CSV.splitlines()[:2]) + "\n")
    assert blocks.gains("small") == "Title:\n\nNo row of it has a gain yet.\n"


def test_a_table_of_another_version_is_told(committed):
    (paths.tables("small") / "table.csv").write_text(CSV.replace("gain,", "gain_over_ce,", 1))
    with pytest.raises(InputError, match="no column 'gain'; `make params TABLE=small` and `make repro` make it"):
        blocks.gains("small")


def test_a_table_that_is_not_made_is_told(committed):
    with pytest.raises(InputError, match=r"results/tables/large/table.csv: missing; `make params TABLE=large`"):
        blocks.gains("large")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<!-- made: rows small -->\n", "README.md: every `<!-- made: KIND OF -->` has its `<!-- end -->`"),
        ("<!-- end -->\n", "README.md: every"),
        (document("verdict small", ""), "made: verdict -->: no such kind; there are comparison, rows, gains"),
    ],
)
def test_marks_that_say_nothing_are_told(committed, text, told):
    with pytest.raises(InputError, match=told):
        refreshed(text, where="README.md")


@pytest.fixture(scope="module")
def params():
    return validated(Params, composed("table=cifar10-cpu"), where="")


def test_every_method_with_a_setting_of_its_own_was_tuned_and_the_table_has_what_the_trials_chose(params):
    tuned = {method: ROOT / paths.tuning("cifar10-cpu", method) for method in set(params.methods) - {"ce"}}
    for row, file in tuned.items():
        trials = pd.read_csv(file)
        means = blocks.validation(trials)
        (setting,) = means.index.names
        assert (len(trials), set(trials["seed"])) == (3, {100}), row
        assert not set(trials["seed"]) & set(params.seeds)
        assert settings_of(params.rows[row], params)[setting.rpartition(".")[2]] == means.idxmax(), row


def test_rows_of_one_method_have_its_weight(params):
    for row in params.rows.values():
        assert not [name for name in row.method_settings if name.endswith("weight")]
