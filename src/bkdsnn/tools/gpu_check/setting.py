"""Where and how large a check runs, and the processes that it starts."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bkdsnn.tools.gpu_check.luggage import ROOT, given_environment
from bkdsnn.tools.gpu_check.rows import Row, heard

_LATEST = 5.0  # seconds that a process gets at least


class Setting(NamedTuple):
    """The device's kind, whether sizes are those of a rehearsal, and when (monotonic) all must have ended."""

    device: str
    small: bool
    end: float

    def seconds(self, most: float) -> float:
        """How long a process may take of which `most` is expected."""
        return max(min(most, self.end - time.monotonic()), _LATEST)

    def environment(self, **others: str) -> dict[str, str]:
        """What a process is told: its device, no MLflow, and our modules wherever it runs."""
        own = {"BKDSNN_ACCELERATOR": self.device, "BKDSNN_TRACKING": "off"}
        return {**given_environment(), **own, "PYTHONUNBUFFERED": "1", **others}  # so that an error is said last

    def rows_of(self, module: str, name: str, /, *, seconds: float, **argument: object) -> Iterator[Row]:
        """The rows that a module of this room tells in a process of its own, and one more where it fails."""
        argument = {"small": self.small, **argument}
        command = [sys.executable, "-m", f"{__package__}.{module}", json.dumps(argument)]
        code, lines = run(command, seconds=self.seconds(seconds), folder=ROOT, env=self.environment())
        yield from (row for line in lines if (row := heard(line)))
        if code != 0:
            yield failed(name, code, lines)


def run(command: list[str], *, seconds: float, folder: Path, env: dict[str, str]) -> tuple[int | None, list[str]]:
    """The exit code (None: it took too long and was ended) and the lines of what it printed."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    with subprocess.Popen(command, cwd=folder, env=env, **options) as process:
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return None, process.communicate()[0].splitlines()
    return process.returncode, output.splitlines()


def failed(name: str, code: int | None, lines: list[str]) -> Row:
    """The row of a process that failed: the last that it said."""
    said = [line for line in lines if line.strip() and not heard(line)]
    why = "took too long and was ended" if code is None else f"ended with {code}"
    return Row(name, f"{why}: {said[-1].strip()[:300] if said else 'nothing was said'}", good=False)
