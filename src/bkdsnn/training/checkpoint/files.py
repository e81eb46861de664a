"""States on disk: the newest and the one before it, each whole or not at all."""

import json
import logging
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bkdsnn.files import flush, remove, sha256

log = logging.getLogger(__name__)

_HASH = 16  # so many hex digits of a file's SHA-256 stand in its name


def write_state(folder: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> Path:
    """Writes tensors and JSON facts as the newest state of a folder and keeps the one before.

    Raises `OSError` where that fails (a full disk); the states that were there are then as they were.
    """
    folder.mkdir(parents=True, exist_ok=True)
    earlier = states(folder)
    number = int(earlier[-1].name.split("-")[0]) + 1 if earlier else 0
    partial = folder / f"{number:06d}.partial-{os.getpid()}"
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(contiguous, partial, metadata={"facts": json.dumps(facts, allow_nan=False)})
        flush(partial)
        target = folder / f"{number:06d}-{sha256(partial)[:_HASH]}.safetensors"
        os.replace(partial, target)
        flush(folder)
    except SafetensorError as error:  # how the library tells what the system refused
        raise OSError(str(error)) from error
    finally:
        remove(partial)
    for old in earlier[:-1]:
        remove(old)
    return target


def read_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest state that is whole; one that is not is told in one line, and removed."""
    for partial in folder.glob("*.partial-*"):  # nobody else writes here: the run is claimed
        remove(partial)
    for path in reversed(states(folder)):
        if sha256(path)[:_HASH] == path.stem.split("-")[1]:
            with safe_open(path, "pt") as file:
                facts = json.loads(file.metadata()["facts"])
                return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 (no mapping)
        log.warning("%s: its bytes do not match its name: not used, the state before it is", path)
        remove(path)
    return None


def states(folder: Path) -> list[Path]:
    """The states of a folder, the oldest first."""
    return sorted(folder.glob("*-*.safetensors"))
