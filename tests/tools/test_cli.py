"""The console script: every tool by its name, and one line for what is none."""

import sys

import pytest
from conftest import ROOT

from bkdsnn.tools import cli

PACKAGE = ROOT / "src/bkdsnn/tools"


def test_every_tool_has_a_name():
    doors = {
        path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        for path in PACKAGE.rglob("*.py")
        if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
    }
    names = set(cli.TOOLS.values())
    processes = {name for name in doors - names if name.startswith("gpu_check.")}  # that a check starts
    assert doors - processes - {"cli"} == names


def test_help_says_a_line_of_each(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bkdsnn"])
    cli.main()
    usage, *lines = capsys.readouterr().out.splitlines()
    assert usage == "usage: bkdsnn TOOL [ARGUMENT ...]"
    assert [line.split()[0] for line in lines] == sorted(cli.TOOLS)
    assert all(len(line.split()) > 4 for line in lines)


def test_an_unknown_tool_is_told_with_the_nearest(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bkdsnn", "plam"])
    with pytest.raises(SystemExit, match=r"^bkdsnn plam: there is no such tool; did you mean plan\? there are .*row"):
        cli.main()


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("predict", "MODEL IMAGE"),
        ("publish", "[KEY] [PUSH] [REPO]"),
        ("plan", "[ARGUMENTS ...]"),
        ("check-cache", "[KEY]"),
    ],
)
def test_a_tool_says_what_it_takes_and_runs_nothing(monkeypatch, capsys, name, usage):
    monkeypatch.setattr(sys, "argv", ["bkdsnn", name, "--help"])
    cli.main()
    first, _, *text = capsys.readouterr().out.splitlines()
    assert first == f"usage: bkdsnn {name} {usage}".strip()
    assert text


def test_what_works_in_a_clone_alone_says_so_elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bkdsnn", "row", "tiny", "image-ce", "0"])
    with pytest.raises(SystemExit, match=r"^bkdsnn row: no dvc.yaml here: it works in a clone of the project"):
        cli.main()


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")  # by other tests
def test_a_tool_gets_its_arguments(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bkdsnn", "params", "table=none"])
    with pytest.raises(SystemExit, match=r"^params: table 'none': there is none; there are"):
        cli.main()
