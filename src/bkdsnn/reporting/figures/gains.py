"""Gains by row: what a method adds to the row that it is compared with, and how sure that is."""

import numpy as np

from bkdsnn.reporting.collect import Collected
from bkdsnn.reporting.figures.style import COLOURS, Drawn, panels, plain, with_results
from bkdsnn.reporting.intervals import differences, paired_interval
from bkdsnn.reporting.verdicts import BETTER, WORSE, verdicts

_LOOKS = {BETTER: (COLOURS[2], "^"), WORSE: (COLOURS[1], "v")}  # what is not decided is grey and round


def gains(collected: Collected) -> list[Drawn]:
    """The gain of every row that has one: a stroke per pair of seeds, the mean with its 95 % interval, its verdict."""
    found = verdicts(collected)
    groups = {name: [row for row in rows if row in found] for name, rows in with_results(collected).items()}
    groups = {name: rows for name, rows in groups.items() if rows}
    if not groups:
        return []
    figure, axes = panels(len(groups), width=4.4, height=1.0 + 0.26 * max(map(len, groups.values())))
    described = []
    for axis, (dataset, rows) in zip(axes[0], groups.items(), strict=True):
        for place, row in enumerate(rows):
            described.append(_line(axis, place, row, found[row].word, collected))
        axis.axvline(0, color="0.35", lw=1)
        axis.set_yticks(range(len(rows)), [_named(row, collected) for row in rows])
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set(xlabel="gain in test top-1 (points), last epoch")
        axis.set_title(dataset, loc="left")
        plain(axis, grid="x")
    caption = (
        "Gain over cross-entropy, or the named row: a stroke per pair of seeds, the mean with its 95 % interval; "
        f"a green triangle is {BETTER}, a red one {WORSE}, grey is neither."
    )
    return [Drawn("gains", figure, "Gain by row", caption, f"Mean gains: {', '.join(described)}.")]


def _line(axis, place: int, row: str, word: str, collected: Collected) -> str:
    values = differences(row, collected)
    mean, half = paired_interval(values)
    colour, marker = _LOOKS.get(word, ("0.45", "o"))
    axis.plot(values, np.full(len(values), place), "|", ms=7, color=colour, alpha=0.7)
    axis.errorbar(mean, place, xerr=None if np.isnan(half) else half, fmt=marker, ms=6, capsize=3, color=colour)
    return f"{_named(row, collected)} {mean:+z.2f} ({word})"


def _named(row: str, collected: Collected) -> str:
    over = collected.params.rows[row].over
    return f"{row} over {over}" if over else row
