"""A published student is read: from a folder or a repository of Hugging Face, without DVC, Hydra or MLflow."""

import re
from pathlib import Path
from typing import NamedTuple

from torch import nn

from bkdsnn.errors import InputError
from bkdsnn.export.preprocess import Preprocess
from bkdsnn.export.student import PUBLISHED, read_student


class Loaded(NamedTuple):
    """A network in eval mode, its `card` beside it, and what makes its inputs of an image or of event frames."""

    network: nn.Module
    preprocess: Preprocess


def load(source: str | Path, *, revision: str | None = None) -> Loaded:
    """A student as `make publish` writes it: a folder, or where there is none of that name USER/NAME on Hugging Face.

    Raises `InputError` where there is neither, and where the weights are not those of the card.
    """
    folder = Path(source)
    if not folder.is_dir():
        folder = _downloaded(str(source), revision)
    if not (folder / PUBLISHED.card).is_file():
        raise InputError(f"{folder}: no published student: {PUBLISHED.card} is missing; `make publish` writes it")
    network = read_student(folder, PUBLISHED)
    try:
        return Loaded(network, Preprocess(network.card))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise InputError(f"{folder / PUBLISHED.card}: says not how inputs are made ({why})") from error


def _downloaded(name: str, revision: str | None) -> Path:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise InputError(f"{name}: no such folder, nor a repository USER/NAME of Hugging Face")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(PUBLISHED)))
    except Exception as error:  # of its own, of requests', of the system's
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"{name}: no such folder, and Hugging Face gives no such repository ({why[:200]})") from error
