"""Kills and signals at points that random moments hardly hit: hand-overs, a new store, evaluation, tables."""

import os
import signal
import socket
import subprocess
import sys
import time

from bkdsnn.errors import InputError
from bkdsnn.tools.clone import Clone
from bkdsnn.tools.torture.compare import compare

RUN = "image-bkd-s0"
# Stage, its key, and the files by which the point is known.
POINTS = [
    ("prepare_data", "digits-dvs", "data/digits-dvs.partial-*"),
    ("evaluate", RUN, f"results/runs/tiny/{RUN}.partial-*"),
    ("build_tables", "tiny", "results/figures/tiny.partial-*"),
    ("build_tables", "tiny", "results/tables/tiny.partial-*"),
]
TRAINING = ("train_student", RUN, ".resume/*/*-*.safetensors")


def broken_at_points(unbroken: Clone) -> None:
    """Breaks stages of a whole project and runs them again; raises `InputError` where something is not as it was."""
    clone = unbroken.copy(unbroken.folder.with_name("points"))
    for stage, key, files in POINTS:
        _broken(clone, stage, key, files, signal.SIGKILL)
    _broken(clone, "evaluate", RUN, "mlflow.db*", signal.SIGKILL, fresh_store=True)
    for stage, key, files in (TRAINING, *POINTS[:2]):
        for number in (signal.SIGINT, signal.SIGTERM):
            _broken(clone, stage, key, files, number)
    _killed_in_the_hand_over(clone)
    compare(clone, unbroken)
    print(f"{clone.folder.name}: all bytes are those of the unbroken one, nothing is left over", flush=True)


def _broken(
    clone: Clone, stage: str, key: str, files: str, number: signal.Signals, *, fresh_store: bool = False
) -> None:
    """Sends a signal to a stage's whole process group once files are there, and runs it again."""
    if fresh_store:
        for file in clone.folder.glob("mlflow.db*"):
            file.unlink()
    process = _start(clone, stage, key, tracking=fresh_store)
    reached = _wait_for(clone, files, process)
    if reached:
        os.killpg(process.pid, number)
    said = process.communicate()[0]
    wanted = -number if number == signal.SIGKILL else 128 + number
    if reached and process.returncode not in (wanted, 0):  # 0: it was faster
        raise InputError(f"{stage}@{key}: {number.name}: ended with {process.returncode}, not {wanted}: {said[-2000:]}")
    again = _start(clone, stage, key, tracking=fresh_store)
    output = again.communicate()[0]
    if again.returncode != 0:
        raise InputError(f"{stage}@{key}: not whole after {number.name}: {output[-2000:]}")
    end = "was over before" if process.returncode == 0 else f"ended with {process.returncode}"
    print(f"{number.name} to {stage}@{key} at {files}: {end}, and is whole the second time", flush=True)


def _killed_in_the_hand_over(clone: Clone) -> None:
    """One process is killed while another waits for the same run, and leaves what a kill inside its copy would.

    The copy itself takes milliseconds, in which no signal can be timed.
    """
    first = _start(clone, *TRAINING[:2])
    _wait_for(clone, TRAINING[2], first)
    second = _start(clone, *TRAINING[:2])
    _wait_for(clone, ".resume/*.waits-*", second)
    for state in clone.folder.glob(TRAINING[2]):
        half = state.with_name(f"result.partial-{first.pid}@{socket.gethostname()}")
        half.mkdir(exist_ok=True)
        (half / "last.safetensors").write_bytes(b"half")
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    output = second.communicate()[0]
    if second.returncode != 0:
        raise InputError(f"after a kill in the hand-over the one that waited ended so: {output[-2000:]}")
    print("SIGKILL in the hand-over: the one that waited is whole", flush=True)


def _start(clone: Clone, stage: str, key: str, *, tracking: bool = False) -> subprocess.Popen:
    environment = {
        "PYTHONPATH": "src",
        "BKDSNN_CHECKPOINT_MINUTES": "0",
        "BKDSNN_TRACKING": "on" if tracking else "off",
    }
    command = (sys.executable, f"stages/{stage}.py", *([key] if key else []))
    return clone.start(*command, stdout=subprocess.PIPE, start_new_session=True, environment=environment)


def _wait_for(clone: Clone, files: str, process: subprocess.Popen) -> bool:
    """Waits until files are there that were not; False: the process has ended before."""
    before = set(clone.folder.glob(files))
    while process.poll() is None:
        if set(clone.folder.glob(files)) - before:
            return True
        time.sleep(0.0005)
    return False
