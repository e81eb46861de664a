"""All that a training run's next step depends on, as tensors and JSON facts; and what made them."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from bkdsnn.training.progress import Progress


def capture(
    progress: Progress, learner: nn.Module, optimiser: torch.optim.Optimizer, *, fabric: Fabric
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Parameters and buffers, the optimiser's state by parameter, random generators, progress, float16's scale."""
    tensors = {
        **{f"learner/{name}": tensor for name, tensor in learner.state_dict().items()},
        **{
            f"optimiser/{name}/{key}": tensor
            for name, parameter in _parameters(learner, optimiser)
            for key, tensor in optimiser.state.get(parameter, {}).items()
            if tensor is not None
        },
        **{f"random/{name}": tensor for name, tensor in _generators(fabric.device).items()},
        **progress.tensors(),
    }
    facts = {
        "progress": progress.facts(),
        "precision": fabric.strategy.precision.state_dict(),
        "random": {"python": random.getstate(), "numpy": _numpy_state()},
    }
    return tensors, facts


def put_back(
    tensors: dict[str, Tensor],
    facts: dict[str, Any],
    *,
    learner: nn.Module,
    optimiser: torch.optim.Optimizer,
    fabric: Fabric,
) -> Progress:
    """The inverse of `capture`."""
    learner.load_state_dict(_under("learner/", tensors))
    state = {}
    for number, (name, parameter) in enumerate(_parameters(learner, optimiser)):
        entries = _under(f"optimiser/{name}/", tensors)
        state[number] = {key: _laid_out_like(parameter, tensor) for key, tensor in entries.items()}
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    fabric.strategy.precision.load_state_dict(facts["precision"])
    version, numbers, gauss = facts["random"]["python"]
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(facts["random"]["numpy"])  # noqa: NPY002 (libraries may draw from it)
    torch.set_rng_state(tensors["random/cpu"])
    if fabric.device.type != "cpu":
        torch.get_device_module(fabric.device).set_rng_state(tensors["random/device"], fabric.device)
    return Progress.of(tensors, facts["progress"], device=fabric.device)


def made_by(fabric: Fabric, *, code: dict[str, str]) -> dict[str, Any]:
    """What the bytes of a state depend on beside params and data: the digests of our code, torch, device, processes."""
    return {
        "code": code,
        "torch": torch.__version__,
        "device": fabric.device.type,
        "processes": fabric.world_size,
    }


def differences(there: dict[str, Any], here: dict[str, Any]) -> str:
    """What differs between two `made_by`, by name; empty where nothing does."""
    found = []
    for name, value in here.items():
        theirs = there.get(name)
        if theirs == value:
            continue
        if name == "code":
            files = sorted(file for file in theirs | value if theirs.get(file) != value.get(file))
            found.append(f"code ({', '.join(files)})")
        else:
            found.append(f"{name} ({theirs}, here {value})")
    return " and ".join(found)


def _parameters(learner: nn.Module, optimiser: torch.optim.Optimizer) -> Iterator[tuple[str, nn.Parameter]]:
    """The optimiser's parameters in its own order, with their names."""
    names = {parameter: name for name, parameter in learner.named_parameters()}
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            yield names[parameter], parameter


def _laid_out_like(parameter: Tensor, tensor: Tensor) -> Tensor:
    """In the parameter's memory format, if it is a moment of it and no counter."""
    if tensor.shape != parameter.shape or tensor.dim() == 0:
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)


def _generators(device: torch.device) -> dict[str, Tensor]:
    generators = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        generators["device"] = torch.get_device_module(device).get_rng_state(device)
    return generators


def _numpy_state() -> tuple:
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return name, keys.tolist(), *rest


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
