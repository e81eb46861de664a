"""The tables of the paper: what they say was published, and that a row is compared with its like."""

import pytest

from bkdsnn.errors import InputError
from bkdsnn.params.check import check
from bkdsnn.params.read import validated
from bkdsnn.params.schema import Params, Published
from bkdsnn.params.settings import settings_of
from bkdsnn.tools.compose import check_same_runs, check_table
from bkdsnn.tools.parts import composed

ABLATIONS = [f"ablation-{name}" for name in ("blur", "layers", "loss", "restore", "temperature")]
PAPER = ["imagenet", "cifar10", "cifar100", "cifar10-dvs", *ABLATIONS]
BY_HAND = {  # paper.md
    "imagenet": {
        "sew-resnet-18-ce": 63.18,
        "sew-resnet-18-mixed": 65.60,
        "sew-resnet-34-kdsnn": 67.28,
        "sew-resnet-34-mixed": 71.24,
        "sew-resnet-50-mixed": 72.32,
        "spikingformer-8-768-ce": 77.64,
        "spikingformer-8-768-mixed": 79.93,
        "spikingformer-8-768-bkd": None,
        "spikingformer-8-384-mixed": 75.48,
        "spikingformer-8-384-mixed-orig": None,
    },
    "cifar100": {"spikingformer-4-384-ce": 79.98, "spikingformer-4-384-mixed": 81.26, "resnet-19-mixed": 74.95},
    "cifar10": {"spikingformer-4-256-ce": 94.94, "spikingformer-4-256-mixed": 95.29, "resnet-19-ce": None},
    "cifar10-dvs": {"sew-t4-first_900-mixed": None, "spikingformer-t4-official": None},
    "ablation-blur": {"ce": 79.98, "blur-060": None},
}


@pytest.fixture(scope="module")
def tables():
    return {name: validated(Params, composed(f"table={name}"), where="") for name in PAPER}


@pytest.mark.parametrize("table", ["ablation-blur-cpu", "ablation-restore-cpu", "ablation-loss-cpu"])
def test_the_ablations_on_one_core_are_rows_of_the_comparison_and_train_nothing(table):
    home, own = (validated(Params, composed(f"table={name}"), where="") for name in ("cifar10-cpu", table))
    check(own)
    check_same_runs(own)
    assert own.runs_table == home.runs_table == "cifar10-cpu"
    assert own.seeds == home.seeds
    assert any(row.over for row in own.rows.values()), "a question of its own"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["same_runs_as=cifar10-cpus"], "table 'cifar10-cpus': there is none; there are ablation-"),
        (["same_runs_as=ablation-blur-cpu"], "same_runs_as: 'ablation-blur-cpu': the table itself; wanted another one"),
        (
            ["same_runs_as=digits"],
            "same_runs_as: table 'digits' has no runs.ce-s0; -S same_runs_as=null gives this table",
        ),
        (
            ["methods.bkd.settings.feature_weight=5"],
            "runs.blur-000-s0 has another method than that of table 'cifar10-cpu'",
        ),
        (["teachers.resnet-tiny-cifar.seed=5"], "teachers.resnet-tiny-cifar has another teacher than that of table"),
        (["datasets.cifar10.settings.split.seed=5"], "datasets.cifar10 has another settings than that of table"),
    ],
)
def test_a_table_that_would_replace_the_runs_it_shows_is_told(overrides, told):
    params = validated(Params, composed("table=ablation-blur-cpu", *overrides), where="")
    check(params)
    with pytest.raises(InputError) as error:
        check_same_runs(params)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "overrides", [["blur_ratio=0.2", "seeds=[7]"], ["methods.bkd.settings.feature_weight=5", "same_runs_as=null"]]
)
def test_knobs_are_turned_for_both_tables_and_a_table_may_have_runs_of_its_own(overrides):
    params = validated(Params, composed("table=ablation-blur-cpu", *overrides), where="")
    check_same_runs(params)
    assert params.runs_table == (params.same_runs_as or "ablation-blur-cpu")


@pytest.mark.parametrize("table", BY_HAND)
def test_published_numbers_are_the_papers(tables, table):
    for row, value in BY_HAND[table].items():
        assert tables[table].rows[row].published.value == value, row


@pytest.mark.parametrize("table", PAPER)
def test_every_row_says_what_was_published_or_that_it_was_not_found(tables, table):
    for key, row in tables[table].rows.items():
        assert row.published is not None, key
        assert (row.published.value is None) == row.published.source.startswith("not in the"), key


@pytest.mark.parametrize(
    ("value", "grade", "source"), [(81.26, None, "README"), (None, "P", "README"), (81.26, "P", ""), (81.26, "X", "a")]
)
def test_a_number_without_source_and_grade_is_refused(value, grade, source):
    with pytest.raises(InputError):
        validated(Published, {"value": value, "grade": grade, "source": source}, where="published")


@pytest.mark.parametrize("table", PAPER)
def test_a_distilled_row_differs_from_its_baseline_in_method_and_teacher_alone(tables, table):
    params = tables[table]
    baselines = {(row.dataset, row.student, row.recipe) for row in params.rows.values() if row.method == "ce"}
    assert {(row.dataset, row.student, row.recipe) for row in params.rows.values()} == baselines
    for row in params.rows.values():
        part = settings_of(row, params)
        assert part["label_smoothing"] == (0.0 if "sew" in row.student else 0.1)


def test_alpha_lambda_and_temperature_are_the_official_ones(tables):
    wanted = {
        ("imagenet", "sew-resnet-18-mixed"): (7e-5, 0.15, 2.0, 1.0),
        ("imagenet", "spikingformer-8-384-mixed"): (2e-3, 0.15, 2.0, 1.0),
        ("cifar100", "spikingformer-4-384-mixed"): (2e-3, 0.15, 2.0, 1.0),
        ("cifar10-dvs", "sew-t4-tebn-mixed"): (2e-3, 0.15, 2.0, 1.0),
        ("cifar10-dvs", "spikingformer-t16-tebn-mixed"): (7e-5, 0.15, 2.0, 0.1),
    }
    for (table, row), values in wanted.items():
        found = settings_of(tables[table].rows[row], tables[table])
        names = ("feature_weight", "blur_ratio", "temperature", "logits_weight")
        assert tuple(found[name] for name in names) == values, row


def test_pictures_and_first_weights_are_the_official_ones(tables):
    params = tables["imagenet"]
    for key, row in params.rows.items():
        recipe, picture = params.recipes[row.recipe], params.datasets[row.dataset].settings["picture"]
        spikingformer = key.startswith("spikingformer")
        sizes = (224, 224, "bicubic") if spikingformer else (224, 256, "bilinear")
        assert tuple(picture[name] for name in ("size", "resize", "interpolation")) == sizes, key
        crop = recipe.augmentation.resized_crop
        assert (crop.interpolation, crop.scale[0]) == (("bicubic", 1.0) if spikingformer else ("bilinear", 0.08))
        if row.teacher:
            assert params.teachers[row.teacher].dataset == row.dataset
    tags = {
        key: params.teachers[row.teacher].settings["weights"]
        for key, row in params.rows.items()
        if row.student.startswith("spikingformer") and row.teacher
    }
    assert tags.pop("spikingformer-8-384-mixed-orig") == "hub:orig_in21k_ft_in1k"  # 81.78, which the README prints
    assert set(tags.values()) == {"hub:augreg_in21k_ft_in1k"}  # which the official code loads
    for table in ("cifar10", "cifar100"):
        (teacher,) = tables[table].teachers.values()
        assert teacher.settings["weights"] == "hub:augreg_in21k_ft_in1k"


def test_cifar10_dvs_has_every_time_step_and_protocol(tables):
    params = tables["cifar10-dvs"]
    cells = {
        (row.student.partition("-")[0], *(settings["frames"]["time_steps"], settings["split"]["protocol"]), row.method)
        for row in params.rows.values()
        for settings in [params.datasets[row.dataset].settings]
    }
    protocols, methods = ("first_900", "random_90", "tebn"), ("ce", "bkd", "mixed")
    assert cells == {
        (student, steps, protocol, method)
        for student in ("sew", "spikingformer")
        for steps in (4, 8, 16)
        for protocol in protocols
        for method in methods
    }
    for key, row in params.rows.items():
        twin = row.teacher and params.teachers[row.teacher].settings["neuron"] is None
        assert twin == (None if row.teacher is None else not key.endswith("-official"))
        assert (settings_of(row, params).get("blurred") == "teacher") == key.endswith("-official")


def test_the_knob_reaches_the_tables_but_where_rows_have_their_own(tables):
    assert composed("table=cifar100", "blur_ratio=0.4")["methods"]["mixed"]["settings"]["blur_ratio"] == 0.4
    ratios = [settings_of(row, tables["ablation-blur"]).get("blur_ratio") for row in
              tables["ablation-blur"].rows.values()]  # fmt: skip
    assert ratios == [None, 0.0, 0.15, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9]


def test_an_unknown_table_is_told_with_those_there_are():
    with pytest.raises(
        InputError, match="table 'nope': there is none; there are ablation-blur, .*imagenet, own-images, .*tiny$"
    ):
        check_table(["seeds=[0]", "table=nope"])
