"""Weights that others trained: read from a file without unpickling code, and loaded with a check of every shape."""

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bkdsnn.errors import InputError
from bkdsnn.files import sha256


def read_weights(path: Path, *, expected_sha256: str | None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a plain state dict as torchvision and timm publish them.

    Raises `InputError` where there is no such file, its SHA-256 is another, or it holds anything but tensors.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such weights file (BKDSNN_DATA says where data and weights lie)")
    if expected_sha256 is not None and sha256(path) != expected_sha256:
        raise InputError(f"{path}: its SHA-256 is {sha256(path)}, weights_sha256 says {expected_sha256}")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # torch's restricted unpickler raises whatever damaged bytes lead it to
        raise _refused(path) from error
    if not isinstance(state, dict) or not all(isinstance(entry, Tensor) for entry in state.values()):
        raise _refused(path)
    return state


def load_weights(model: nn.Module, state: dict[str, Tensor], *, source: str, new: Iterable[str]) -> None:
    """Loads a state dict; the modules named in `new` keep their initial weights.

    Raises `InputError` that names the first entry which is missing, unknown, or of another shape (both are told).
    """
    fresh = tuple(f"{name}." for name in new)
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(fresh)}
    state = {name: tensor for name, tensor in state.items() if not name.startswith(fresh)}
    for name, tensor in own.items():
        if name not in state:
            raise InputError(f"{source}: '{name}' {tuple(tensor.shape)} of the network is missing")
        if state[name].shape != tensor.shape:
            raise InputError(
                f"{source}: '{name}' has shape {tuple(state[name].shape)}, the network's has {tuple(tensor.shape)}"
                " (new_head: true starts with a new classifier)"
            )
    if unknown := [name for name in state if name not in own]:
        raise InputError(f"{source}: '{unknown[0]}' {tuple(state[unknown[0]].shape)} is unknown to the network")
    model.load_state_dict(state, strict=False)


def _refused(path: Path) -> InputError:
    return InputError(f"{path}: refused: neither safetensors nor a plain state dict of tensors (torch, weights_only)")
