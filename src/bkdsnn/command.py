"""What every stage script and tool has in common: its arguments, its log, which of a launcher's processes work, and how
errors and signals end them.
"""

import contextlib
import inspect
import logging
import os
import re
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from bkdsnn import environment
from bkdsnn.distributed import launcher
from bkdsnn.errors import InputError, explained

_PATIENCE = 20.0  # seconds
_FROM_SIGNAL = 128  # the exit code that shells give a process which a signal ended, less the signal's number
_PEER_GONE = re.compile(
    r"closed by (remote )?peer|reset by peer|broken pipe|ncclRemoteError|remote process exited|was aborted on rank",
    re.IGNORECASE,
)
_received: list[signal.Signals] = []


def begin() -> None:
    """The boundary of errors for all that a script does from here on, so also for its imports, which take seconds.

    Whatever a user, the system or a signal ends it with is one line on stderr, and exit code 1, for a signal 128 and
    its number. A mistake of ours is a traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a sign shows its code
    sys.excepthook = _in_one_line
    for number in launcher.endings():
        signal.signal(number, _interrupt)


def run_stage(work: Callable[..., None], *, parallel: bool = False) -> None:
    """Calls `work(*arguments)` within the boundary.

    Of several processes that a launcher started process 0 works alone, unless all of them can work on it (`parallel`).
    """
    begin()
    try:
        if not parallel and not _goes_alone():
            return
        logging.raiseExceptions = False  # a log that nobody reads ends nothing
        logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
        logging.getLogger("bkdsnn").setLevel(logging.ERROR if launcher.rank() else logging.INFO)
        environment.check()
        work(*_arguments_of(work))
        if sys.stdout:
            sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        _end(work.__name__.strip("_"), error)
        raise
    finally:
        _end_helpers()


def _interrupt(number: int, _frame: object) -> None:
    """Every signal that asks for the end does as Ctrl-C does, so that what is half-written is removed.

    A scheduler asks again and again: what the first one began is not broken off, but by Ctrl-C.
    """
    _received.append(signal.Signals(number))
    if len(_received) == 1 or number == signal.SIGINT:
        raise KeyboardInterrupt


def _in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Python's last word on an error that was not caught, mostly in an import."""
    try:
        _end(Path(sys.argv[0]).stem, error)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)
    sys.__excepthook__(kind, error, trace)


def _end(name: str, error: BaseException) -> None:
    """Ends the process in the way that fits the error; returns where only a traceback helps."""
    if isinstance(error, KeyboardInterrupt):
        number = _received[0] if _received else signal.SIGINT
        print(f"{name}: {number.name}: stopped; the same command goes on", file=sys.stderr)
        raise SystemExit(_FROM_SIGNAL + number) from None
    if isinstance(error, BrokenPipeError) and _is_unheard():
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python fails once more as it ends
        raise SystemExit(_FROM_SIGNAL + signal.SIGPIPE) from None
    others = _of_the_others(error)
    if line := others or explained(error):
        if environment.debugging():
            traceback.print_exception(error)
        _stop(f"{name}: {line}", at_once=not others)


def _goes_alone() -> bool:
    """Whether this process does the work, as the only one."""
    if launcher.rank() > 0:
        return False
    launcher.go_alone()
    return True


def _arguments_of(work: Callable[..., None]) -> list[str]:
    """The command line's arguments; `InputError` where `work` takes others."""
    given, wanted = sys.argv[1:], inspect.signature(work)
    try:
        wanted.bind(*given)
    except TypeError:
        names = ", ".join(wanted.parameters) or "nothing"
        raise InputError(f"takes {names}, got {' '.join(given) or 'nothing'}") from None
    return given


def _end_helpers() -> None:
    """Ends worker processes that are left, for which Python would wait."""
    if multiprocessing := sys.modules.get("multiprocessing"):
        for child in multiprocessing.active_children():
            child.terminate()


def _of_the_others(error: BaseException) -> str | None:
    """What gloo, NCCL and torch's store say where the process at the other end is gone."""
    ended = isinstance(error, RuntimeError) and _PEER_GONE.search(str(error)) and launcher.world_size() > 1
    return "another process of this stage has ended" if ended else None


def _is_unheard() -> bool:
    """Whether nobody reads any more what is printed."""
    if not sys.stdout:
        return False
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _stop(line: str, *, at_once: bool) -> NoReturn:
    """Ends the stage with one line on stderr, at once, or if nobody else has ended it after a while.

    What all processes would say process 0 says, and what one alone would say, that one: the launcher ends the others.
    """
    with contextlib.suppress(InputError):  # the launcher's variables themselves may be what is wrong
        if launcher.rank() > 0 or not at_once:
            time.sleep(_PATIENCE)
    sys.exit(line)
