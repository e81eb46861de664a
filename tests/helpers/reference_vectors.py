"""Reference vectors (`tests/reference/README.md`): how they are read, and how far from them ours may be."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

FOLDER = Path(__file__).parents[1] / "reference"
LARGEST: dict[str, float] = {}  # the largest relative deviation by file, shown at the end of the tests


def load(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def cases(name: str) -> list[dict[str, np.ndarray]]:
    content = load(name)
    found = [{} for _ in range(int(content.pop("num_cases")))]
    for key, value in content.items():
        case, _, field = key.partition(".")
        found[int(case[1:])][field] = value
    return found


def assert_equal_to(name: str, ours: Tensor, reference: np.ndarray, *, within: float = 1e-5) -> None:
    """Largest difference relative to the reference's largest entry (of zero gradients: to 1e-9)."""
    reference = torch.from_numpy(np.asarray(reference)).to(ours.dtype)
    assert ours.shape == reference.shape
    deviation = float((ours.detach() - reference).abs().max() / reference.abs().max().clamp(min=1e-9))
    LARGEST[name] = max(LARGEST.get(name, 0.0), deviation)
    assert deviation <= within


def load_official(network: nn.Module, modules: dict[str, str], content: dict[str, np.ndarray]) -> None:
    """Fills a network from an official state dict; `modules` maps our modules' names to theirs and leaves none out."""
    state = {}
    for key, tensor in network.state_dict().items():
        module, _, entry = key.rpartition(".")
        theirs = np.asarray(content[f"sd.{modules[module]}.{entry}"])
        state[key] = torch.from_numpy(theirs).reshape(tensor.shape).to(tensor.dtype)  # Conv1d, 0-d PLIF weights
    network.load_state_dict(state)


def official_name(key: str, modules: dict[str, str]) -> str:
    module, _, entry = key.rpartition(".")
    return f"{modules[module]}.{entry}"
