"""Kills a `dvc repro` of the tiny table 20 times, and compares its bytes with an unbroken one (`make torture`)."""

import os
import random
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

from bkdsnn.command import run_stage
from bkdsnn.errors import InputError
from bkdsnn.tools.clone import Clone

KILLS = 20
STARTING, WORKING = 3.0, 9.0  # seconds: until a `dvc repro` works at its first stage, and after that at most
SAVES = 8  # of a training's saves, one in so many is where it is killed
# Three rows of the tiny table that learn for longer, so that most of the time is training.
LONGER = [f"recipes.{name}.epochs=8" for name in ("digits", "digits-dvs")]
LESS = ["dataset=[digits,digits-dvs]", "teacher=[resnet-digits,resnet-dvs]", "recipe=[digits,digits-dvs]"]
LESS += ["~rows.image-vit", "~rows.dvs-swapped", "~recipes.digits-vit", "~datasets.digits-dvs-16"]


def torture(seed: str) -> None:
    """The moments follow from the seed (a number; empty: any); raises `InputError` where a byte differs."""
    chosen = seed or str(random.randrange(10**6))
    moments = random.Random(chosen)
    print(f"seed {chosen}: SIGKILL to all processes {KILLS} times; a state is saved after every step", flush=True)
    with tempfile.TemporaryDirectory() as place:
        fresh = Clone(Path(place) / "fresh", *LONGER, *LESS)
        unbroken = fresh.copy(Path(place) / "unbroken")
        start = time.monotonic()
        unbroken.dvc("repro")
        print(f"unbroken: {time.monotonic() - start:.0f} s, {len(unbroken.bytes())} files", flush=True)
        clones = [fresh.copy(Path(place) / "killed-1")]
        kills = 0
        while kills < KILLS:
            place = _killed(clones[-1], moments)
            if place is None:  # it was faster, and is whole: another one is killed
                clones.append(fresh.copy(Path(place) / f"killed-{len(clones) + 1}"))
                continue
            kills += 1
            print(f"kill {kills:2}: {place}", flush=True)
        clones[-1].dvc("repro")
        for clone in clones:
            _compare(clone, unbroken)
            print(f"{clone.folder.name}: dvc.lock and results have the bytes of the unbroken one; {_tracked(clone)}")


def _killed(clone: Clone, moments: random.Random) -> str | None:
    """Starts `dvc repro`, kills it and all that it has started, and says where it was; None: it had ended before."""
    in_save = moments.random() < 0.6
    delay = 60.0 if in_save else STARTING + moments.uniform(0, WORKING)
    log, left = clone.folder.parent / "output", set(clone.folder.glob(".resume/*/*.partial-*"))
    with log.open("w") as output:
        environment = {"BKDSNN_CHECKPOINT_MINUTES": "0"}
        command = (sys.executable, "-m", "dvc", "repro")
        process = clone.start(*command, stdout=output, start_new_session=True, environment=environment)
        start = time.monotonic()
        seen, saving = left, False
        while process.poll() is None and not saving and time.monotonic() < start + delay:
            new = set(clone.folder.glob(".resume/*/*.partial-*")) - seen if in_save else set()
            seen |= new
            saving = bool(new) and moments.random() < 1 / SAVES
            time.sleep(0.0005)
        if process.poll() is not None:
            if process.returncode != 0:
                raise InputError(f"dvc repro failed: {log.read_text()[-2000:]}")
            return None
        seconds = time.monotonic() - start
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    running = re.findall(r"Running stage '([^']+)'", log.read_text()) or ["before any stage"]
    states = sorted(path.name[:6] for path in clone.folder.glob(".resume/*/*-*.safetensors"))
    return f"after {seconds:4.1f} s, {running[-1]}{', inside a save' if saving else ''}, states {states or 'none'}"


def _compare(clone: Clone, unbroken: Clone) -> None:
    ours, theirs = clone.bytes(), unbroken.bytes()
    if different := sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name)):
        raise InputError(f"{clone.folder.name}: {len(different)} files differ from the unbroken one's: {different[:5]}")
    if left := list(clone.folder.glob(".resume/*")):
        raise InputError(f"{clone.folder.name}: {left[0].name} was left in .resume")


def _tracked(clone: Clone) -> str:
    """What became of the runs in MLflow."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{clone.folder / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("bkdsnn").experiment_id])
    finished = [run for run in runs if run.info.status == "FINISHED"]
    curves = [client.get_metric_history(run.info.run_id, "loss") for run in finished]
    twice = sum(len(curve) != len({entry.step for entry in curve}) for curve in curves)
    return f"MLflow: {len(finished)} runs finished, {len(runs) - len(finished)} given up, {twice} with an epoch twice"


if __name__ == "__main__":
    run_stage(torture)
