"""A process in which damaged files are read, with an end to its time and memory; what kills it kills nothing else."""

import resource
import signal
import sys
import tempfile
import time
import warnings
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

from bkdsnn.tools.fuzz.target import READ, Bench, Outcome, Target

LIMIT = 10.0  # seconds a case
_START = 120.0  # seconds until whole files are read: imports, compilation
_ROOM = 2 << 30  # bytes that a case may take


class TooLong(BaseException):
    """A case takes longer than `LIMIT`; no reader catches it."""


class Worker:
    """Reads cases in a process of its own, which is started anew after a case that has ended it."""

    def __init__(self, *, seed: str, limit: float = LIMIT) -> None:
        self.seed, self.limit, self.seconds = seed, limit, 0.0
        self._process = None

    def __enter__(self) -> Self:
        self._place = tempfile.TemporaryDirectory()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end()
        self._place.cleanup()

    def run(self, target: Target, case: int) -> Outcome:
        """What becomes of a case, and in `seconds` how long it took."""
        if self._process is None:
            self._start()
        if target.name not in self._ready:
            self._ready.add(target.name)
            self._pipe.send((target, None))
            if (whole := self._answer(target, _START)).found:
                raise RuntimeError(f"{target.name}: whole files: {whole.verdict}")
        start = time.monotonic()
        self._pipe.send((target, case))
        outcome = self._answer(target, self.limit * 2)
        self.seconds = time.monotonic() - start
        return outcome

    def changed(self, target: Target, outcome: Outcome) -> bytes:
        """The damaged file of the case that was run last."""
        path = self._folder / target.name / "case" / outcome.changed
        return path.read_bytes() if path.is_file() else b""

    def _start(self) -> None:
        self._folder, self._ready = Path(tempfile.mkdtemp(dir=self._place.name)), set()
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, self.seed, self._folder, self.limit)
        self._process = context.Process(target=_work, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def _answer(self, target: Target, seconds: float) -> Outcome:
        try:
            if self._pipe.poll(seconds):
                return self._pipe.recv()
            verdict = f"no answer in {seconds:g} s, not even to a signal"
        except (EOFError, ConnectionError):
            self._process.join()
            verdict = f"the process ended with code {self._process.exitcode}"
        self._end()
        current = self._folder / target.name / "current"
        return Outcome(verdict, current.read_text(encoding="utf-8") if current.is_file() else "")

    def _end(self) -> None:
        if self._process is not None:
            self._pipe.close()  # which ends it, if it still listens
            self._process.join(1)
            self._process.kill()
            self._process.join()
            self._process = None


def _work(pipe: Connection, seed: str, folder: Path, limit: float) -> None:
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _too_long)
    benches: dict[str, Bench] = {}
    while (job := _next(pipe)) is not None:
        target, case = job
        if case is None:
            _bound_memory(None)
            benches[target.name] = Bench(target, folder / target.name)
            _bound_memory(_ROOM)
            pipe.send(Outcome(READ, ""))
        else:
            pipe.send(_outcome(benches[target.name], case, seed=seed, limit=limit))


def _next(pipe: Connection) -> tuple[Target, int | None] | None:
    try:
        return pipe.recv()
    except EOFError:
        return None


def _outcome(bench: Bench, case: int, *, seed: str, limit: float) -> Outcome:
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        return bench.run(case, seed=seed)
    except TooLong:
        return Outcome(f"read for more than {limit:g} s", bench.current)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _too_long(_number: int, _frame: object) -> None:
    raise TooLong


def _bound_memory(room: int | None) -> None:
    """An allocation of more than `room` bytes is a MemoryError, whoever asks for it."""
    if sys.platform == "linux":
        has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        soft = resource.RLIM_INFINITY if room is None else has + room
        resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))
