"""Tensors in files of ours, which are hashed where they lie but may have been altered together with their hash."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bkdsnn.errors import InputError

_DAMAGED = (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name; `InputError` where it is damaged."""
    try:
        return load_file(path)
    except _DAMAGED as error:
        raise InputError(f"{path}: no readable safetensors file ({' '.join(str(error).split())[:200]})") from error
