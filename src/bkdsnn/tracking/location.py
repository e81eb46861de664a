"""Where MLflow's store is, and how it is shown to people: without what is secret."""

import contextlib
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from bkdsnn import environment, paths
from bkdsnn.errors import InputError

LOCKED = 60.0  # seconds that a process waits for another one's turn with a store in files
_LONG = 400  # characters of a line
_SQLITE = re.compile(r"(sqlite(?:\+\w+)?):///(?:file:)?([^?]*)(.*)")


class Location(NamedTuple):
    """A store: its address as MLflow takes it from any folder, and what of it lies in files here."""

    uri: str
    database: Path | None = None  # of SQLite
    folder: Path | None = None  # of MLflow's own format

    @property
    def shown(self) -> str:
        """The address without user, password and query."""
        scheme, separator, rest = self.uri.partition("://")
        return (scheme + separator + rest.rpartition("@")[2] if separator else self.uri).partition("?")[0]

    @property
    def artifacts(self) -> str | None:
        """Where the artifacts of a SQLite store lie: beside it. Others say so themselves."""
        return (self.database.parent / "mlartifacts").as_uri() if self.database else None

    @property
    def embedded(self) -> bool:
        """Whether it is the store of this checkout."""
        return self.database == paths.store()  # not where that is a link to another

    @property
    def answers(self) -> bool:
        """Whether a server of MLflow's is behind it, which takes calls from many at once."""
        return self.uri.startswith(("http", "databricks"))

    def lock(self) -> contextlib.AbstractContextManager:
        """What is held while something is written: SQLite takes one writer, and two first openings break a store."""
        if self.answers:
            return contextlib.nullcontext()
        path = self.database or self.folder or paths.store()
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.stem}.lock")
        lock.touch()  # where no file can be the system says so, FileLock might wait
        return FileLock(lock, timeout=LOCKED)

    def in_one_line(self, error: Exception) -> str:
        """What an error of MLflow's or of the system says of this store."""
        text = next(iter(str(error).splitlines()), "") or type(error).__name__
        text = text.partition(" with exception ")[0]  # of requests': its words are for its authors
        return self.without_secrets(f"{self.shown}: {' '.join(text.split())}")[:_LONG]

    def without_secrets(self, text: str) -> str:
        """A text that may quote the address."""
        rest = self.uri.partition("://")[2]
        known, found, _ = rest.rpartition("@")
        if found:
            text = text.replace(f"{known}@", "")
            if password := known.partition(":")[2]:
                text = text.replace(password, "***").replace(unquote(password), "***")
        text = re.sub(r"://[^/@\s'\"]*@", "://", text)
        return re.sub(r"(://[^\s?'\"]*)\?[^\s'\")]*", r"\1", text)


def location() -> Location:
    """The store that MLFLOW_TRACKING_URI names, relative to the main checkout, or mlflow.db there."""
    named = (environment.foreign("MLFLOW_TRACKING_URI") or "").strip() or f"sqlite:///{paths.store()}"
    root = paths.store().parent
    if named.startswith("sqlite"):
        return _sqlite(named, root)
    parts = urlsplit(named) if named.startswith("file:") else None
    if parts or not re.match(r"databricks|uc(:|$)|[\w.+-]+://", named):
        path = (root / (unquote(parts.path) if parts else named)).resolve()
        return Location(path.as_uri(), folder=path)
    return Location(named)


def _sqlite(named: str, root: Path) -> Location:
    found = _SQLITE.fullmatch(named)
    if not found or found[2] in ("", ":memory:"):
        raise InputError("MLFLOW_TRACKING_URI: names no file of SQLite: wanted sqlite:////FOLDER/FILE.db")
    path = (root / found[2]).resolve()
    query = re.sub(r"\buri=\w+&?|[?&]$", "", found[3])  # the address is then a plain path
    return Location(f"{found[1]}:///{path}{query if query != '?' else ''}", database=path)
