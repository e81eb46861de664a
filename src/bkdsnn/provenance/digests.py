"""Digests of code: over what it does, not over how it is written down."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from bkdsnn import plugins
from bkdsnn.provenance.closure import ROOT, closure, parsed

_HEX = 16


def entry_points(*, root: Path = ROOT) -> dict[str, str]:
    """The file of every entry point by name: stages, networks, methods, data sources, event formats."""
    entries = {f"stages/{path.stem}": path for path in (root / "stages").glob("*.py")}
    for folder in plugins.KINDS.values():
        for path in (root / "src/bkdsnn" / folder).glob("*.py"):
            if not path.stem.startswith("_"):
                entries[f"{folder.split('/')[-1]}/{path.stem}"] = path
    return {name: entries[name].relative_to(root).as_posix() for name in sorted(entries)}


def code_behind(*entries: str) -> dict[str, str]:
    """The digest of every file that these entry points, such as `methods/bkd`, run through."""
    known = entry_points()
    return code_of(*(known[entry] for entry in entries))


def code_of(*files: str, root: Path = ROOT) -> dict[str, str]:
    """The digest of every file that these files (paths below the project's root) run through, themselves included."""
    reached = {name for file in files for name in closure(file, root=root)}
    return {name: file_digest(name, root=root) for name in sorted(reached)}


@cache
def file_digest(name: str, *, root: Path = ROOT) -> str:
    """16 hex digits of a SHA-256 over a file's syntax tree, without docstrings and comments, alike on every Python."""
    return hashlib.sha256("\n".join(_written(parsed(name, root=root))).encode()).hexdigest()[:_HEX]


def _written(node: object) -> Iterator[str]:
    """A tree as text: the names of its nodes and what stands in them; what is empty, or the place in the file, is not.

    `ast.dump` and `ast.unparse` write the same tree in other words from one Python version to the next.
    """
    if isinstance(node, list):
        yield "["
        for entry in node:
            yield from _written(entry)
        yield "]"
    elif isinstance(node, ast.AST):
        yield type(node).__name__
        for field in node._fields:
            value = getattr(node, field, None)
            if field == "body" and _has_docstring(node):
                value = value[1:]
            if field not in ("ctx", "kind", "type_ignores") and value is not None and value != []:
                yield field
                yield from _written(value)
        yield ")"
    else:
        yield repr(node)


def _has_docstring(node: ast.AST) -> bool:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or not node.body:
        return False
    first = node.body[0]
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
