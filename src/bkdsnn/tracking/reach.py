"""Whether a store answers. One that has kept a stage waiting is left alone for a while by all stages that follow."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from filelock import Timeout

from bkdsnn import environment, paths
from bkdsnn.errors import InputError
from bkdsnn.files import read_json
from bkdsnn.tracking.location import LOCKED, Location

_CONNECT, _READ = 3.0, 3.0  # seconds
_WAITED = 1.0  # seconds; a server that refuses at once may be asked again at once
_AGAIN = 600.0  # seconds
_DATABASES = ("mysql", "postgresql", "mssql")  # that MLflow takes beside SQLite


class Unanswered(InputError):
    """A store that does not answer."""


@contextlib.contextmanager
def turn(store: Location) -> Iterator[None]:
    """Holds the store's lock; raises `Unanswered` where another process does not let it go."""
    lock = store.lock()
    try:
        lock.__enter__()
    except Timeout as error:
        reason = f"{error.lock_file}: another process has held it for {LOCKED:.0f} s (is it stopped?)"
        remember(store, reason)
        raise Unanswered(reason) from None
    with contextlib.ExitStack() as stack:
        stack.push(lock)
        yield


def check(store: Location) -> None:
    """Raises `Unanswered` where a server does not answer within seconds, or the store did not a while ago.

    `InputError` where the driver of its database is not installed, which MLflow would take many seconds to find.
    """
    _check_driver(store)
    if reason := _remembered(store):
        raise Unanswered(reason)
    start = time.monotonic()
    try:
        _knock(store)
    except (OSError, ValueError) as error:  # what requests raises is an OSError
        reason = f"{store.shown} does not answer ({type(error).__name__})"
        if time.monotonic() - start > _WAITED:
            remember(store, reason)
        raise Unanswered(reason) from None


def _check_driver(store: Location) -> None:
    scheme = store.uri.partition("://")[0]
    if scheme.partition("+")[0] not in _DATABASES:
        return
    import sqlalchemy

    try:
        sqlalchemy.make_url(store.uri).get_dialect().import_dbapi()
    except ImportError as error:
        lacking = f"the driver of {scheme} is not installed (no module named {error.name})"
        raise InputError(f"{store.shown}: {lacking}: install it beside MLflow, or name another store") from error
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise InputError(f"MLFLOW_TRACKING_URI: {store.in_one_line(error)}") from error


def remember(store: Location, reason: str) -> None:
    """Lets the stages that follow know: those of the same `make repro`, else those of the same command."""
    note = {"store": store.shown, "group": os.getpgrp(), "reason": f"{reason}; not tried again for 10 minutes"}
    with contextlib.suppress(OSError):
        _note().parent.mkdir(exist_ok=True)
        _note().write_text(json.dumps(note), encoding="utf-8")


def _remembered(store: Location) -> str:
    with contextlib.suppress(OSError, InputError):
        note = read_json(_note())
        fresh = time.time() - _note().stat().st_mtime < _AGAIN
        if fresh and (note.get("store"), note.get("group")) == (store.shown, os.getpgrp()):
            return str(note.get("reason"))
    return ""


def _note() -> Path:
    server = environment.read("BKDSNN_TRACKER_SOCKET")
    return (Path(server).parent if server else paths.unfinished()) / "mlflow-unanswered.json"


def _knock(store: Location) -> None:
    """Any answer will do; user and password are not sent."""
    if store.database or store.folder:
        return
    parts = urlsplit(store.uri)
    if parts.scheme in ("http", "https"):
        import requests

        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}/health"
        with contextlib.suppress(requests.exceptions.SSLError):  # it answers; what is wrong MLflow says
            requests.get(address, timeout=(_CONNECT, _READ), auth=lambda request: request, stream=True).close()
    elif parts.hostname and parts.port:
        socket.create_connection((parts.hostname, parts.port), _CONNECT).close()
