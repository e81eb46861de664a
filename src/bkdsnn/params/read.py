"""params.yaml as it is read, and a mapping from it held against a schema: what does not fit is told in one line."""

import difflib
import json
import re
import typing
from pathlib import Path
from typing import Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, ValidationError

from bkdsnn.errors import InputError

FILE = "params.yaml"
Model = typing.TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], content: object, *, where: str) -> Model:
    """`content` as `model`, types taken strictly; `InputError` names key, value and what is allowed."""
    try:
        return model.model_validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False)
        first, *others = sorted(found, key=lambda one: one["type"] != "extra_forbidden")  # misspelt: missing as well
        more = f" (and {len(others)} more)" if others else ""
        raise InputError(f"{FILE}: {_told(model, first, where)}{more}") from error


class _Loader(yaml.SafeLoader):
    """Reads plain words as YAML 1.2, DVC's; by 1.1, PyYAML's, 1e-3 is a text, `no` is false, 010 is 8, 1:30 is 90."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in known if tag.rpartition(":")[2] not in ("bool", "int", "float")]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


for _kind, _pattern in {
    "bool": "(true|True|TRUE|false|False|FALSE)$",
    "int": "[-+]?(0|[1-9][0-9]*)$",
    "float": r"([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$",
}.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(_pattern), list("-+.0123456789tTfF"))


def read_yaml(path: Path) -> object:
    """What a YAML file holds; `InputError` where it cannot be read or is empty."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, ValueError, OverflowError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{path}: no readable YAML: {' '.join(str(error).split())}") from error
    if content is None:
        raise InputError(f"{path}: empty: `git checkout {path}` brings the committed one back")
    return content


def _told(model: type[BaseModel], error: Any, where: str) -> str:
    path = [_short(str(part)) for part in error["loc"] if part != "[key]"]
    key = ".".join(([where] if where else []) + path)
    if error["type"] == "extra_forbidden":
        allowed = _keys_at(model, error["loc"][:-1])
        close = difflib.get_close_matches(path[-1], allowed, n=1)
        return f"{key}: unknown key; {f'did you mean {close[0]}? ' if close else ''}allowed: {', '.join(allowed)}"
    if error["type"] == "missing":
        return f"{key}: missing"
    message = error["msg"].removeprefix("Value error, ")
    return f"{key or 'the whole file'}: {_value(error)}{message[0].lower()}{message[1:]}"


def _value(error: Any) -> str:
    """What was given, in front of what was wanted; of a mapping, whose content says nothing here, that it is one."""
    given = error["input"]
    nested = isinstance(given, dict | list) and any(isinstance(entry, dict | list) for entry in given)
    if given and (isinstance(given, dict) or nested):
        return "" if error["type"] == "value_error" else f"a {'mapping' if isinstance(given, dict) else 'list'}: "
    return f"{_short(json.dumps(given, default=str))}: "


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _keys_at(model: type[BaseModel], loc: tuple) -> list[str]:
    """The keys that are allowed in the mapping that lies at `loc` of a model."""
    kind: Any = model
    for part in loc:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[part].annotation
        else:
            kind = typing.get_args(kind)[-1]  # dict[Key, X], list[X]
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        if typing.get_origin(kind) not in (dict, list, tuple, Literal) and options:
            kind = options[0]  # X | None
    return list(kind.model_fields)
