"""The catalogue: every table composes, and what is composed says what it should."""

import ast
import re
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from bkdsnn.checking import check
from bkdsnn.params import Params, validated

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


def test_blur_ratio_reaches_the_methods_that_blur_and_nothing_else(composed):
    before, after = composed(), composed("blur_ratio=0.2")
    assert after.pop("blur_ratio") == 0.2
    before.pop("blur_ratio")
    for method in ("bkd", "mixed"):
        assert after["methods"][method]["settings"].pop("blur_ratio") == 0.2
        before["methods"][method]["settings"].pop("blur_ratio")
    assert after == before


def test_another_seed_adds_runs_and_changes_none(composed):
    before, after = composed(), composed("seeds=[0,1,2,3]")
    assert {key for key in after["runs"] if key not in before["runs"]} == {f"{row}-s3" for row in before["rows"]}
    assert all(after["runs"][key] == run for key, run in before["runs"].items())


def test_the_blur_table_spans_the_ablation(composed):
    content = composed("table=digits-blur")
    ratios = {row["method_settings"]["blur_ratio"] for row in content["rows"].values() if "method_settings" in row}
    assert ratios == {0.0, 0.15, 0.4, 0.6, 0.8}


def test_without_cache_a_run_reads_the_teacher_itself(composed):
    content = composed("recipes.digits.cache.enabled=false")
    assert content["runs"]["image-bkd-s0"]["teacher_path"] == "models/teachers/resnet-digits"
    assert content["runs"]["image-bkd-s0"]["code_teacher"] == "src/bkdsnn/networks/resnet.py"
    assert content["runs"]["image-ce-s0"]["teacher_path"] == "data/digits"
    assert set(content["caches"]) == {"resnet-dvs-digits-dvs"}


@pytest.mark.parametrize("path", sorted((CONF / "method").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_method_says_which_method_files_it_is_built_on(path):
    part = yaml.safe_load(path.read_text())
    pending, imported = [part["method"]], set()
    while pending:
        tree = ast.parse((ROOT / f"src/bkdsnn/methods/{pending.pop()}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "bkdsnn.methods":
                new = {alias.name for alias in node.names} - imported
                imported |= new
                pending += new
    assert set(part["builds_on"]) == imported


PARTS = [path for path in sorted(CONF.glob("*/*.yaml")) if path.parent.name not in ("neuron", "augmentation", "base")]


@pytest.mark.parametrize("path", PARTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_part_is_named_as_its_file(path):
    package = re.match(r"# @package (\S+)", path.read_text()).group(1)
    expected = "_global_" if path.parent.name == "table" else f"{path.parent.name}s.{path.stem}"
    assert package == expected


@pytest.mark.parametrize("path", sorted((CONF / "neuron").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_neuron_of_the_catalogue_is_used(path):
    assert any(f"/neuron@settings.neuron: {path.stem}\n" in part.read_text() for part in CONF.glob("student/*.yaml"))


def _imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    modules |= {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "bkdsnn"
        for alias in node.names
    }
    return names | modules


FLOORS = [
    line.split()
    for line in (
        "errors contracts params validation paths seeding events composition catalogue launch device_pool columns "
        "fingerprint",
        "data fused spiking tapped weights stage tracking tracking_worker shard_store checkpoint sharing progress "
        "whole_batch",
        "networks methods",
        "training evaluation exhibits teachers optimisation caching cache_plan fabric measuring resuming snapshot "
        "speed",
        "assembly checking reporting",
        "fitting judging flat export registry",
        "tools",
    )
]
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
PACKAGE = ROOT / "src/bkdsnn"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if own == "__init__":
        return
    assert own in FLOOR_OF, "a new module needs a floor"
    for module in _imports(path):
        if not module.startswith("bkdsnn."):
            continue
        other = module.split(".")[1]
        assert FLOOR_OF[other] <= FLOOR_OF[own], f"{own} imports {other}, which lies above it"
        assert {own, other} != {"networks", "methods"}, "networks and methods are blind to each other"


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("mlflow", {"tracking_worker", "registry", "tools"}),
        ("omegaconf", set()),
        ("dvc", {"tools"}),
        ("spikingjelly", {"spiking", "fused", "networks", "evaluation", "flat", "export", "tools"}),
        ("lightning_fabric", {"training", "fabric", "fitting", "measuring", "resuming", "snapshot"}),
        ("timm", {"networks", "data"}),
        ("torchvision", {"networks", "data"}),
        ("numba", {"events", "fused"}),
        ("pyarrow", {"data"}),
    ],
)
def test_libraries_have_homes(library, homes):
    found = {
        path.relative_to(PACKAGE).with_suffix("").parts[0]
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == library for name in _imports(path))
    }
    assert found <= homes
