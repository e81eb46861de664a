"""The process behind `tracking`: reads calls as JSON lines and has the store carry them out, one process at a time."""

import contextlib
import itertools
import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator

from filelock import FileLock

from bkdsnn import environment
from bkdsnn.paths import project_root
from bkdsnn.tracking.connection import END, LIFE

_EVERY = 1.0  # seconds between two signs of life


def main() -> None:
    ignore_signals()
    serve(socket.socket(fileno=int(sys.argv[1])))


def ignore_signals() -> None:
    """The signals that end a stage are for the stage, whose last calls are still to be stored."""
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)


def serve(line: socket.socket) -> None:
    """Carries out the calls of a line until one closes the run or the line ends, and says over it how that went."""
    with line:
        with _signs_of_life(line):
            reason = _carry_out(line)
        sys.stdout.flush()
        with contextlib.suppress(OSError):  # the stage has been killed
            line.sendall(END + reason.encode())


@contextlib.contextmanager
def _signs_of_life(line: socket.socket) -> Iterator[None]:
    ended = threading.Event()

    def give() -> None:
        while not ended.wait(_EVERY):
            with contextlib.suppress(OSError):  # the stage does not read them before its end
                line.send(LIFE, socket.MSG_DONTWAIT)

    thread = threading.Thread(target=give, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _carry_out(line: socket.socket) -> str:
    """Why not all calls were carried out, or an empty text."""
    try:
        _store_all(line)
    except Exception as error:
        if environment.debugging():
            traceback.print_exc()
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return ""


def _store_all(line: socket.socket) -> None:
    import mlflow  # noqa: F401  (before the lock: it takes seconds)

    from bkdsnn.tracking.mlflow_store import Store

    own_server = (environment.foreign("MLFLOW_TRACKING_URI") or "").startswith(("http", "databricks"))
    # SQLite takes one writer at a time, and two first openings at once break MLflow's set-up of its tables.
    lock = contextlib.nullcontext() if own_server else FileLock(project_root() / ".mlflow.lock", timeout=600)
    store: Store | None = None
    os.chdir(project_root())  # what a relative MLFLOW_TRACKING_URI is relative to, also in a queued run's snapshot
    closed = False
    for call, values in itertools.chain(_calls(line), [("close", {"status": "KILLED"})]):
        if closed:
            break
        closed = call == "close"
        if closed and store:
            store.stop_watching()
        with lock:
            if call == "open":
                store = Store(**values, lock=lock)
            else:
                getattr(store, call)(**values)


def _calls(line: socket.socket) -> Iterator[tuple[str, dict]]:
    with contextlib.suppress(ConnectionResetError), line.makefile() as lines:  # a stage that was killed
        for text in lines:
            yield json.loads(text)


if __name__ == "__main__":
    main()
