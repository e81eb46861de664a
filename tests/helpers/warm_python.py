"""A Python in which third parties' packages are imported already, for tests that start processes by the dozen.

To import torch and what comes with it takes longer than most stages work on made-up data. One process imports them once
and forks itself for whoever asks: `warm()` is what asks it, in place of `python`, or as the `$LAUNCH` of dvc.yaml.
Nothing of ours is imported beforehand: every process runs the code that its folder and PYTHONPATH name, with the
signals, files, environment and exit code of a process of its own. One whole `dvc repro` is tested without it.

`python warm_python.py serve SOCKET` serves; `python warm_python.py ask SOCKET python ARGUMENTS...` asks.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from functools import cache
from multiprocessing import process
from pathlib import Path
from typing import NoReturn
from unittest import mock

IMPORTED = (
    "lightning_fabric",
    "matplotlib.pyplot",
    "pandas",
    "safetensors.torch",
    "scipy.stats",
    "spikingjelly.activation_based.layer",
    "timm.optim",
    "torch._dynamo",
    "yaml",
)
MOST = 2**17  # bytes of a request


@cache
def warm() -> list[str]:
    """A command that takes `python ARGUMENTS...`; its server starts where nobody has asked yet, and ends with us."""
    from bkdsnn import portable

    path = Path(tempfile.mkdtemp(prefix="warm-")) / "socket"
    with mock.patch.dict(os.environ):
        portable.use()  # read once, where numpy and torch are imported
        subprocess.Popen([sys.executable, "-I", __file__, "serve", str(path)], stdin=subprocess.PIPE)
    return [sys.executable, "-I", "-S", __file__, "ask", str(path)]


def ask(path: str, *arguments: str) -> int:
    """Lets a child of the server run `python ARGUMENTS...` with what this process has; its exit code."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        while server.connect_ex(path) != 0:  # it begins to listen once all is imported
            select.select([], [], [], 0.05)
        request = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
        socket.send_fds(server, [json.dumps(request).encode()], [0, 1, 2])
        child = int(server.recv(MOST))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: os.killpg(child, number))
        code = int(server.recv(MOST))
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def serve(path: str) -> None:
    """Forks for whoever asks until stdin ends; returns in a child that is to run Python."""
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # so that children share the memory
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(path)
        listening.listen()
        while select.select([listening, sys.stdin], [], [])[0] == [listening]:
            connection, _ = listening.accept()
            with connection:
                if os.fork() == 0:
                    return _answer(connection)
    os._exit(0)


def _answer(connection: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, files, *_ = socket.recv_fds(connection, MOST, 3)
    if child := os.fork():
        _watch(child, connection)
    os.setpgid(0, 0)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    _become(**json.loads(request))


def _watch(child: int, connection: socket.socket) -> NoReturn:
    """Tells who asked for the child its number and how it ended; who was killed takes it along."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.setpgid(child, child)
    for file in (0, 1, 2):
        os.close(file)
    with contextlib.suppress(BrokenPipeError):
        connection.send(str(child).encode())
        ended = os.pidfd_open(child)
        if ended not in select.select([ended, connection], [], [])[0]:
            os.killpg(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        connection.send(str(code).encode())
    os._exit(0)


def _become(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    """What `python ARGUMENTS...` finds as it starts: environment, folder, arguments, and where it looks for modules."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    process.ORIGINAL_DIR = folder  # where workers that multiprocessing spawns look for the script
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in environment
    sys.argv = arguments[1:]
    own = folder if sys.argv[0] in ("-c", "-m") else os.path.dirname(sys.argv[0])
    listed = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:0] = [os.path.abspath(place) for place in (own, *listed)]


def _run() -> None:
    """Runs the code, module or script that `sys.argv` begins with."""
    if sys.argv[0] == "-c":
        exec(compile(sys.argv.pop(1), "<string>", "exec"), {"__name__": "__main__"})
    elif sys.argv[0] == "-m":
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


def end(code: str | int | None) -> NoReturn:
    """Ends as Python would, but that it does not free all memory first, which is shared."""
    if isinstance(code, str):
        print(code, file=sys.stderr)
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1 if isinstance(code, str) else code or 0)


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        sys.exit(ask(*sys.argv[2:]))
    serve(sys.argv[2])
    try:
        _run()
    except SystemExit as ended:
        end(ended.code)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        end(1)
    end(0)
