"""Finds a network, method, data source or event format by its file's name."""

import importlib
from pathlib import Path
from types import ModuleType

from bkdsnn.errors import InputError

KINDS = {"network": "networks", "method": "methods", "source": "data/sources", "format": "events/formats"}


def names(kind: str) -> list[str]:
    """The names of all parts of a kind: their files, sorted."""
    folder = Path(__file__).parent / KINDS[kind]
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def load(kind: str, name: str) -> ModuleType:
    """The module of that name; an unknown name is an `InputError` that lists what there is."""
    if name not in names(kind):
        raise InputError(f"unknown {kind} '{name}': there are {', '.join(names(kind))}")
    return importlib.import_module(f"bkdsnn.{KINDS[kind].replace('/', '.')}.{name}")
