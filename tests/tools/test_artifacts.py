"""DVC's registry: a table's students are had by name, from any repository that has made them."""

import subprocess
import sys

import pytest
import yaml
from conftest import ROOT


@pytest.mark.slow
def test_the_students_of_a_table_are_had_by_its_name(tmp_path):
    (tmp_path / "params.yaml").write_text("table: tiny\n")
    out = "models/students/tiny/image-ce-s0"
    stage = {"cmd": f"mkdir -p {out} && echo weights > {out}/last.safetensors", "outs": [out]}
    named = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["artifacts"]
    (tmp_path / "dvc.yaml").write_text(
        yaml.safe_dump({"stages": {"train": stage}, "params": ["params.yaml"], "artifacts": named})
    )
    dvc, git = [sys.executable, "-m", "dvc"], ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    commands = (
        [*git, "init", "-q"],
        [*dvc, "init", "-q"],
        [*dvc, "repro", "-q"],
        [*git, "add", "-A"],
        [*git, "commit", "-qm", "a"],
        [*git, "tag", "-a", "students-tiny@v1.0.0", "-m", "as published"],
        [*dvc, "artifacts", "get", ".", "students-tiny", "-o", "had"],
    )
    for command in commands:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "had/image-ce-s0/last.safetensors").read_text() == "weights\n"
