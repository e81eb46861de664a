"""The process behind `tracking`: reads calls as JSON lines and has the store carry them out, one process at a time."""

import contextlib
import itertools
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterator

from bkdsnn import environment
from bkdsnn.errors import InputError
from bkdsnn.paths import project_root
from bkdsnn.tracking import reach
from bkdsnn.tracking.connection import END
from bkdsnn.tracking.liveness import Liveness
from bkdsnn.tracking.location import Location, location

# Seconds that a call may take: one to a server, one to files (which waits for its turn), and one that copies files.
_TO_SERVER, _TO_FILES, _COPIES = 8.0, 120.0, 600.0
_COPYING = ("artifact", "register")


def main() -> None:
    ignore_signals()
    serve(socket.socket(fileno=int(sys.argv[1])))


def ignore_signals() -> None:
    """The signals that end a stage are for the stage, whose last calls are still to be stored."""
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)


def serve(line: socket.socket) -> None:
    """Carries out the calls of a line until one closes the run or the line ends, and says over it how that went."""
    with line:
        reason = _try_all(line)
        sys.stdout.flush()
        with contextlib.suppress(OSError):  # the stage has been killed
            line.sendall(END + reason.encode())


def _try_all(line: socket.socket) -> str:
    """Why not all calls were carried out, in one line, or an empty text."""
    try:
        store = location()
    except InputError as error:
        return str(error)
    try:
        with Liveness(line, lambda: _overdue(store)) as liveness:
            _carry_out_all(line, store, liveness)
    except Exception as error:
        if environment.debugging():
            print(store.without_secrets(traceback.format_exc()), file=sys.stderr)
        return str(error) if isinstance(error, InputError) else store.in_one_line(error)
    return ""


def _overdue(store: Location) -> str:
    reason = f"{store.shown} has not answered in time"
    reach.remember(store, reason)
    return reason


def _carry_out_all(line: socket.socket, location: Location, liveness: Liveness) -> None:
    os.chdir(project_root())
    with liveness.within(_TO_SERVER):
        reach.check(location)
    from bkdsnn.tracking.mlflow_store import Store  # before the lock: it takes seconds

    store: Store | None = None
    closed = False
    for call, values in itertools.chain(_calls(line), [("close", {"status": "KILLED"})]):
        if closed or not (store or call == "open"):
            break
        closed = call == "close"
        with liveness.within(_allowed(call, location)):
            if call in _COPYING:
                reach.check(location)
            if closed and store:
                store.stop_watching()
            with reach.turn(location):
                if call == "open":
                    store = Store(**values, location=location)
                else:
                    getattr(store, call)(**values)


def _allowed(call: str, location: Location) -> float:
    if call in _COPYING:
        return _COPIES
    return _TO_SERVER if location.answers else _TO_FILES


def _calls(line: socket.socket) -> Iterator[tuple[str, dict]]:
    with contextlib.suppress(ConnectionResetError), line.makefile() as lines:  # a stage that was killed
        for text in lines:
            yield json.loads(text)


if __name__ == "__main__":
    main()
