"""Files that a package of the extra `events` reads: what it raises becomes one line that names the recording."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bkdsnn.errors import InputError


@contextmanager
def as_file(*parts: bytes, where: Path, library: str) -> Iterator[str]:
    """A passing file of these bytes, by its path, for a library that opens files alone."""
    with tempfile.NamedTemporaryFile() as file:
        file.writelines(parts)
        file.flush()
        try:
            yield file.name
        except BaseException as error:  # a panic of a library in Rust is no Exception, and no process can be sent it
            if not isinstance(error, RuntimeError) and type(error).__name__ != "PanicException":
                raise
            why = " ".join(str(error).split()) or "no reason"
            raise InputError(f"{where}: damaged, {library} says: {why[:200]}") from error
