"""Puts the committed table into the README, so that no number there is typed (`make readme`)."""

from pathlib import Path

from bkdsnn.errors import InputError

START, END = "<!-- table: digits -->\n", "<!-- end of table -->\n"


def with_table(text: str, table: str) -> str:
    """The README's text with the lines between the marks replaced by the table, without its title."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise InputError(f"README.md: the marks {START.strip()} and {END.strip()} are not both there")
    _, _, body = table.partition("\n\n")
    return f"{before}{START}\n{body}\n{END}{after}"


if __name__ == "__main__":
    readme, table = Path("README.md"), Path("results/tables/digits/table.md")
    updated = with_table(readme.read_text(encoding="utf-8"), table.read_text(encoding="utf-8"))
    readme.write_text(updated, encoding="utf-8")
