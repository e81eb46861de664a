"""From rows to runs: every table of the catalogue composes, and what is composed says what it should."""

import re

import pytest
import yaml
from conftest import ROOT

from bkdsnn.errors import InputError
from bkdsnn.params.check import check
from bkdsnn.params.read import validated
from bkdsnn.params.schema import Params

CONF = ROOT / "src/bkdsnn/conf"
TABLES = sorted(path.stem for path in (CONF / "table").glob("*.yaml"))


@pytest.mark.parametrize("table", TABLES)
def test_every_table_composes_and_holds_together(composed, table):
    content = composed(f"table={table}")
    params = validated(Params, content, where="")
    check(params)
    assert params.table == table
    assert len(params.runs) == len(params.rows) * len(params.seeds)
    used = {kind: {getattr(row, kind) for row in params.rows.values()} - {None} for kind in ("student", "teacher")}
    assert set(params.students) == used["student"], "a table lists the parts that it uses and no others"
    assert set(params.teachers) == used["teacher"]
    assert "published" not in next(iter(content["runs"].values()))


def test_the_committed_params_are_the_composition_of_the_defaults(composed):
    assert yaml.safe_load((ROOT / "params.yaml").read_text()) == composed()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seeds=0", r"seeds: 0: wanted a list: seeds=\[0\]"),
        ("rows.image-ce=null", "rows.image-ce: null: wanted dataset, student, teacher, method, recipe"),
        ("+rows.new={dataset:digits,student:sew-digits}", r"rows.new.teacher: missing \(null: none\)"),
        ("rows.image-ce.dataset=[digits]", r"rows.image-ce: '\['digits'\]' is missing in datasets; there are"),
        (
            "rows.image-ce.method=kdsnn",
            "'kdsnn' is missing in methods; there are ce, .*; conf/method/kdsnn.yaml is there: its first line has to "
            "be `# @package methods.kdsnn`, and the table's defaults have to name it",
        ),
        (f"+rows.{'x' * 120}={{dataset:digits}}", r"rows.xxx+...: a key has at most 100 letters"),
        ("seds=[0]", "Could not override 'seds'"),
    ],
)
def test_what_cannot_be_composed_is_told_in_one_line(composed, override, expected):
    with pytest.raises(InputError, match=expected) as told:
        composed(override)
    assert "\n" not in str(told.value)


def test_blur_ratio_reaches_the_methods_that_blur_and_nothing_else(composed):
    before, after = composed(), composed("blur_ratio=0.2")
    assert after.pop("blur_ratio") == 0.2
    before.pop("blur_ratio")
    for method in ("bkd", "mixed", "bkd-dvs", "mixed-dvs"):
        assert after["methods"][method]["settings"].pop("blur_ratio") == 0.2
        before["methods"][method]["settings"].pop("blur_ratio")
    assert after == before


def test_another_seed_adds_runs_and_changes_none(composed):
    before, after = composed("seeds=[0,1,2]"), composed("seeds=[0,1,2,3]")
    assert {key for key in after["runs"] if key not in before["runs"]} == {f"{row}-s3" for row in before["rows"]}
    assert all(after["runs"][key] == run for key, run in before["runs"].items())


def test_the_blur_table_spans_the_ablation(composed):
    content = composed("table=digits-blur")
    ratios = {row["method_settings"]["blur_ratio"] for row in content["rows"].values() if "method_settings" in row}
    assert ratios == {0.0, 0.15, 0.4, 0.6, 0.8}


def test_without_cache_a_run_reads_the_teacher_itself(composed):
    content = composed("recipes.digits.cache.enabled=false")
    assert content["runs"]["image-bkd-s0"]["teacher_path"] == "models/teachers/resnet-digits"
    assert content["runs"]["image-bkd-s0"]["code_teacher"] == "networks/resnet"
    assert content["runs"]["image-ce-s0"]["teacher_path"] == "data/digits"
    assert set(content["caches"]) == {"resnet-dvs-digits-dvs"}


def test_params_yaml_begins_with_what_a_person_reads(composed):
    content = list(composed())
    assert content[:7] == ["table", "title", "seeds", "blur_ratio", "time_steps", "precision", "rows"]
    assert content[-3:] == ["runs", "teacher_runs", "caches"]


def test_a_teacher_whose_method_is_called_otherwise_names_the_methods_file(composed):
    runs = composed("table=cifar10-dvs")["teacher_runs"]
    assert {run["code_method"] for run in runs.values()} == {"methods/ce"}
    assert {run["code_network"] for run in runs.values()} > {"networks/sew_resnet_dvs"}


PARTS = [path for path in sorted(CONF.glob("*/*.yaml")) if path.parent.name not in ("neuron", "augmentation", "base")]


@pytest.mark.parametrize("path", PARTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_part_is_named_as_its_file(path):
    package = re.match(r"# @package (\S+)", path.read_text()).group(1)
    expected = "_global_" if path.parent.name == "table" else f"{path.parent.name}s.{path.stem}"
    assert package == expected


@pytest.mark.parametrize("path", sorted((CONF / "neuron").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_neuron_of_the_catalogue_is_used(path):
    assert any(f"/neuron@settings.neuron: {path.stem}\n" in part.read_text() for part in CONF.glob("student/*.yaml"))


THEIRS = (
    "recipe=[digits,digits-vit,digits-dvs,as-published]",
    "seeds=[1,2]",
    f"+students.theirs={{network:sew_resnet,settings:${{students.sew-digits.settings}},weights:w.pth,"
    f"weights_sha256:{'ab' * 32}}}",
    "+rows.theirs={dataset:digits,student:theirs,teacher:null,method:bkd,recipe:as-published}",
)


def test_a_row_as_others_published_it_has_one_run_and_needs_neither_teacher_nor_its_method_s(composed):
    content = composed("table=tiny", *THEIRS)
    assert [key for key, run in content["runs"].items() if run["row"] == "theirs"] == ["theirs-s0"]
    assert {run["seed"] for run in content["runs"].values() if run["row"] != "theirs"} == {1, 2}
    check(validated(Params, content, where=""))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("rows.theirs.student=sew-digits", "rows.theirs has a student, which has to learn, or to come from a file"),
        ("rows.theirs.teacher=resnet-digits", "rows.theirs.teacher: 'resnet-digits': 'as-published' has no epochs"),
        ("~students.theirs.weights_sha256", "students.theirs: weights and weights_sha256 are said together"),
        ("students.theirs.weights_sha256=abc", 'students.theirs.weights_sha256: "abc": a SHA-256 has 64 digits'),
        ("+students.theirs.weight=w", "students.theirs.weight: unknown key; did you mean weights"),
    ],
)
def test_a_row_as_published_that_cannot_be_is_told(composed, override, expected):
    with pytest.raises(InputError, match=expected) as told:
        check(validated(Params, composed("table=tiny", *THEIRS, override), where=""))
    assert "\n" not in str(told.value)
