"""dvc.yaml: every file of ours whose change can change a stage's output is a dependency of the stage."""

import ast
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

PACKAGE = ROOT / "src/bkdsnn"
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# What every stage reads and what changes no output: errors, paths, logging, tracking, the schema, loader and launcher.
NEUTRAL = {"errors", "paths", "stage", "tracking", "params", "validation", "catalogue", "launch", "device_pool"}
# What brings a run to the same bytes by another way (tests/test_resuming.py), or measures it.
NEUTRAL |= {"checkpoint", "measuring", "resuming", "sharing", "snapshot", "__init__"}
# Named by params.yaml, so dvc.yaml names them through it.
BY_NAME = ("networks/", "methods/", "data/sources/", "events/formats/")


def module_file(name: str) -> Path | None:
    path = ROOT / "src" / Path(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def imported(path: Path) -> set[Path]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bkdsnn"):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            found |= {file for name in names if (file := module_file(name))}
    return found


def reached(path: Path) -> set[str]:
    """The modules that a script runs through, those that matter."""
    pending, names = [path], set()
    while pending:
        for file in imported(pending.pop()):
            name = file.relative_to(PACKAGE).with_suffix("").as_posix()
            if name not in names and name.split("/")[-1] not in NEUTRAL and not name.startswith(BY_NAME):
                names.add(name)
                pending.append(file)
    return names


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_it_runs(stage):
    deps = STAGES[stage].get("do", STAGES[stage])["deps"]
    named = {dep.removeprefix("src/bkdsnn/").removesuffix(".py") for dep in deps if dep.startswith("src/")}
    assert f"stages/{stage}.py" in deps
    missing = reached(ROOT / f"stages/{stage}.py") - named
    if stage not in ("train_teacher", "train_student"):
        # `assembly` knows the loop as a type alone
        missing -= {"training", "optimisation", "progress", "fabric", "whole_batch"}
    assert missing == set()


def test_a_data_set_depends_on_every_event_format():
    deps = STAGES["prepare_data"]["do"]["deps"]
    formats = {f"src/bkdsnn/events/formats/{path.name}" for path in (PACKAGE / "events/formats").glob("[a-z]*.py")}
    assert len(formats) == 5
    assert formats <= set(deps)


def test_a_data_set_depends_on_what_any_source_is_made_of():
    """Sources are found by name at run time, so that no import of the stage leads to them."""
    deps = STAGES["prepare_data"]["do"]["deps"]
    named = {dep.removeprefix("src/bkdsnn/").removesuffix(".py") for dep in deps if dep.startswith("src/")}
    needed = {name for path in (PACKAGE / "data/sources").glob("*.py") for name in reached(path)}
    assert needed <= named


def test_code_dependencies_exist():
    deps = {dep for stage in STAGES.values() for dep in stage.get("do", stage)["deps"]}
    code = {dep for dep in deps if dep.startswith(("src/", "stages/")) and "$" not in dep}
    assert {dep for dep in code if not (ROOT / dep).is_file()} == set()


@pytest.mark.parametrize("stage", ["train_teacher", "cache_features", "train_student", "evaluate", "evaluate_teacher"])
def test_a_stage_depends_on_what_any_network_or_method_is_made_of(stage):
    """They are found by name at run time, so that no import of the stage leads to them."""
    deps = STAGES[stage]["do"]["deps"]
    named = {dep.removeprefix("src/bkdsnn/").removesuffix(".py") for dep in deps if dep.startswith("src/")}
    folders = ("networks", "methods") if stage.startswith("train") else ("networks",)
    needed = {name for folder in folders for path in (PACKAGE / folder).glob("*.py") for name in reached(path)}
    assert needed <= named
