"""BKDSNN: spiking neural networks trained by blurred knowledge distillation."""

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bkdsnn.export.published import load

__all__ = ["load"]

# How long OpenMP's threads wait for work before they sleep (rounds; libgomp reads it when torch is imported). Its own
# 300,000 take the cores from our kernels' threads, and from other stages, for milliseconds behind every operator.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def __getattr__(name: str) -> object:
    """`load` of `export/published`, by its name: an `import` would bring all that it needs into the code of stages."""
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module("bkdsnn.export.published").load
