"""The libraries and the processor that made numbers."""

from importlib import metadata

import torch

from bkdsnn import portable

_LIBRARIES = ("torch", "spikingjelly", "timm")


def made_with(device: torch.device) -> dict[str, str]:
    """Versions by library, and under `processor` what computed on this device: any, where it is used portably."""
    versions = {name: metadata.version(name).partition("+")[0] for name in _LIBRARIES}  # torch 2.9.0+cpu is a 2.9.0
    return {**versions, "processor": processor_of(device)}


def machine(device: torch.device) -> dict[str, str]:
    """What computes, for who looks at a run; no result holds it. Of a GPU its libraries and driver as well."""
    if device.type != "cuda":
        return {"processor": processor_of(device)}
    from torch.utils import collect_env

    driver = collect_env.get_nvidia_driver_version(collect_env.run)
    found = {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "driver": driver}
    return {"processor": processor_of(device), **{name: str(value or "unknown") for name, value in found.items()}}


def processor_of(device: torch.device) -> str:
    """The name of what computes on this device: any, where it is used portably."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return portable.EVERYWHERE if portable.used() else portable.processor()
