"""A project with data, a trained teacher and its cache, in which a training stage runs as a process of its own."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import yaml
from conftest import ROOT
from warm_python import warm

from stages.cache_features import cache_features
from stages.prepare_data import prepare_data
from stages.train_teacher import train_teacher

RUN = "image-bkd-s0"


class Project:
    """A folder that `stages/` run in; a copy of it with the same `root` is a queued experiment beside it."""

    def __init__(self, folder: Path, *, root: Path | None = None) -> None:
        self.folder = folder
        self.root = root or folder
        self.model = folder / "models/students/tiny" / RUN

    def copy(self, folder: Path, *, root: Path | None = None) -> "Project":
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("students", ".resume"))
        return Project(folder, root=root)

    def start(self, *python: str, **environment: str) -> subprocess.Popen:
        """The run's stage, as DVC starts it, in a process group of its own; by a warm Python where none is named."""
        return subprocess.Popen(
            [*(python or (*warm(), "python")), str(ROOT / "stages/train_student.py"), RUN],
            cwd=self.folder,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def environment(self, **changes: str) -> dict[str, str]:
        """What its stages are told: nothing of what the tests were, and no MLflow."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "BKDSNN_"))
        }
        own = {"DVC_ROOT": str(self.root), "BKDSNN_TRACKING": "off", "BKDSNN_ACCELERATOR": "cpu"}
        return {**kept, "PYTHONPATH": str(ROOT / "src"), **own, **changes}

    def run(self, **environment: str) -> str:
        process = self.start(**environment)
        output = process.communicate(timeout=120)[0]
        assert process.returncode == 0, output
        return output

    def bytes(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.model.iterdir())}

    def states(self) -> list[Path]:
        return sorted(self.root.glob(".resume/*/*-*.safetensors"))

    def number(self) -> int:
        """How many states have been written: the number of the newest, -1 before the first."""
        return max((int(path.name[:6]) for path in self.states()), default=-1)


def until(condition: Callable[[], object], process: subprocess.Popen) -> None:
    """Waits until the condition holds, looking very often; the process must not end before."""
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.0002)


def make_project(folder: Path, composed: Callable[..., dict], *, epochs: int = 6) -> Project:
    """So many epochs of 6 steps each for image-bkd-s0 of the tiny table; the student's teacher is cached."""
    folder.mkdir()
    params = composed("table=tiny", f"recipes.digits.epochs={epochs}", "recipes.digits.batch_size=10")
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    environment = {"DVC_ROOT": str(folder), "BKDSNN_TRACKING": "off", "BKDSNN_ACCELERATOR": "cpu"}
    with contextlib.chdir(folder), mock.patch.dict(os.environ, environment):
        prepare_data("digits")
        train_teacher("resnet-digits")
        cache_features("resnet-digits-digits")
    return Project(folder)
