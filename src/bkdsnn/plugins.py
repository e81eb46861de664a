"""Finds a network, method, data source or event format by its file's name."""

import importlib
import traceback
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel

from bkdsnn.errors import InputError, explained

KINDS = {"network": "networks", "method": "methods", "source": "data/sources", "format": "events/formats"}
_CLASSES = {"network": ("Settings", "Network"), "method": ("Settings", "Method"), "source": ("Settings",)}


def names(kind: str) -> list[str]:
    """The names of all parts of a kind: their files, sorted."""
    folder = Path(__file__).parent / KINDS[kind]
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def load(kind: str, name: str) -> ModuleType:
    """The module of that name; `InputError` where there is none (it lists what there is), or its file is at fault."""
    if name not in names(kind):
        raise InputError(f"unknown {kind} '{name}': there are {', '.join(names(kind))}")
    file = f"{name}.py"
    try:
        module = importlib.import_module(f"bkdsnn.{KINDS[kind].replace('/', '.')}.{name}")
    except Exception as error:
        if explained(error):
            raise
        said = " ".join(str(error).split())
        raise InputError(f"{place_of(error) or file}: {type(error).__name__}: {said}") from error
    _check(module, kind, file)
    return module


def _check(module: ModuleType, kind: str, file: str) -> None:
    """`InputError` where a part's file lacks what the project takes for granted."""
    if lacking := [wanted for wanted in _CLASSES.get(kind, ()) if not isinstance(getattr(module, wanted, None), type)]:
        raise InputError(f"{file}: has no class {lacking[0]}; a {kind} has {' and '.join(_CLASSES[kind])}")
    if kind in _CLASSES and not issubclass(module.Settings, BaseModel):
        raise InputError(f"{file}: Settings is no pydantic model: class Settings(BaseModel), or a method's")
    if kind == "method" and not isinstance(getattr(module.Method, "needs_teacher", None), bool):
        raise InputError(f"{file}: Method has no needs_teacher: wanted True or False")


def place_of(error: BaseException) -> str | None:
    """The innermost line of a part that an error went through, `file:line`; None: it went through none."""
    folders = {Path(__file__).parent / folder for folder in KINDS.values()}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent in folders]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else None
