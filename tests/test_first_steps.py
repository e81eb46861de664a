"""The notebook of the docs is what running it gives."""

import json
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT

from bkdsnn import portable

PATH = ROOT / "docs/first-steps.ipynb"
CELLS = json.loads(PATH.read_text(encoding="utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]
RUN = """
import contextlib, io, json, sys

cells = json.load(open(sys.argv[1], encoding="utf-8"))["cells"]
space, printed = {"__name__": "__main__"}, []
for cell in (cell for cell in cells if cell["cell_type"] == "code"):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile("".join(cell["source"]), "cell", "exec"), space)
    printed.append(out.getvalue())
print(json.dumps(printed))
"""


@pytest.mark.skipif(portable.why_not() is not None, reason="its numbers are those of portable processors")
def test_the_cells_print_what_the_notebook_shows(tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BKDSNN_", "MLFLOW_", "DVC_"))}
    found = subprocess.run(
        [sys.executable, "-c", RUN, str(PATH)],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(ROOT / "src"), "MPLBACKEND": "agg", "BKDSNN_ACCELERATOR": "cpu"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert found.returncode == 0, found.stderr
    shown = ["".join("".join(out.get("text", "")) for out in cell["outputs"]) for cell in CODE]
    assert json.loads(found.stdout) == shown
    assert list(tmp_path.iterdir()) == []


def test_it_was_run_from_its_first_cell_to_its_last():
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    kinds = {(out["output_type"], out.get("name"), *out.get("data", {})) for cell in CODE for out in cell["outputs"]}
    assert kinds == {("stream", "stdout"), ("display_data", None, "image/png")}
    assert PATH.stat().st_size < 200_000


def test_it_uses_what_is_public_and_leads_to_what_is_there():
    source = "".join("".join(cell["source"]) + "\n" for cell in CODE)
    assert re.findall(r"import _|\._\w|\b_\w+", source) == []
    prose = "".join("".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "markdown")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", prose)]
    assert links
    assert [link for link in links if not (PATH.parent / link).exists()] == []
