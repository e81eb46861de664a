"""A Python in which third parties' packages are imported already, for tests that start stages by the dozen.

To import torch and what comes with it takes longer than most stages work on made-up data. One process imports them once
and forks itself for whoever asks. Nothing of ours is imported beforehand: every process runs the code that its folder
and PYTHONPATH name. What is about processes (their start, their end, launchers, SIGKILL) is tested without it, and so
is one whole `dvc repro`.

`python warm_python.py DESCRIPTOR` serves at a socket that listens; ask_warm_python.py asks.
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
import types
from multiprocessing import process
from pathlib import Path
from typing import NoReturn

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
ASK = Path(__file__).with_name("ask_warm_python.py")
_started = []  # the server of this process and its folder, which end with it
_starting = threading.Lock()


def warm() -> list[str]:
    """A command that takes `python ARGUMENTS...`, also as `$LAUNCH`; nothing where the system cannot do it (macOS)."""
    with _starting:
        if not _started and hasattr(os, "pidfd_open"):
            _start()
    return [f"{_started[0].name}/warm"] if _started else []


def _start() -> None:
    """The command lies beside the socket, at which nobody listens once the server has ended."""
    from bkdsnn import portable

    folder = tempfile.TemporaryDirectory(prefix="warm-")
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    once = {**portable._INSTRUCTIONS, "MPLBACKEND": "agg"}  # read where numpy, torch and matplotlib are imported
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(f"{folder.name}/socket")
        listening.listen()
        server = subprocess.Popen(
            [sys.executable, "-P", __file__, str(listening.fileno())],
            stdin=subprocess.PIPE,
            env={**kept, **once},
            pass_fds=[listening.fileno()],
            start_new_session=True,
        )
    with open(f"{folder.name}/warm", "w", opener=lambda path, flags: os.open(path, flags, 0o755)) as file:
        file.write(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{ASK}" "{folder.name}/socket" "$@"\n')
    _started.extend((folder, server))


def serve(listening: socket.socket) -> None:
    """Forks for whoever asks until stdin ends; returns in a child that is to run Python."""
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # so that children share the memory
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while select.select([listening, sys.stdin], [], [])[0] == [listening]:
        connection, _ = listening.accept()
        with connection:
            if os.fork() == 0:
                listening.close()
                return _answer(connection)
    os._exit(0)


def _answer(connection: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, files, *_ = socket.recv_fds(connection, MOST, 3)
    if child := os.fork():
        for file in files:
            os.close(file)
        _watch(child, connection)
    os.setpgid(0, 0)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115
    _become(**json.loads(request))


def _watch(child: int, connection: socket.socket) -> NoReturn:
    """Tells who asked for the child its number and how it ended; who was killed takes it along."""
    with contextlib.suppress(OSError):
        os.setpgid(child, child)
    ended = os.pidfd_open(child)
    with contextlib.suppress(OSError):
        connection.send(str(child).encode())
    if ended not in select.select([ended, connection], [], [])[0]:
        _kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        connection.send(str(code).encode())
    os._exit(0)


def _kill(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _become(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    """What `python ARGUMENTS...` finds as it starts: environment, folder, arguments, and where it looks for modules."""
    from numpy import random

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    process.ORIGINAL_DIR = folder  # where workers that multiprocessing spawns look for the script
    random.seed()  # noqa: NPY002 (the global state is another in every new process)
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in environment
    sys.argv = arguments[1:]
    own = folder if sys.argv[0] == "-m" else os.path.dirname(sys.argv[0])
    listed = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:0] = [os.path.abspath(place) for place in (own, *listed)]


def run() -> NoReturn:
    """Runs the script of `sys.argv`, or the module behind -m; ends without freeing the memory, which is shared."""
    code = 0
    try:
        if sys.argv[0] == "-m":
            del sys.argv[0]
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            _run_script(os.path.abspath(sys.argv[0]))
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


def _run_script(path: str) -> None:
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__file__ = path
    with open(path, "rb") as file:
        exec(compile(file.read(), path, "exec"), vars(main))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
    run()
