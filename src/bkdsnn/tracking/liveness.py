"""Signs of life of the process that carries out a stage's calls, as long as no call takes longer than it may."""

import contextlib
import fcntl
import os
import socket
import termios
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

from bkdsnn.tracking.connection import END, LIFE

_EVERY = 0.5  # seconds between two signs of life


class Liveness:
    """Gives signs over a line; ends the process, and says why, where a call is overdue."""

    def __init__(self, line: socket.socket, overdue: Callable[[], str]) -> None:
        self._line, self._overdue = line, overdue
        self._deadline = float("inf")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What is done inside may take so long."""
        self._deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self._deadline = float("inf")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY):
            if _all_read(self._line):  # the stage reads at its end, and what is said last must find room
                with contextlib.suppress(OSError):
                    self._line.send(LIFE, socket.MSG_DONTWAIT)
            if time.monotonic() > self._deadline:
                with contextlib.suppress(OSError):
                    self._line.sendall(END + self._overdue().encode())
                os._exit(1)


def _all_read(line: socket.socket) -> bool:
    """Whether the other side has read all that was sent to it."""
    return fcntl.ioctl(line, termios.TIOCOUTQ, bytes(4)) == bytes(4)
