"""Puts the committed table into the README, so that no number there is typed (`make readme`)."""

import sys
from pathlib import Path

START, END = "<!-- table: digits -->\n", "<!-- end of table -->\n"


def with_table(text: str, table: str) -> str:
    """The README's text with the lines between the marks replaced by the table, without its title."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{table.partition('\n\n')[2]}\n{END}{after}"


if __name__ == "__main__":
    readme, table = Path("README.md"), Path("results/tables/digits/table.md")
    updated = with_table(readme.read_text(encoding="utf-8"), table.read_text(encoding="utf-8"))
    readme.write_text(updated, encoding="utf-8")
    sys.exit(0)
