"""Puts committed results into README.md and docs/, so that no number there is typed (`make readme`).

Between `<!-- made: KIND OF -->` and `<!-- end -->` of a document stands what a kind of block says of a table.
"""

import re
from pathlib import Path

from bkdsnn.command import run_stage
from bkdsnn.errors import InputError
from bkdsnn.files import new_file
from bkdsnn.tools import blocks
from bkdsnn.tools.gpu_check import committed

_KINDS = {
    "comparison": blocks.comparison,
    "rows": blocks.rows,
    "gains": blocks.gains,
    "trials": blocks.trials,
    "gpus": lambda _: committed.measured(),
}
MADE = re.compile(r"^<!-- made: (\w+) ?([\w-]*) -->\n(.*?)^<!-- end -->\n", flags=re.S | re.M)
_MARK = re.compile(r"^<!-- (made|end)", flags=re.M)


def refreshed(text: str, *, where: str) -> str:
    """A document's text with its blocks made anew; `InputError` for a mark without its other, or an unknown kind."""
    if len(_MARK.findall(text)) != 2 * len(MADE.findall(text)):
        raise InputError(f"{where}: every `<!-- made: KIND OF -->` has its `<!-- end -->`, on lines of their own")
    return MADE.sub(lambda found: _made(found[1], found[2], where=where), text)


def _made(kind: str, of: str, *, where: str) -> str:
    if kind not in _KINDS:
        raise InputError(f"{where}: <!-- made: {kind} -->: no such kind; there are {', '.join(_KINDS)}")
    return f"<!-- made: {' '.join(filter(None, (kind, of)))} -->\n\n{_KINDS[kind](of)}\n<!-- end -->\n"


def readme() -> None:
    files = [Path("README.md"), *sorted(Path("docs").glob("*.md"))]
    texts = {file: file.read_text(encoding="utf-8") for file in files}
    made = {file: refreshed(text, where=str(file)) for file, text in texts.items()}  # all, before any is written
    for file in [file for file in files if made[file] != texts[file]]:
        with new_file(file) as written:
            written.write_text(made[file], encoding="utf-8")
        print(f"{file}: updated")


if __name__ == "__main__":
    run_stage(readme)
