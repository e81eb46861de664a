"""How a table is written: cells as text, and a table of such cells as Markdown and as LaTeX (booktabs)."""

import math

import pandas as pd

EMPTY = "–"
_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "±": r"$\pm$",
    "–": "--",
    "µ": r"$\mu$",
    "→": r"$\rightarrow$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
}


def number(value: float | None, layout: str) -> str:
    """A number, or a dash where there is none."""
    return EMPTY if value is None or math.isnan(value) else format(value, layout)


def with_spread(value: float | None, spread: float | None, *, sign: str = "") -> str:
    """`94.00 ± 2.00`; without the spread where there is none."""
    text = number(value, f"{sign}z.2f")  # z: what rounds to 0 is not -0.00
    return text if spread is None or math.isnan(spread) else f"{text} ± {spread:.2f}"


def with_problems(text: str, problems: dict[int, str]) -> str:
    """A cell of several seeds, some or all of which are missing, broken or of other params."""
    states = set(problems.values())
    listed = ", ".join(f"s{seed} {state}" for seed, state in problems.items())
    if text == EMPTY and len(states) == 1:
        return states.pop()
    if text == EMPTY and states:
        return listed
    return f"{text} ({listed})" if listed else text


def markdown(title: str, table: pd.DataFrame, notes: list[str]) -> str:
    """A title, a table of text, and notes."""
    safe = table.map(lambda cell: str(cell).replace("|", r"\|"))
    listed = "\n".join(f"- {note}" for note in notes)
    return f"# {title}\n\n{safe.to_markdown(index=False, disable_numparse=True)}\n\n{listed}\n"


def tex(title: str, table: pd.DataFrame, notes: list[str], *, left: int) -> str:
    """The same for LaTeX with booktabs; the first `left` columns are aligned to the left."""
    lines = [[escaped(str(cell)) for cell in line] for line in (table.columns, *table.itertuples(index=False))]
    head, *body = (" & ".join(line) + r" \\" for line in lines)
    return "\n".join(
        [
            f"% {title.replace(chr(10), ' ')}; needs \\usepackage{{booktabs}}",
            rf"\begin{{tabular}}{{{'l' * left}{'r' * (len(table.columns) - left)}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
            r"\smallskip",
            r"{\footnotesize\raggedright",
            *(escaped(note) + r"\par" for note in notes),
            "}",
            "",
        ]
    )


def escaped(text: str) -> str:
    """Text in which nothing means anything to LaTeX."""
    return "".join(_TEX.get(sign, sign) for sign in text)
