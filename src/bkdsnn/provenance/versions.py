"""The libraries and the processor that made numbers."""

from importlib import metadata

import torch

from bkdsnn import portable

_LIBRARIES = ("torch", "spikingjelly", "timm")


def made_with(device: torch.device) -> dict[str, str]:
    """Versions by library, and under `processor` what computed on this device: any, where it is used portably."""
    versions = {name: metadata.version(name).partition("+")[0] for name in _LIBRARIES}  # torch 2.9.0+cpu is a 2.9.0
    return {**versions, "processor": _processor(device)}


def _processor(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return portable.EVERYWHERE if portable.used() else portable.processor()
