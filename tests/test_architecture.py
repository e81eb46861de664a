"""The house: floors, rooms, sizes and names, computed from the files."""

import ast
import re
import statistics
from functools import cache
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from bkdsnn import environment, paths, plugins

PACKAGE = ROOT / "src/bkdsnn"
FILES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "stages").glob("*.py")])
ROOMS = sorted(path for path in PACKAGE.rglob("*") if path.is_dir() and list(path.glob("*.py")))
# From the ground up; a room is a folder of the package or a module of its root. A room imports from lower floors alone.
FLOORS = (
    "errors contracts",
    "environment files plugins",
    "paths events",
    "portable",
    "provenance distributed",
    "params seeding tracking command",
    "data layers methods",
    "build networks export",
    "trained",
    "teachers training evaluation",
    "reporting",
    "tools",
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}
HOMES = {
    "mlflow": {"tracking", "export", "tools"},
    "dvc": {"tools"},
    "omegaconf": set(),
    "spikingjelly": {"layers", "networks", "evaluation", "export", "tools"},
    "lightning_fabric": {"training", "distributed", "tracking"},
    "timm": {"networks", "data"},
    "torchvision": {"networks", "data"},
    "numba": {"events", "layers"},
    "pyarrow": {"data", "events", "tools"},
    "aedat": {"events"},
    "faery": {"events"},
    "matplotlib": {"reporting"},
}
NOT_NAMES = {"told", "judging", "exhibits", "tapped", "fitting", "hasten"}  # words that say less than the field's


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> set[str]:
    """Dotted names of all that a file imports."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", [path for path in FILES if path.is_relative_to(PACKAGE)], ids=relative)
def test_imports_point_down(path):
    own = room_of(path)
    if own == "__init__":
        return
    assert own in FLOOR_OF, "a new room needs a floor"
    others = {name.split(".")[1] for name in imports(path) if name.startswith("bkdsnn.")} - {own}
    assert {other for other in others if FLOOR_OF[other] >= FLOOR_OF[own]} == set()


def test_modules_of_a_room_import_each_other_in_no_circle():
    import networkx

    graph = networkx.DiGraph()
    for path in PACKAGE.rglob("*.py"):
        for name in imports(path):
            for parts in (name.split("."), name.split(".")[:-1]):
                target = ROOT / "src" / f"{'/'.join(parts)}.py"
                if target.is_file() and target != path:
                    graph.add_edge(relative(path), relative(target))
    assert graph.number_of_edges() > 300
    assert list(networkx.simple_cycles(graph)) == []


@pytest.mark.parametrize("library", HOMES)
def test_libraries_have_homes(library):
    users = {path for path in PACKAGE.rglob("*.py") if any(name.split(".")[0] == library for name in imports(path))}
    assert {room_of(path) for path in users} <= HOMES[library]


@pytest.mark.parametrize("room", ROOMS, ids=relative)
def test_a_room_says_its_rule_in_the_first_line_of_its_init(room):
    first = (room / "__init__.py").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith('"""')
    assert len(first) > 20


def test_tests_mirror_the_rooms():
    folders = {path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("*") if path.is_dir()}
    folders = {name for name in folders if "__pycache__" not in name}
    rooms = {path.relative_to(PACKAGE).as_posix() for path in ROOMS}
    assert folders - rooms == {"helpers", "reference"}


def test_sizes():
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > 200} == {}
    assert statistics.median(lengths.values()) < 90
    functions = {
        f"{relative(path)}:{node.name}": node.end_lineno - node.lineno + 1
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef)
    }
    assert {name: length for name, length in functions.items() if length > 50} == {}
    assert statistics.mean(functions.values()) < 12
    assert len(list(PACKAGE.glob("*.py"))) <= 12


def test_no_method_key_stands_outside_its_own_file():
    keys, found = set(plugins.names("method")), {}
    for path in FILES:
        texts = {node.value for node in ast.walk(tree(path)) if isinstance(node, ast.Constant)}
        texts |= {name for name in imports(path) if name.startswith("bkdsnn.methods")}
        if path.parent.name != "methods":
            found[relative(path)] = {text for text in texts if text in keys or str(text).startswith("bkdsnn.methods")}
        else:
            found[relative(path)] = (keys - {path.stem}) & texts
    assert {name: texts for name, texts in found.items() if texts} == {}


def test_names_are_the_fields_own():
    found = {}
    for path in FILES:
        names = {path.stem} | {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}
        names |= {node.name for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        found[relative(path)] = names & NOT_NAMES
    assert {name: names for name, names in found.items() if names} == {}


ENVIRONMENT_USERS = {
    "src/bkdsnn/environment.py",
    "src/bkdsnn/__init__.py",  # before torch is imported
    "src/bkdsnn/tools/clone.py",  # what it passes on
    "src/bkdsnn/tools/repro/machine.py",  # the same
}


def test_the_environment_is_read_in_one_module():
    users = {relative(path) for path in FILES if re.search(r"\bos\.(environ|getenv)\b", path.read_text())}
    assert users <= ENVIRONMENT_USERS
    named = {name for path in FILES for name in re.findall(r"BKDSNN_[A-Z_]+[A-Z]", path.read_text())}
    assert named == set(environment.VARIABLES)


def test_dvc_yaml_names_the_places_of_paths():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    listed = [out for stage in stages.values() for out in stage.get("do", stage)["outs"]]
    outs = {next(iter(out)) if isinstance(out, dict) else out for out in listed}
    table, key = "${runs_table}", "${key}"
    assert outs == {
        str(path)
        for path in (
            paths.CODE,
            paths.CARDS,
            paths.RAW_FINGERPRINTS,
            paths.dataset(key),
            paths.teacher(key),
            paths.teacher_outputs(key),
            paths.student(table, key),
            paths.runs(table) / key,
            paths.tables("${item}"),
            paths.figures("${item}"),
        )
    }
    assert {f"stages/{name}.py" for name in stages} == {relative(path) for path in (ROOT / "stages").glob("*.py")}
