"""The line from a stage to the process that carries out its calls: calls go there; signs of life and the end come back.

That process is a fork of the one that `make repro` holds ready (`server`), or else one that is started for this stage.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys

from bkdsnn import environment

SILENCE = 30.0  # seconds without a sign of life, after which the other side is given up
LIFE, END = b".", b"="
_HANDED_OVER = 1.0  # seconds that a server may take to be reached


class Connection:
    """One line; what goes wrong with it is told by `finish` alone."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(SILENCE)
        self._server = environment.read("BKDSNN_TRACKER_SOCKET")
        self._process = None
        with theirs:
            if not (self._server and _hand_over(theirs, self._server)):
                self._process = _start(theirs)
        self._reason = ""

    def send(self, call: str, **values: object) -> None:
        """Hands a call over, unless the other side has ended or has not read for a while."""
        if self._reason:
            return
        try:
            self._socket.sendall(f"{json.dumps([call, values])}\n".encode())
        except TimeoutError:
            self._give_up()
        except OSError:  # it has ended and says why
            return

    def finish(self) -> str:
        """Waits until all calls are carried out; why they were not, or an empty text."""
        with self._socket:
            if not self._reason:
                self._wait()
        return self._reason

    def _wait(self) -> None:
        said = b""
        try:
            with contextlib.suppress(OSError):  # the other side has ended
                self._socket.shutdown(socket.SHUT_WR)
            while received := self._socket.recv(4096):
                said += received.lstrip(LIFE) if not said else received
        except TimeoutError:
            self._give_up()
            return
        except OSError:  # the same as its end
            pass
        self._reason = said[1:].decode(errors="replace") if said.startswith(END) else "its process was ended"
        if self._process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(SILENCE)

    def _give_up(self) -> None:
        self._reason = f"its process has not answered for {SILENCE:.0f} s"
        if not self._process:
            with contextlib.suppress(OSError):  # other stages need not wait for it
                os.unlink(self._server)


def _hand_over(line: socket.socket, server: str) -> bool:
    """Whether a server has taken a line, this process's outputs, environment and folder."""
    request = json.dumps({"environment": environment.everything(), "folder": os.getcwd()}).encode()
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_HANDED_OVER)
            connection.connect(server)
            sent = socket.send_fds(connection, [request], [line.fileno(), 1, 2])
            connection.sendall(request[sent:])
        return True
    except OSError:  # it has ended, or does not answer
        return False


def _start(line: socket.socket) -> subprocess.Popen:
    command = [sys.executable, "-m", "bkdsnn.tracking.mlflow_process", str(line.fileno())]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[line.fileno()])
