"""DVC's processes, and how they end where somebody stops the whole."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from bkdsnn.errors import InputError

# A process whose stage has ended waits for the others' turns with dvc.lock, however long they take.
DVC = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro"]
PAUSE = 0.1  # seconds between two looks at what runs
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ASK_AGAIN = 1.0  # seconds


def dvc_repro(*arguments: str) -> None:
    """A `dvc repro` in this terminal; `InputError` where it fails, `SystemExit` where it was stopped."""
    with stopping() as stopped:
        process = subprocess.Popen([*DVC, *arguments])
        while process.poll() is None and not stopped:
            time.sleep(PAUSE)
        if stopped:
            end([process])
            raise SystemExit(128 + stopped[0])
    if process.returncode != 0:
        raise InputError("a stage failed, see above")


@contextlib.contextmanager
def stopping() -> Iterator[list[int]]:
    """Gives a list that holds the signal's number once Ctrl-C or SIGTERM has come."""
    stopped: list[int] = []

    def stop(number: int, _frame: object) -> None:
        if not stopped:
            print("stopping: trainings save their states", flush=True)
            stopped.append(number)

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end(processes: list[subprocess.Popen]) -> None:
    """Ends DVC processes: their stages save what they can; a DVC that runs none is told itself. Waits for all."""
    while running := [process for process in processes if process.poll() is None]:
        for process in running:
            _ask(process)
        deadline = time.monotonic() + _ASK_AGAIN
        while time.monotonic() < deadline and any(process.poll() is None for process in running):
            time.sleep(PAUSE)


def _ask(process: subprocess.Popen) -> None:
    import psutil

    children = []
    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.send_signal(signal.SIGTERM)
    if not children:
        process.send_signal(signal.SIGINT)
