"""Where the names lead that timm's users type: to an architecture, its weights of a tag, a repository or a folder."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bkdsnn.errors import InputError
from bkdsnn.layers.weights import downloaded
from bkdsnn.paths import raw_data

REPOSITORY, FOLDER = "hf-hub:", "local-dir:"
_FILES = ("model.safetensors", "pytorch_model.bin")  # what both call their weights, the preferred one first


def arguments_of(model: str, *, tag: str | None, pretrained: bool) -> dict[str, Any]:
    """What `timm.create_model` takes for a name: `model_name`, `pretrained_cfg` and what a config.json says.

    tag: of the weights, where the name may have none; pretrained: the name has to say which weights. A folder lies
    below `BKDSNN_DATA`. Raises `InputError`, with the nearest names, where there is no such model, tag or folder.
    """
    from timm.models import resolve_model_input_args

    if not model.startswith((REPOSITORY, FOLDER)):
        return resolve_model_input_args(_registered(model, tag=tag, pretrained=pretrained))
    if tag:
        raise InputError(f"weights: hub:{tag}: '{model}' has its own: weights: pretrained")
    name = f"{FOLDER}{_below_raw_data(model)}" if model.startswith(FOLDER) else model
    try:
        return resolve_model_input_args(name)
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise InputError(f"model: '{model}': no model of timm's ({reason}){_near(_others(model), model)}") from error


def _below_raw_data(model: str) -> Path:
    folder = (raw_data() / model.removeprefix(FOLDER)).resolve()
    if not folder.is_relative_to(raw_data().resolve()):
        raise InputError(f"model: '{model}': a folder lies below {raw_data()}")
    return folder


def file_of(source: dict[str, Any]) -> Path:
    """The file of the weights that a `pretrained_cfg` means, downloaded where it is not there; it is not opened."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    if source.get("source") == "local-dir":
        found = [path for name in _FILES if (path := Path(source["file"], name)).is_file()]
        if not found:
            raise InputError(f"{source['file']}: there is no {' and no '.join(_FILES)}")
        return found[0]
    if not source.get("hf_hub_id"):
        return downloaded(source["url"])
    repository, _, revision = source["hf_hub_id"].partition("@")
    where = {"repo_id": repository, "revision": revision or None}
    if source.get("hf_hub_filename"):
        return Path(hf_hub_download(filename=source["hf_hub_filename"], **where))
    try:
        return Path(hf_hub_download(filename=_FILES[0], **where))
    except EntryNotFoundError:
        return Path(hf_hub_download(filename=_FILES[1], **where))


def _registered(model: str, *, tag: str | None, pretrained: bool) -> str:
    """timm's name with the tag of the weights, where either says one."""
    import timm

    architecture, _, own = model.partition(".")
    if not timm.is_model(architecture):
        known = timm.list_pretrained() if own else timm.list_models()
        near = ", ".join(difflib.get_close_matches(model, known, n=5))
        raise InputError(f"timm has no model '{model}'; the nearest are {near or '(none)'}")
    if own and tag and own != tag:
        raise InputError(f"weights: hub:{tag}: the model's name says {own}")
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{architecture}.*")]
    wanted = own or tag
    if wanted and wanted not in tags:
        where = f"model: {model}" if own else f"weights: hub:{tag}"
        raise InputError(f"{where}: timm's '{architecture}' has {', '.join(tags) or 'none'}")
    if pretrained and not wanted:
        raise InputError(f"weights: pretrained: '{model}' does not say which, timm has {', '.join(tags) or 'none'}")
    return f"{architecture}.{wanted}" if wanted else architecture


def _others(model: str) -> Iterable[str]:
    """Names that may have been meant: folders with a model beside this one, or timm's own repositories."""
    import timm

    if model.startswith(REPOSITORY):
        return (f"{REPOSITORY}timm/{name}" for name in timm.list_pretrained())
    parent = Path(model.removeprefix(FOLDER)).parent
    return (f"{FOLDER}{parent / found.parent.name}" for found in sorted((raw_data() / parent).glob("*/config.json")))


def _near(names: Iterable[str], name: str) -> str:
    near = difflib.get_close_matches(name, [other for other in names if other != name], n=5)
    return f"; the nearest are {', '.join(near)}" if near else ""
