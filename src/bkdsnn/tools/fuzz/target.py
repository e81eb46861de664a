"""One reader under test, and what becomes of one damaged file."""

import hashlib
import random
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bkdsnn.errors import InputError
from bkdsnn.tools.fuzz.mutations import mutated

_LONGEST = 2000  # characters of a message
READ, REFUSED = "read", "refused"


class Target(NamedTuple):
    """A reader: `write` puts whole files into a folder, `read` takes the folder and the file in it that was changed.

    names: whether the message must name the file.
    """

    name: str
    write: Callable[[Path], None]
    read: Callable[[Path, Path], None]
    names: bool = True


class Outcome(NamedTuple):
    """What became of a case: `read`, `refused`, or what went wrong in one line; and which file was changed."""

    verdict: str
    changed: str

    @property
    def found(self) -> bool:
        """Whether it is a fault of the reader."""
        return self.verdict not in (READ, REFUSED)


class Bench:
    """A target's whole files, and a folder in which they are damaged one by one."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.target, self.folder = target, folder / "case"
        self.current = ""
        source = folder / "whole"
        source.mkdir(parents=True)
        target.write(source)
        self.whole = {path.relative_to(source): path.read_bytes() for path in _files(source)}
        for path in self.whole:  # whole files are read without a word, and what is compiled at first use is compiled
            self._lay_out()
            target.read(self.folder, self.folder / path)

    def run(self, case: int, *, seed: str) -> Outcome:
        """Damages a file as seed and case say, and reads it."""
        draw = random.Random(f"{seed}/{self.target.name}/{case}")
        path = draw.choice(list(self.whole))
        content = mutated(self.whole[path], draw)
        self.current = path.as_posix()
        (self.folder.parent / "current").write_text(self.current, encoding="utf-8")  # for who survives this process
        self._lay_out({path: content}, sealed=draw.random() < 0.7)
        return Outcome(self._verdict(self.folder / path), self.current)

    def _verdict(self, path: Path) -> str:
        try:
            self.target.read(self.folder, path)
        except InputError as error:
            return self._judged(str(error), path)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)
            ours = next((frame for frame in reversed(last) if "bkdsnn" in frame.filename), last[-1])
            place = f"{Path(ours.filename).name}:{ours.lineno}"
            return f"{type(error).__name__} at {place}: {' '.join(str(error).split())[:160]}"
        return READ

    def _judged(self, message: str, path: Path) -> str:
        if "\n" in message:
            return f"an InputError of {message.count(chr(10)) + 1} lines: {message.splitlines()[0]}"
        if len(message) > _LONGEST:
            return f"an InputError of {len(message)} characters: {message[:80]}"
        if self.target.names and path.name not in message:
            return f"an InputError that does not name the file: {message}"
        return REFUSED

    def _lay_out(self, changed: dict[Path, bytes] | None = None, *, sealed: bool = False) -> None:
        """Writes all files; with `sealed` the others have the SHA-256 of what was changed, so that it is looked at."""
        files = {**self.whole, **(changed or {})}
        if sealed:
            for path, content in changed.items():
                before, after = _hex(self.whole[path]), _hex(content)
                files |= {other: text.replace(before, after) for other, text in files.items() if other != path}
        shutil.rmtree(self.folder, ignore_errors=True)
        for path, content in files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(content)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _hex(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
