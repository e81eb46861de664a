"""A student on its own: a folder of a card (JSON) and weights (safetensors). Nothing that is read there runs code."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bkdsnn import plugins
from bkdsnn.contracts import Shape
from bkdsnn.errors import InputError
from bkdsnn.files import read_json, sha256
from bkdsnn.layers.tensors import read_tensors
from bkdsnn.params.read import validated
from bkdsnn.params.schema import Normalise

_POINTER = b"version https://git-lfs"
_ELSEWHERE = ("hf-hub:", "local-dir:")


class Names(NamedTuple):
    """What the two files are called."""

    card: str
    weights: str


REGISTERED = Names("network.json", "weights.safetensors")  # in MLflow
PUBLISHED = Names("config.json", "model.safetensors")  # as Hugging Face calls them


def read_student(folder: Path, names: Names) -> nn.Module:
    """The network in eval mode; its `card` is beside it.

    Raises `InputError` where the weights are not those of the card, or do not fit the network that it describes.
    """
    path = folder / names.weights
    card = read_json(folder / names.card)
    _check_bytes(path, card, names)
    weights = read_tensors(path)
    try:
        with torch.device("meta"):  # takes no memory, whatever size the card asks for
            shapes = _shapes(_built(card).state_dict())
        if shapes != _shapes(weights):
            name = next(name for name, _ in sorted(shapes.items() ^ _shapes(weights).items()))
            raise InputError(f"{path}: '{ascii(name)[1:-1]}' is not as in the network that {names.card} describes")
        network = _built(card)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError, ArithmeticError) as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise InputError(f"{folder / names.card}: describes no network ({why})") from error
    network.load_state_dict(weights)
    network.card = card
    return network.eval()


def _check_bytes(path: Path, card: dict, names: Names) -> None:
    if path.is_file() and path.stat().st_size < 1000 and path.read_bytes().startswith(_POINTER):
        raise InputError(f"{path}: a pointer of Git LFS, not the weights: `git lfs pull` brings them")
    if not path.is_file() or sha256(path) != card.get("weights_sha256"):
        raise InputError(f"{path}: missing, or not the weights that {names.card} names")


def _built(card: dict) -> nn.Module:
    model = card["settings"].get("model")
    if isinstance(model, str) and model.startswith(_ELSEWHERE):
        raise ValueError(f"{model} lies elsewhere, and loading looks at nothing but this folder")
    module = plugins.load("network", card["network"])
    with torch.random.fork_rng(devices=[]):  # the weights that a network starts with are of no interest here
        settings = validated(module.Settings, card["settings"], where="settings")
        network = module.Network(settings, input_shape=tuple(card["input_shape"]), classes=len(card["classes"]))
    return network.normalised_by(Normalise(**card["normalise"])) if hasattr(network, "normalised_by") else network


def _shapes(weights: dict[str, Tensor]) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}
