"""The console script `bkdsnn TOOL ...`: the tools that `make` calls, by their names."""

import ast
import difflib
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

from bkdsnn.command import begin

_ROOM = "bkdsnn.tools"
_HELP = ("-h", "--help")
_OF_A_CHECKOUT = {"bench-dvc", "gpu-pack", "page", "readme", "repro", "row", "torture", "tune"}  # that DVC works in
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
    name, *arguments = sys.argv[1:] or _HELP[1:]
    if name in _HELP:
        print(usage())
        return
    if name not in TOOLS:
        near = difflib.get_close_matches(name, TOOLS, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        sys.exit(f"bkdsnn {name}: there is no such tool; {guess}there are {', '.join(TOOLS)}")
    if set(arguments) & set(_HELP):
        print(usage_of(name))
        return
    if name in _OF_A_CHECKOUT and not Path("dvc.yaml").is_file():
        sys.exit(f"bkdsnn {name}: no dvc.yaml here: it works in a clone of the project, at its root")
    sys.argv = [f"bkdsnn {name}", *arguments]
    runpy.run_module(f"{_ROOM}.{TOOLS[name]}", run_name="__main__", alter_sys=True)


def usage() -> str:
    """The tools, and what each says of itself; none of them is imported for that."""
    width = max(map(len, TOOLS))
    lines = [f"  {name:{width}}  {_first_line(module)}" for name, module in TOOLS.items()]
    return "\n".join(["usage: bkdsnn TOOL [ARGUMENT ...]", *lines])


def usage_of(name: str) -> str:
    """A tool's arguments, as its function names them, and all that it says of itself."""
    tree = _parsed(TOOLS[name])
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "run_stage"]
    works = {node.id for call in calls for node in ast.walk(call) if isinstance(node, ast.Name)}
    taken = [node.args for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in works]
    arguments = [_arguments(one) for one in taken]
    said = f"[{max(arguments)}]" if "" in arguments else " ".join(arguments)
    return f"usage: bkdsnn {name} {said}\n\n{ast.get_docstring(tree)}"


def _arguments(taken: ast.arguments) -> str:
    needed = len(taken.args) - len(taken.defaults)
    names = [one.arg.upper() for one in taken.args]
    named = names[:needed] + [f"[{one}]" for one in names[needed:]]
    return " ".join(named + ([f"[{taken.vararg.arg.upper()} ...]"] if taken.vararg else []))


def _first_line(module: str) -> str:
    return ast.get_docstring(_parsed(module)).partition("\n")[0]


def _parsed(module: str) -> ast.Module:
    return ast.parse(Path(find_spec(f"{_ROOM}.{module}").origin).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
