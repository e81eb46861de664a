"""A row's settings chosen by validation: the space, the seeds, the ranking. tests/test_pipeline.py really trains."""

import pytest

from bkdsnn.errors import InputError
from bkdsnn.tools.tune import check_unused, points_of, ranking, seeds_of


def test_a_space_is_every_combination_of_its_values():
    assert points_of("a.b=1,2 c=x") == [["a.b=1", "c=x"], ["a.b=2", "c=x"]]
    assert points_of("a=[1,2],[3] b=choice(4,5)") == [
        ["a=[1,2]", "b=4"],
        ["a=[1,2]", "b=5"],
        ["a=[3]", "b=4"],
        ["a=[3]", "b=5"],
    ]


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("", "empty"),
        ("a", "SPACE: "),
        ("a=1,,2", "SPACE: "),
        ("a=interval(0,1)", "wanted single values"),
        ("seeds=[1],[2]", "SPACE: seeds: a space is of the parts of a row"),
        ("table=digits,tiny", "SPACE: table"),
        ("rows.image-bkd.method=ce,bkd", "SPACE: rows"),
    ],
)
def test_a_space_that_is_none_is_told_in_one_line(space, said):
    with pytest.raises(InputError) as caught:
        points_of(space)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_seeds_are_whole_numbers_each_once_that_the_table_has_not():
    assert seeds_of("100,7") == [100, 7]
    for text in ("", "1,", "1,1", "01,1", "-1", "a"):
        with pytest.raises(InputError, match="^SEEDS="):
            seeds_of(text)
    check_unused([100], [0, 1])
    with pytest.raises(InputError, match="^SEEDS: 1 is a seed of the table itself"):
        check_unused([100, 1], [0, 1])


def test_the_best_mean_comes_first_and_of_equal_ones_the_first():
    values = {"1": (50.0, 60.0), "2": (70.0, 80.0), "3": (55.0, 55.0)}
    trials = [
        {"a.b": point, "seed": seed, "params_sha256": f"{point}{seed}", "validation_top1": value}
        for point, own in values.items()
        for seed, value in enumerate(own)
    ]
    ranked = ranking(trials)
    assert list(ranked["settings"]) == ["a.b=2", "a.b=1", "a.b=3"]
    assert ranked.loc[0, "validation top-1 %"] == "75.00 ± 7.07"
    assert set(ranked["seeds"]) == {"2"}
    assert list(ranking(trials[::2])["validation top-1 %"]) == ["70.00", "55.00", "50.00"]
