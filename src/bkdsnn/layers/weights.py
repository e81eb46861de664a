"""Weights that others trained: read from a file without unpickling code, and loaded with a check of every shape."""

import re
from argparse import Namespace
from collections.abc import Callable, Iterable
from functools import partial
from operator import eq
from pathlib import Path
from urllib.parse import urlparse

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bkdsnn.errors import InputError
from bkdsnn.files import sha256
from bkdsnn.layers.refusals import told_by

_NESTED = ("state_dict", "model", "net")  # where training scripts keep the tensors, beside epoch and optimiser
_WRAPPED = ("module.", "_orig_mod.", "model.")  # what DDP, torch.compile and Lightning put before every name
_COUNT = "num_batches_tracked"  # of batch norms; files from before torch 0.4.1 lack it


def downloaded(url: str) -> Path:
    """A published file in torch's folder (`TORCH_HOME`), fetched where it is not there."""
    path = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), progress=False)
    return path


def check_name(path: Path) -> None:
    """`InputError` where a downloaded file's SHA-256 is not the one, or does not begin as, its name says.

    torch and torchvision publish `name-1234abcd.pth`, Hugging Face's cache calls large files by their sums.
    """
    found = re.search(r"-([0-9a-f]{8,64})\.", path.name) or re.fullmatch(r"([0-9a-f]{64})", path.resolve().name)
    if found and not sha256(path).startswith(found[1]):
        raise InputError(
            f"{path}: its SHA-256 is {sha256(path)}, its name says {found[1]}: damaged or changed; once it is deleted "
            "it is downloaded anew"
        )


def read_weights(path: Path, *, expected_sha256: str | None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a state dict as torchvision, timm and training scripts publish them.

    Raises `InputError` where there is no such file, its SHA-256 is another, or it has no state dict of tensors alone.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such weights file (BKDSNN_DATA says where data and weights lie)")
    if expected_sha256 is not None and sha256(path) != expected_sha256:
        raise InputError(f"{path}: its SHA-256 is {sha256(path)}, weights_sha256 says {expected_sha256}")
    try:
        with torch.serialization.safe_globals([Namespace]):  # a script's arguments: a plain holder of values
            state = load_file(path) if _is_safetensors(path) else _unpickled(path)
    except Exception as error:  # torch's restricted unpickler raises whatever damaged bytes lead it to
        raise _refused(path, error) from error
    if isinstance(state, dict):
        state = next((state[name] for name in _NESTED if isinstance(state.get(name), dict)), state)
    if not isinstance(state, dict) or not state:
        raise _refused(path)
    if not all(isinstance(name, str) and isinstance(entry, Tensor) for name, entry in state.items()):
        raise _refused(path)
    return state


def _unpickled(path: Path) -> object:
    with path.open("rb") as file:  # of a path torch would look at the name
        return torch.load(file, "cpu", weights_only=True)


def _is_safetensors(path: Path) -> bool:
    """By its first bytes, whatever it is called: the length of a header in JSON, then the header."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def load_weights(
    model: nn.Module, state: dict[str, Tensor], *, source: str, head: tuple[str, ...], new_head: bool
) -> None:
    """Loads a state dict; with `new_head` the modules named in `head` keep their initial weights.

    Raises `InputError` that names the entries which are missing, or the first that is unknown or of another shape (both
    are told). Batch norms whose file does not count their batches begin at 0, as in torch.
    """
    classifier = tuple(f"{name}." for name in head)
    fresh = classifier if new_head else ()
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(fresh)}
    state = {name: tensor for name, tensor in unwrapped(state, own).items() if not name.startswith(fresh)}
    state = checked(state, own, source=source, advice=partial(_advice, classifier=classifier))
    model.load_state_dict(state, strict=False)


def checked(
    state: dict[str, Tensor],
    own: dict[str, Tensor],
    *,
    source: str,
    alike: Callable[[torch.Size, torch.Size], bool] = eq,
    advice: Callable[[str], str] = lambda name: "",
) -> dict[str, Tensor]:
    """A state dict that has all of `own`, with counts of batches where it has none; `alike` compares two shapes.

    Raises `InputError` as `load_weights` does; `advice` is added where the entry of that name has another shape.
    """
    state = {name: torch.zeros_like(own[name]) for name in own if name.endswith(_COUNT)} | state
    unknown = [f"'{name}' {tuple(tensor.shape)}" for name, tensor in state.items() if name not in own]
    if missing := [f"'{name}' {tuple(tensor.shape)}" for name, tensor in own.items() if name not in state]:
        more = f" (and {', '.join(missing[1:6])}{', ...' if len(missing) > 6 else ''})" if missing[1:] else ""
        instead = f"; unknown to the network is {_first_of(unknown)}" if unknown else ""
        raise InputError(f"{source}: {missing[0]} of the network is missing{more}{instead}")
    for name, tensor in own.items():
        if not alike(state[name].shape, tensor.shape):
            raise InputError(
                f"{source}: '{name}' has shape {tuple(state[name].shape)}, the network's has {tuple(tensor.shape)}"
                + advice(name)
            )
        if not _is_plain(state[name], like=tensor):
            raise InputError(f"{source}: '{name}' is no plain tensor of finite numbers, as {tensor.dtype}")
    if unknown:
        raise InputError(f"{source}: {_first_of(unknown)} is unknown to the network")
    return state


def _first_of(names: list[str]) -> str:
    return names[0] + (f" (and {len(names) - 1} more)" if names[1:] else "")


def unwrapped(state: dict[str, Tensor], own: Iterable[str]) -> dict[str, Tensor]:
    """A state dict without what stands before all of its names and before none of the network's."""
    own = list(own)
    for prefix in _WRAPPED:
        if all(name.startswith(prefix) for name in state) and not any(name.startswith(prefix) for name in own):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _is_plain(tensor: Tensor, *, like: Tensor) -> bool:
    """Whether its numbers are all there (not sparse, quantised or without memory), and of the kind that is wanted."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        return False
    return tensor.is_floating_point() == like.is_floating_point() and bool(torch.isfinite(tensor).all())


def _advice(name: str, classifier: tuple[str, ...]) -> str:
    if name.startswith(classifier):
        return " (new_head: true starts with a new classifier)"
    return " (the weights are of another picture or patch size)" if "pos_embed" in name else ""


def _refused(path: Path, error: Exception | None = None) -> InputError:
    what = "refused: neither safetensors nor a plain state dict of tensors (torch, weights_only)"
    return InputError(f"{path}: {what}{told_by(path, error)}")
