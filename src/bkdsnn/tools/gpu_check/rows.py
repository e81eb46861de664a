"""One line of the report, and how the process that makes it hands it to its parent, which imports no torch."""

import contextlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from bkdsnn.errors import explained

_MARK = "row: "


class Row(NamedTuple):
    """What was looked at and what was found; `good` says whether it is as it should be (None: a fact, no test)."""

    name: str
    found: str
    good: bool | None = None
    numbers: dict[str, Any] | None = None


def tell(row: Row) -> None:
    """Hands a row to the parent."""
    print(_MARK + json.dumps(row._asdict()), flush=True)


def heard(line: str) -> Row | None:
    """The row that a line of a child's output holds."""
    return Row(**json.loads(line.removeprefix(_MARK))) if line.startswith(_MARK) else None


@contextlib.contextmanager
def attempt(name: str) -> Iterator[None]:
    """What fails inside becomes a row, and the next one is tried."""
    try:
        yield
    except Exception as error:
        said = explained(error) or f"{type(error).__name__}: {' '.join(str(error).split())}"
        tell(Row(name, said[:300], good=False))


def printed(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows, each printed as it comes."""
    signs = {True: "ok  ", False: "BAD ", None: "    "}
    for row in rows:
        print(f"  {signs[row.good]}{row.name:44}  {row.found}", flush=True)
        yield row
