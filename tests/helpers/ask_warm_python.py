"""Asks the server of warm_python.py; a file of its own, as it begins once for every process and imports little.

`python ask_warm_python.py SOCKET python ARGUMENTS...`
"""

import contextlib
import json
import os
import signal
import socket
import sys

ENOUGH = 32  # bytes of a number


def ask(path: str, *arguments: str) -> int:
    """Lets a child of the server run `python ARGUMENTS...` with what this process has; its exit code."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.connect(path)
        request = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
        socket.send_fds(server, [json.dumps(request).encode()], [0, 1, 2])
        child = int(server.recv(ENOUGH))
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: pass_on(child, number))
        code = int(server.recv(ENOUGH))
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL is as it always was
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def pass_on(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(ask(*sys.argv[1:]))
