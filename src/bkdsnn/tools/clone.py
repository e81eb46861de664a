"""A copy of this checkout in which a small table is reproduced: for the tests, and for what breaks it on purpose."""

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Self

from bkdsnn.errors import InputError
from bkdsnn.params.read import FILE
from bkdsnn.tools.compose import compose

ROOT = Path(__file__).parents[3]


class Clone:
    """A copy of this checkout's files in a git repository of its own, set to a small table, nothing reproduced."""

    def __init__(self, folder: Path, *overrides: str, table: str = "tiny") -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
        )
        for name in listed.stdout.decode().split("\0"):
            source = ROOT / name
            if name and source.is_file() and not name.startswith("results/") and name != "dvc.lock":
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, folder / name)
        compose(folder / FILE, [f"table={table}", *overrides])
        self.run("git", "init", "-q")
        self.run("git", "config", "user.email", "test@example.org")
        self.run("git", "config", "user.name", "test")
        self.commit()

    def copy(self, folder: Path) -> Self:
        """The same in another folder."""
        shutil.copytree(self.folder, folder)
        other = copy.copy(self)
        other.folder = folder
        return other

    def start(self, *command: str, **options) -> subprocess.Popen:
        """A command that runs in the clone, without this shell's settings of DVC, MLflow and ours."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ours = ("DVC_", "MLFLOW_", "BKDSNN_", "PYTHONPATH")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        environment = {**kept, "PATH": path, **options.pop("environment", {})}
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stderr=subprocess.STDOUT, text=True, **options
        )

    def run(self, *command: str, check: bool = True, **environment: str) -> str:
        """Its output; an `InputError` with the end of it where the command fails."""
        process = self.start(*command, stdout=subprocess.PIPE, environment=environment)
        output = process.communicate()[0]
        self.code = process.returncode
        if check and self.code != 0:
            raise InputError(f"{' '.join(command)}: ended with {self.code}: {output[-4000:]}")
        return output

    def dvc(self, *arguments: str, **options) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments, **options)

    def commit(self) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", "state")

    def bytes(self) -> dict[str, bytes]:
        """The lock file and all results: hashes of whatever else a stage writes stand in the lock."""
        files = [self.folder / "dvc.lock", *sorted((self.folder / "results").rglob("*"))]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files if path.is_file()}
