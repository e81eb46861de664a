"""How a store is opened: a SQLite file whole or not at all, at home where it lies, and without MLflow's tracebacks."""

import contextlib
import logging
import sqlite3
from pathlib import Path

from mlflow import MlflowClient
from mlflow.store.db import utils

from bkdsnn import environment
from bkdsnn.errors import InputError
from bkdsnn.files import new_file, sweep
from bkdsnn.tracking.location import Location
from bkdsnn.tracking.names import experiment_tags

EXPERIMENT = "bkdsnn"
_HOME = "bkdsnn.home"  # where a store's artifacts lay when it was last opened
_PLACES = ("artifact_location", "artifact_uri", "source", "storage_location")  # columns that hold addresses
_BUSY = 5.0  # seconds that another program may keep the database


def opened(store: Location, *, make: bool = True) -> MlflowClient:
    """The client of a store, to be called in turn; `InputError` where it cannot be used, or is not there (`make`)."""
    if store.database:
        _care_for(store, make=make)
    return MlflowClient(store.uri)


def experiment(client: MlflowClient, store: Location) -> str:
    """The id of the experiment, which is made where it is missing; `InputError` where it is deleted."""
    name = environment.foreign("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    found = client.get_experiment_by_name(name)
    if found and found.lifecycle_stage == "deleted":
        restore = f"mlflow experiments restore --experiment-id {found.experiment_id}"
        raise InputError(f"{store.shown}: the experiment '{name}' is deleted; `{restore}` brings it back")
    key = found.experiment_id if found else client.create_experiment(name, artifact_location=store.artifacts)
    tags = experiment_tags()
    if store.artifacts and (not found or found.artifact_location == store.artifacts):
        tags[_HOME] = store.artifacts
    for tag, value in tags.items():
        if not found or found.tags.get(tag) != value:
            client.set_experiment_tag(key, tag, value)
    return key


def be_quiet() -> None:
    """From here on what is wrong is told once, by us, and what fails is not tried for minutes."""
    for name in ("mlflow", "alembic", "urllib3"):  # mlflow sets its own level when it is imported
        logging.getLogger(name).setLevel(logging.CRITICAL)
    utils.MAX_RETRY_COUNT = 1
    environment.put("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # it would print user and password
    environment.put_default("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    environment.put_default("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    environment.put_default("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    environment.put_default("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")


def _care_for(store: Location, *, make: bool) -> None:
    path = store.database
    if make:
        sweep(path.parent)
    if not path.exists() or (make and path.stat().st_size == 0):
        if not make:
            raise InputError(f"{path}: there is no store; call this in the checkout, or set MLFLOW_TRACKING_URI")
        _make(path)
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=_BUSY)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master").fetchall()}
            if "alembic_version" not in tables:
                raise InputError(f"{path}: no database of MLflow, or half of one")
            if make:
                database.execute("BEGIN IMMEDIATE").connection.rollback()
            _bring_home(database, store)
    except sqlite3.Error as error:
        raise InputError(f"{path}: {error}") from error


def _make(path: Path) -> None:
    """Makes the tables under another name: a kill must not leave half of them."""
    with new_file(path) as partial:
        MlflowClient(f"sqlite:///{partial}").search_experiments()


def _bring_home(database: sqlite3.Connection, store: Location) -> None:
    """Where a store was copied or moved, its addresses of artifacts are of the other place: makes them of this one."""
    before, here = _home(database, store), store.artifacts
    if before in (None, here):
        return
    with database:
        for table, column in _columns(database):
            begins = f'"{column}" = :old OR substr("{column}", 1, :count + 1) = :old || \'/\''
            change = f'UPDATE "{table}" SET "{column}" = :new || substr("{column}", :count + 1) WHERE {begins}'
            database.execute(change, {"old": before, "new": here, "count": len(before)})
        database.execute("UPDATE experiment_tags SET value = ? WHERE key = ?", (here, _HOME))
    print(f"MLflow: the store was at home in {before}; its artifacts are now looked for in {here}", flush=True)


def _home(database: sqlite3.Connection, store: Location) -> str | None:
    """Where the store's artifacts lay; None where MLflow has not made its tables, or somebody has chosen the place."""
    tagged = f"SELECT value FROM experiment_tags WHERE key = '{_HOME}'"
    made = f"SELECT artifact_location FROM experiments WHERE name = '{EXPERIMENT}'"
    try:
        found = database.execute(tagged).fetchone()
        if not found and store.embedded:  # made before there was this tag
            found = database.execute(f"{made} AND artifact_location LIKE 'file:///%/mlartifacts'").fetchone()
    except sqlite3.OperationalError:
        return None
    return found[0] if found else None


def _columns(database: sqlite3.Connection) -> list[tuple[str, str]]:
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    places = [(table, row[1]) for table in tables for row in database.execute(f'PRAGMA table_info("{table}")')]
    return [place for place in places if place[1] in _PLACES]
