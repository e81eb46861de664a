"""What a file that holds no weights is instead, as far as its first bytes and the reader's error tell."""

import re
import zipfile
from pathlib import Path

_ZIP = b"PK\x03\x04"


def told_by(path: Path, error: BaseException | None) -> str:
    """A few words behind a colon, or nothing."""
    with path.open("rb") as file:
        begins = file.read(200)
    said = str(error)
    if not begins:
        return ": it is empty"
    if begins.startswith(b"version https://git-lfs"):
        return ": it is a pointer of Git LFS: `git lfs pull` brings the weights"
    if begins.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return ": it is an HTML page, mostly an error of the server that it was downloaded from"
    if (begins.startswith(_ZIP) and not zipfile.is_zipfile(path)) or "file not fully covered" in said:
        return ": it is cut off, download it again"
    if named := re.search(r"GLOBAL ([\w.]+)", said):
        return f": it holds {named[1]}, and nothing but tensors is unpickled"
    return ""
