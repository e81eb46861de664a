"""`portable: true`: numbers that are the same bytes on every x86-64 processor since Haswell (2013) and Zen (2017).

numpy, torch and numba choose their instructions by the processor, and so how they round. Each reads from the
environment, once, which it may use; so a stage calls `use` or `use_for` before it imports any of them.
"""

import json
import platform
import subprocess
import sys
from pathlib import Path

from bkdsnn import environment, paths
from bkdsnn.errors import InputError

EVERYWHERE = "any x86-64 processor with AVX2 (portable)"
# What the psABI calls x86-64-v3, in the words of Linux.
_NEEDED = ("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe")
# libm needs nothing: its variants for FMA are those that all these processors take.
_INSTRUCTIONS = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",  # MKL's faster settings hold on Intel's processors alone
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx2,+fma",  # unset, this processor's own would be added to Haswell's
    # Several threads share out a sum otherwise than one.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def use_for(kind: str) -> None:
    """`use` where the recipe is portable on the card of this kind that the stage's argument names."""
    card = paths.card(kind, "".join(sys.argv[1:]))
    if card.is_file() and json.loads(card.read_bytes())["recipe"]["portable"]:
        use()


def use() -> None:
    """Fixes the instructions of this process and those it starts, or says in one line why this processor cannot."""
    if reason := why_not():
        print(f"portable: {reason}: the numbers may differ from those of other processors", flush=True)
        return
    for name, value in _INSTRUCTIONS.items():
        environment.put(name, value)


def used() -> bool:
    """Whether the instructions of this process are fixed."""
    return environment.has(_INSTRUCTIONS)


def why_not() -> str | None:
    """Why this processor cannot compute portably; None where it can."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return f"{processor()} is no x86-64 processor"
    lacking = [name.upper() for name in _NEEDED if name not in _flags()]
    return f"{processor()} has no {', '.join(lacking)}" if lacking else None


def accelerator(*, portable: bool) -> str:
    """The device that `BKDSNN_ACCELERATOR` asks for; a portable recipe's is the CPU, `InputError` for another."""
    asked = environment.accelerator()
    if portable and asked not in ("auto", "cpu"):
        raise InputError(
            f"BKDSNN_ACCELERATOR: {asked} is asked for, but the recipe is portable, which CPUs alone can be; "
            "portable: false lets it run there"
        )
    return "cpu" if portable else asked


def processor() -> str:
    """What this machine's processor is called."""
    return _cpuinfo("model name") or _sysctl("machdep.cpu.brand_string") or platform.processor() or platform.machine()


def _flags() -> set[str]:
    """The processor's instructions, as Linux calls them."""
    if sys.platform != "darwin":
        return set(_cpuinfo("flags").split())
    found = f"{_sysctl('machdep.cpu.features')} {_sysctl('machdep.cpu.leaf7_features')} "
    found += _sysctl("machdep.cpu.extfeatures")
    names = {"avx1.0": "avx", "lzcnt": "abm"}
    return {names.get(name, name) for name in found.lower().split()}


def _cpuinfo(field: str) -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")


def _sysctl(name: str) -> str:
    if sys.platform != "darwin":
        return ""
    return subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False).stdout.strip()
