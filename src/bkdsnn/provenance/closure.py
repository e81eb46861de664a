"""Which of our files an entry point runs through: what it imports, what that imports, what is loaded by its name."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from bkdsnn.errors import InputError

ROOT = Path(__file__).parents[3]
# Files and folders that change no number, and why; they are in no closure.
LEFT_OUT = {
    "src/bkdsnn/tracking/tracker.py": "MLflow alone: it is told, and nothing is read from it",
    "src/bkdsnn/training/checkpoint/": "brings a killed run to the same bytes (tests/training/checkpoint)",
    "src/bkdsnn/provenance/": "says what has changed, and which versions and processor made it",
    "src/bkdsnn/params/schema.py": "what may stand in params.yaml; what stands there is a dependency by itself",
    "src/bkdsnn/params/recipe.py": "the same of a recipe",
    "src/bkdsnn/params/read.py": "the same: it reads or refuses",
    "src/bkdsnn/teachers/fit.py": "the same: what does not fit is refused before it is trained",
    "src/bkdsnn/teachers/trial.py": "how that is found",
    "src/bkdsnn/events/listing.py": "words for an error",
    "src/bkdsnn/distributed/launcher.py": "where processes run, not what they compute",
    "src/bkdsnn/distributed/gpu_pool.py": "the same",
    "src/bkdsnn/command.py": "how a stage is called, and how a mistake ends it",
    "src/bkdsnn/environment.py": "what the environment says is not hashed",
    "src/bkdsnn/errors.py": "a run that ends with an error has no output",
    "src/bkdsnn/paths.py": "dvc.yaml names the same places",
    "src/bkdsnn/plugins.py": "finds a file by its name",
}
_ITSELF = "stages/check_params.py"  # it holds params.yaml against the schema, so the schema is in its closure
# Parts that are loaded by name. Those that dvc.yaml names for each stage bring nothing into the loader's closure; of
# the others any may be loaded.
_NAMED_BY_DVC = {"network", "method", "source"}
_LOOKS_ONLY = "src/bkdsnn/params/check.py"  # it loads parts of all kinds, for a look at their settings
_FOLDERS = {"format": "src/bkdsnn/events/formats"}


def closure(entry: str, *, root: Path = ROOT) -> list[str]:
    """The files, as paths below the project's root, that an entry point (a file of it) runs through, itself included.

    Raises `InputError` for a file that is no Python, and for one that loads parts of a kind that is not known here.
    """
    pending, reached = [entry], {entry}
    while pending:
        new = {name for name in _leads_to(pending.pop(), root=root) if _counts(name, entry)} - reached
        reached |= new
        pending += new
    return sorted(reached)


def _counts(name: str, entry: str) -> bool:
    return entry == _ITSELF or not name.startswith(tuple(LEFT_OUT))


@cache
def parsed(name: str, *, root: Path) -> ast.Module:
    """A file's syntax tree."""
    try:
        return ast.parse((root / name).read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{name}: no Python that can be read ({' '.join(str(error).split())})") from error


@cache
def _leads_to(name: str, *, root: Path) -> frozenset[str]:
    """The files that one file's imports and loads lead to directly, those within functions too."""
    found: set[str] = set()
    for node in _run_nodes(parsed(name, root=root)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.update(_modules(alias.name, root=root))
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, name)
            for alias in node.names:
                found.update(_modules(f"{base}.{alias.name}", root=root))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "plugins.load":
            found.update(_loaded(node, name, root=root))
    return frozenset(found)


def _run_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below `if TYPE_CHECKING`, which never run."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            child = ast.Module(body=child.orelse, type_ignores=[])
        yield child
        yield from _run_nodes(child)


def _absolute(node: ast.ImportFrom, name: str) -> str:
    """The package that `from ... import` names, also where it is relative."""
    if not node.level:
        return node.module or ""
    package = Path(name).relative_to("src").parts[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def _modules(dotted: str, *, root: Path) -> Iterator[str]:
    """The files that importing a dotted name runs: its packages and, if it is one, the module itself."""
    parts = dotted.split(".")
    for count in range(1, len(parts) + 1):
        base = Path("src", *parts[:count])
        for candidate in (base / "__init__.py", base.with_suffix(".py")):
            if (root / candidate).is_file():
                yield candidate.as_posix()


def _loaded(call: ast.Call, name: str, *, root: Path) -> Iterator[str]:
    kind = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
    if kind in _NAMED_BY_DVC or name == _LOOKS_ONLY:
        return
    if kind not in _FOLDERS:
        raise InputError(f"{name}: line {call.lineno}: plugins.load of a kind that its code digest does not know")
    for path in sorted((root / _FOLDERS[kind]).glob("*.py")):
        yield path.relative_to(root).as_posix()
