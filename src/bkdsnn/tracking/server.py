"""One MLflow process for a whole `make repro`: importing MLflow takes seconds, forking a process that has it none.

It listens on a socket in a private folder and forks a child for each stage's line. It has no thread of Python's, holds
no file of a store, and ends with the process that started it.
"""

import contextlib
import gc
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bkdsnn import environment
from bkdsnn.tracking.location import location
from bkdsnn.tracking.mlflow_process import ignore_signals, serve

_SOCKET = "BKDSNN_TRACKER_SOCKET"
_PATIENCE = 5.0  # seconds that a stage may take to say what it wants
_WAITING = 1024  # stages that may wait for an answer


@contextlib.contextmanager
def running() -> Iterator[None]:
    """Inside, stages that are started hand their calls to one server, which gets ready beside the first of them."""
    with contextlib.ExitStack() as stack:
        if environment.tracked():
            with contextlib.suppress(OSError):  # then each stage starts a process of its own
                stack.enter_context(_started())
        yield


@contextlib.contextmanager
def _started() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="bkdsnn-", ignore_cleanup_errors=True) as folder:  # mode 0700
        path = str(Path(folder) / "tracker")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(_WAITING)  # so that stages need not wait until it is ready
            process = _start(listener)
        environment.put(_SOCKET, path)
        try:
            yield
        finally:
            environment.forget(_SOCKET)
            process.kill()  # stages have ended, and its children with them
            process.wait()
            process.stdin.close()


def _start(listener: socket.socket) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "bkdsnn.tracking.server", str(listener.fileno())],
        stdin=subprocess.PIPE,  # it ends with us: nobody else holds the other end
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[listener.fileno()],
        env={**environment.everything(), "OPENBLAS_NUM_THREADS": "1"},  # no thread of NumPy's
    )


def main() -> None:
    ignore_signals()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended children leave nothing behind
    listener = socket.socket(fileno=int(sys.argv[1]))
    with contextlib.suppress(Exception):  # what is wrong with MLflow, each child finds and tells
        _warm_up()
    gc.freeze()
    while sys.stdin not in (ready := select.select([listener, sys.stdin], [], [])[0]):
        if ready:
            _answer(listener)
    shutil.rmtree(Path(listener.getsockname()).parent, ignore_errors=True)


def _warm_up() -> None:
    """Imports MLflow, and what it imports when a store is opened and used: does so once with one of its own."""
    import mlflow.system_metrics.system_metrics_monitor  # noqa: F401

    from bkdsnn.tracking.mlflow_store import Store

    here = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="bkdsnn-") as folder:
        environment.forget("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_EXP_NAME")
        environment.put("DVC_ROOT", folder)
        environment.put("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")  # no connection outlives its use
        environment.put("MLFLOW_DISABLE_TELEMETRY", "true")  # no thread
        os.chdir(folder)
        store = Store(location=location(), mode="model", name="a")
        store.params({"a": 1})
        store.metrics({"a": 1.0}, step=0)
        store.model("a")
        store.close("FINISHED")
        os.chdir(here)


def _answer(listener: socket.socket) -> None:
    """Forks the child that serves one stage."""
    handles: list[int] = []
    with contextlib.suppress(OSError, ValueError):  # a stage that was killed meanwhile
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(_PATIENCE)
            text, handles, _, _ = socket.recv_fds(connection, 2**16, 3)
            while more := connection.recv(2**16):
                text += more
        request = json.loads(text)
        if os.fork() == 0:
            _be_child(listener, handles, request["environment"], request["folder"])
    for handle in handles:
        os.close(handle)


def _be_child(listener: socket.socket, handles: list[int], variables: dict[str, str], folder: str) -> None:
    """The rest of a child's life, which is that of a process started by the stage."""
    try:
        listener.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        line, *outputs = handles
        for handle, number in zip([os.open(os.devnull, os.O_RDONLY), *outputs], (0, 1, 2), strict=True):
            os.dup2(handle, number)
            os.close(handle)
        environment.replace(variables)
        os.chdir(folder)
        serve(socket.socket(fileno=line))
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
