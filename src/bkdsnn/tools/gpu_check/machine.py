"""The machine: device, versions, compiler, and what SpikingJelly chooses for each neuron."""

import importlib
import json
import platform
import shutil
from importlib import metadata

import torch

from bkdsnn import environment
from bkdsnn.command import run_stage
from bkdsnn.distributed.device import check_compiler, this_device
from bkdsnn.distributed.launcher import cores
from bkdsnn.layers.spiking import NeuronSettings, make_neuron
from bkdsnn.portable import processor
from bkdsnn.tools.gpu_check.rows import Row, attempt, tell

_LIBRARIES = ("torch", "triton", "spikingjelly", "timm", "numba", "lightning-fabric", "numpy")


def machine(argument: str) -> None:
    json.loads(argument)
    with attempt("device"):
        tell(_device())
    tell(Row("processor", f"{processor()}, {cores()} cores, Python {platform.python_version()}"))
    versions = {name: _version(name) for name in _LIBRARIES}
    tell(Row("versions", ", ".join(f"{name} {version}" for name, version in versions.items()), None, versions))
    with attempt("compiler"):
        check_compiler()
        names = (environment.foreign("CC"), "gcc", "clang")
        found = next((path for name in names if name and (path := shutil.which(name))), "none")
        tell(Row("compiler", found, good=True))
    for kind in ("lif", "plif", "if"):
        for dtype in (torch.float32, torch.bfloat16):
            with attempt(f"neuron {kind}"):
                tell(_neuron(kind, dtype))


def _device() -> Row:
    device = this_device(portable=False)
    if device.type != "cuda":
        return Row("device", f"{device.type}: a rehearsal, no GPU is looked at", None, {"gpu": None})
    found = torch.cuda.get_device_properties(device)
    numbers = {
        "gpu": found.name,
        "capability": f"{found.major}.{found.minor}",
        "gib": round(found.total_memory / 2**30, 1),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }
    return Row("device", ", ".join(f"{name} {value}" for name, value in numbers.items()), True, numbers)


def _neuron(kind: str, dtype: torch.dtype) -> Row:
    """One pass forward and back, and the implementation that SpikingJelly took for it."""
    device = this_device(portable=False)
    rest = {"tau": 2.0, "v_threshold": 1.0, "v_reset": 0.0, "decay_input": True, "detach_reset": True}
    settings = NeuronSettings(kind=kind, **rest, surrogate="sigmoid", surrogate_alpha=4.0)
    current = torch.rand(4, 8, 32, 8, 8, device=device, dtype=dtype, requires_grad=True)
    spikes = make_neuron(settings).to(device)(2 * current)
    spikes.sum().backward()
    backend = "ours, fused" if device.type == "cpu" else _backend(kind)
    rate = spikes.float().mean().item()
    good = bool(current.grad.isfinite().all()) and backend != "the step-by-step reference"
    return Row(f"neuron {kind}, {str(dtype).removeprefix('torch.')}", f"{backend}; {rate:.3f} spikes a step", good)


def _backend(kind: str) -> str:
    """The last that SpikingJelly chose; it says so nowhere but in an attribute of its own."""
    package = importlib.import_module(f"spikingjelly._ops.{'if_' if kind == 'if' else kind}")
    chosen = list(package._selection._selections.values())
    if not chosen:
        return "unknown"
    return chosen[-1].name if chosen[-1] else "the step-by-step reference"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


if __name__ == "__main__":
    run_stage(machine)
