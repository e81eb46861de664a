"""The console script `bkdsnn TOOL ...`: the tools that `make` calls, by their names."""

import ast
import difflib
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

from bkdsnn.command import begin

_ROOM = "bkdsnn.tools"
TOOLS = {
    "bench-cache": "bench.cache",
    "bench-data": "bench.data",
    "bench-dvc": "bench.dvc",
    "bench-images": "bench.images",
    "bench-methods": "bench.methods",
    "bench-start": "bench.start",
    "bench-step": "bench.step",
    "check-cache": "check_cache",
    "check-number": "check_number",
    "compare": "compare",
    "export": "export",
    "fuzz": "fuzz.__main__",
    "gpu-check": "gpu_check.__main__",
    "gpu-pack": "gpu_check.luggage",
    "page": "page",
    "params": "compose",
    "plan": "plan.table",
    "predict": "predict",
    "publish": "publish",
    "readme": "readme",
    "register": "register",
    "repro": "repro.start",
    "row": "repro.row",
    "torture": "torture.start",
    "tune": "tune",
    "ui": "ui",
}


def main() -> None:
    """Runs a tool as `python -m` would; without a name, or with an unknown one, says what there is."""
    begin()
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return
    if name not in TOOLS:
        near = difflib.get_close_matches(name, TOOLS, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        sys.exit(f"bkdsnn {name}: there is no such tool; {guess}there are {', '.join(TOOLS)}")
    sys.argv = [f"bkdsnn {name}", *arguments]
    runpy.run_module(f"{_ROOM}.{TOOLS[name]}", run_name="__main__", alter_sys=True)


def usage() -> str:
    """The tools, and what each says of itself; none of them is imported for that."""
    width = max(map(len, TOOLS))
    lines = [f"  {name:{width}}  {_first_line(module)}" for name, module in TOOLS.items()]
    return "\n".join(["usage: bkdsnn TOOL [ARGUMENT ...]", *lines])


def _first_line(module: str) -> str:
    source = Path(find_spec(f"{_ROOM}.{module}").origin).read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)).partition("\n")[0]


if __name__ == "__main__":
    main()
