"""Signs of life of the process that carries out a stage's calls, as long as no call takes longer than it may."""

import contextlib
import os
import socket
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
            with contextlib.suppress(OSError):  # the stage does not read them before its end
                self._line.send(LIFE, socket.MSG_DONTWAIT)
            if time.monotonic() > self._deadline:
                with contextlib.suppress(OSError):
                    self._line.sendall(END + self._overdue().encode())
                os._exit(1)
