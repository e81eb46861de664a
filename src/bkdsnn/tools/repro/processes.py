"""DVC's processes, and how they end where somebody stops the whole."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

from bkdsnn.errors import InputError

DVC = [sys.executable, "-m", "dvc", "repro"]
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def dvc_repro(*arguments: str) -> None:
    """A `dvc repro` in this terminal; `InputError` where it fails, `SystemExit` where it was stopped."""
    with stopping(lambda: [process]) as stopped:
        process = subprocess.Popen([*DVC, *arguments])
        process.wait()
    if stopped:
        raise SystemExit(128 + stopped[0])
    if process.returncode != 0:
        raise InputError("a stage failed, see above")


@contextlib.contextmanager
def stopping(running: Callable[[], list[subprocess.Popen]]) -> Iterator[list[int]]:
    """Gives a list that holds the signal's number once Ctrl-C or SIGTERM has come.

    The stages then save what they can and end, and so do the DVC processes that run them: all are waited for.
    """
    stopped: list[int] = []

    def stop(number: int, _frame: object) -> None:
        if not stopped:
            stopped.append(number)
            print("stopping: trainings save their states", flush=True)
        for process in running():
            _end_stages(process)

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield stopped
    finally:
        for process in running() if stopped else ():
            process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_stages(process: subprocess.Popen) -> None:
    """Sends SIGTERM to all that a DVC process has started; DVC itself ends when its stage does."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            child.send_signal(signal.SIGTERM)
