"""A `dvc repro` that is killed again and again, at random moments and inside saves."""

import os
import random
import re
import signal
import sys
import time

from bkdsnn.errors import InputError
from bkdsnn.tools.clone import Clone
from bkdsnn.tools.torture.compare import compare

KILLS = 20
STARTING, WORKING = 3.0, 9.0  # seconds: until a `dvc repro` works at its first stage, and after that at most
SAVES = 8  # of a training's saves, one in so many is where it is killed


def killed_often(fresh: Clone, unbroken: Clone, moments: random.Random) -> None:
    """Kills a reproduction 20 times; one that is faster is followed by another."""
    clones = [fresh.copy(unbroken.folder.with_name("killed-1"))]
    kills = 0
    while kills < KILLS:
        place = _killed(clones[-1], moments)
        if place is None:  # it was faster, and is whole: another one is killed
            clones.append(fresh.copy(unbroken.folder.with_name(f"killed-{len(clones) + 1}")))
            continue
        kills += 1
        print(f"kill {kills:2}: {place}", flush=True)
    clones[-1].dvc("repro")
    for clone in clones:
        compare(clone, unbroken)
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


def _tracked(clone: Clone) -> str:
    """What became of the runs in MLflow."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{clone.folder / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("bkdsnn").experiment_id])
    finished = [run for run in runs if run.info.status == "FINISHED"]
    curves = [client.get_metric_history(run.info.run_id, "loss") for run in finished]
    twice = sum(len(curve) != len({entry.step for entry in curve}) for curve in curves)
    return f"MLflow: {len(finished)} runs finished, {len(runs) - len(finished)} given up, {twice} with an epoch twice"
