"""What a warm Python runs finds and gives what a Python of its own would."""

import os
import signal
import subprocess
import sys
import time

import pytest
from warm_python import warm

SHOWN = """
import json, os, sys
import neighbour
print(json.dumps([sys.argv, os.getcwd(), os.environ["MARK"], __name__, __file__, sys.stdin.read(), neighbour.__file__]))
print("said on stderr", file=sys.stderr)
"""
ENDS = {
    "return": "",
    "exit code": "sys.exit(7)",
    "a line": "sys.exit('wrong')",
    "an error": "raise ValueError('wrong')",
    "a signal": "os.kill(os.getpid(), 15)",
    "a signal that none can catch": "os.kill(os.getpid(), 9)",
}
ASLEEP = (
    "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(60); pathlib.Path(sys.argv[2]).touch()"
)


def ran(python: list[str], *arguments: str, folder) -> subprocess.CompletedProcess:
    environment = {**os.environ, "MARK": "here", "PYTHONPATH": "own"}
    return subprocess.run(
        [*python, *arguments], cwd=folder, env=environment, input="given", capture_output=True, text=True
    )


@pytest.mark.parametrize("arguments", [("shown.py", "a", "b c"), ("-m", "shown", "a")])
def test_it_finds_arguments_files_folder_and_environment(tmp_path, arguments):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/neighbour.py").touch()
    (tmp_path / "shown.py").write_text(SHOWN)
    found, expected = (ran(python, *arguments, folder=tmp_path) for python in ([*warm(), "python"], [sys.executable]))
    assert (found.returncode, found.stdout) == (0, expected.stdout)
    assert found.stderr == "said on stderr\n"


@pytest.mark.parametrize("end", ENDS)
def test_it_ends_alike(tmp_path, end):
    (tmp_path / "end.py").write_text(f"import os, sys\n{ENDS[end]}\n")
    found, expected = (ran(python, "end.py", folder=tmp_path) for python in ([*warm(), "python"], [sys.executable]))
    assert found.returncode == expected.returncode
    assert found.stderr.splitlines()[-1:] == expected.stderr.splitlines()[-1:]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_who_is_ended_takes_it_along(tmp_path, number):
    (tmp_path / "asleep.py").write_text(ASLEEP)
    begun, woken = tmp_path / "begun", tmp_path / "woken"
    with subprocess.Popen(
        [*warm(), "python", "asleep.py", begun, woken], cwd=tmp_path, stdout=subprocess.PIPE
    ) as asked:
        deadline = time.monotonic() + 60
        while not begun.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        asked.send_signal(number)
        assert asked.communicate(timeout=30)[0] == b"", "stdout has an end once the child has ended too"
    assert asked.returncode == -number
    assert not woken.exists()
