"""A small project of its own, in which the real stages train and evaluate, without DVC."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from bkdsnn.errors import InputError
from bkdsnn.files import read_json, sha256
from bkdsnn.tools.gpu_check import luggage
from bkdsnn.tools.gpu_check.setting import Setting, failed, run

FOLDER = luggage.FOLDER / "project"
_EPOCHS = 2  # of a rehearsal
_STAGE = 120.0  # seconds at most


class Project:
    """The table's rows; `stage` runs one, where what it makes is not there yet."""

    folder = FOLDER

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.params = luggage.content()["params"]
        if setting.small:
            recipe = self.params["recipes"][luggage.DATASET]
            recipe |= {"epochs": _EPOCHS, "schedule": {**recipe["schedule"], "warmup_epochs": 1}}
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / "params.yaml").write_text(json.dumps(self.params), encoding="utf-8")
        if not (FOLDER / "data" / luggage.DATASET).is_dir():
            shutil.copytree(luggage.DATA / luggage.DATASET, FOLDER / "data" / luggage.DATASET)

    @property
    def runs(self) -> list[str]:
        return list(self.params["runs"])

    def model(self, key: str) -> Path:
        """The folder of a trained student."""
        return FOLDER / "models/students" / luggage.TABLE / key

    def prepare(self) -> None:
        """All that students need: cards, the teacher, its cache."""
        self.stage("hash_code", made="data/code")
        self.stage("check_params", made="data/params")
        for key, cache in self.params["caches"].items():
            self.stage("train_teacher", cache["teacher"], made=f"models/teachers/{cache['teacher']}")
            self.stage("cache_features", key, made=f"data/teacher_outputs/{key}")

    def stage(self, name: str, *key: str, made: str) -> None:
        """Runs a stage unless it has; `InputError` with the last that it said where it fails."""
        if (FOLDER / made).exists():
            return
        seconds = self.setting.seconds(_STAGE)
        code, lines = run(command_of(name, *key), seconds=seconds, folder=FOLDER, env=self.environment())
        if code != 0:
            raise InputError(failed(name, code, lines).found)

    def train(self, key: str) -> dict[str, str]:
        """Trains a student, and gives the SHA-256 of its files by name."""
        self.stage("train_student", key, made=self.model(key).relative_to(FOLDER).as_posix())
        return {path.name: sha256(path) for path in sorted(self.model(key).iterdir())}

    def evaluated(self, key: str) -> dict:
        """The metrics of a trained student on the test split."""
        folder = FOLDER / "results/runs" / luggage.TABLE / key
        self.stage("evaluate", key, made=folder.relative_to(FOLDER).as_posix())
        return read_json(folder / "metrics.json")

    def interrupted(self, key: str) -> int:
        """Starts a student's training, sends SIGTERM once a few of its states were saved, and gives the exit code."""
        env = self.environment(BKDSNN_CHECKPOINT_MINUTES="0")
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command_of("train_student", key), cwd=FOLDER, env=env, **options) as process:
            deadline = time.monotonic() + self.setting.seconds(_STAGE)
            while process.poll() is None and _saved() < 3 and time.monotonic() < deadline:
                time.sleep(0.001)
            process.send_signal(signal.SIGTERM)
            try:
                return process.wait(self.setting.seconds(_STAGE))
            except subprocess.TimeoutExpired:
                process.kill()
                raise InputError("SIGTERM did not end the training") from None

    def environment(self, **others: str) -> dict[str, str]:
        return self.setting.environment(DVC_ROOT=str(FOLDER), **others)


def command_of(stage: str, *key: str) -> list[str]:
    """The command that dvc.yaml has for a stage."""
    return [sys.executable, str(luggage.ROOT / f"stages/{stage}.py"), *key]


def _saved() -> int:
    """How many states a training has saved: the number of the newest."""
    return max((int(path.name[:6]) for path in FOLDER.glob(".resume/*/*-*.safetensors")), default=0)
