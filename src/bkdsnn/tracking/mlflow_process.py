"""The process behind `tracking`: reads calls as JSON lines and has the store carry them out, one process at a time."""

import contextlib
import itertools
import json
import os
import signal
import sys

from filelock import FileLock

from bkdsnn import environment
from bkdsnn.paths import project_root
from bkdsnn.tracking.mlflow_store import Store


def main() -> None:
    for ending in (signal.SIGINT, signal.SIGTERM):  # they are for the stage, whose last calls are still to be stored
        signal.signal(ending, signal.SIG_IGN)
    import mlflow  # noqa: F401  (before the lock: it takes seconds)

    own_server = (environment.foreign("MLFLOW_TRACKING_URI") or "").startswith(("http", "databricks"))
    # SQLite takes one writer at a time, and two first openings at once break MLflow's set-up of its tables.
    lock = contextlib.nullcontext() if own_server else FileLock(project_root() / ".mlflow.lock", timeout=600)
    store: Store | None = None
    os.chdir(project_root())  # what a relative MLFLOW_TRACKING_URI is relative to, also in a queued run's snapshot
    calls = (json.loads(line) for line in sys.stdin)
    closed = False
    for call, values in itertools.chain(calls, [("close", {"status": "KILLED"})]):
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


if __name__ == "__main__":
    main()
