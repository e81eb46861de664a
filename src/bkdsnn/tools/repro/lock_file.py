"""dvc.lock in the order that one `dvc repro` writes, whatever ran first."""

import os
import re
from pathlib import Path

from bkdsnn.files import flush

LOCK = Path("dvc.lock")


def put_in_order(stages: list[str]) -> None:
    """Puts the entries of these stages into this order; those of other tables stay where they are."""
    if not LOCK.is_file():
        return
    text = LOCK.read_text(encoding="utf-8")
    head, *entries = re.split(r"(?m)^(?=  [^ \n])", text)
    names = [entry.split(":", 1)[0].strip() for entry in entries]
    by_name = dict(zip(names, entries, strict=True))
    ordered = iter([stage for stage in stages if stage in by_name])
    known = set(stages)
    written = head + "".join(by_name[next(ordered)] if name in known else by_name[name] for name in names)
    if written != text:
        partial = LOCK.with_name(f"{LOCK.name}.partial-{os.getpid()}")
        partial.write_text(written, encoding="utf-8")
        flush(partial)
        os.replace(partial, LOCK)
