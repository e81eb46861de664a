"""Gains by row: what a method adds to the row that it is compared with, and how sure that is."""

import numpy as np

from bkdsnn.reporting.collect import Collected
from bkdsnn.reporting.figures.style import COLOURS, Drawn, legend, panels, plain, with_results
from bkdsnn.reporting.intervals import differences, paired_interval
from bkdsnn.reporting.methods import reference_of
from bkdsnn.reporting.verdicts import BETTER, TOO_FEW, UNDECIDED, WORSE, verdicts

_GREY = ("0.45", "o")
_LOOKS = {BETTER: (COLOURS[2], "^"), WORSE: (COLOURS[1], "v"), UNDECIDED: _GREY, TOO_FEW: _GREY}


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
        described += [_line(axis, place, row, found[row].word, collected) for place, row in enumerate(rows)]
        _marks(axis, sorted({found[row].word for row in rows}))
        axis.axvline(0, color="0.35", lw=1)
        axis.set_yticks(range(len(rows)), [_named(row, collected) for row in rows])
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set(xlabel="gain in test top-1 (points), last epoch")
        axis.set_title(dataset, loc="left")
        plain(axis, grid="x")
    caption = (
        "Gain over the named row: a stroke per pair of seeds, the mean with its 95 % interval, which is of each gain "
        f"alone; a green triangle is {BETTER}, a red one {WORSE} (corrected over all gains), grey is neither."
    )
    return [Drawn("gains", figure, "Gain by row", caption, f"Mean gains: {', '.join(described)}.")]


def _line(axis, place: int, row: str, word: str, collected: Collected) -> str:
    values = differences(row, collected)
    mean, half = paired_interval(values)
    colour, marker = _LOOKS[word]
    axis.plot(values, np.full(len(values), place), "|", ms=7, color=colour, alpha=0.7)
    axis.errorbar(mean, place, xerr=None if np.isnan(half) else half, fmt=marker, ms=6, capsize=3, color=colour)
    return f"{_named(row, collected)} {mean:+z.2f} ({word})"


def _marks(axis, words: list[str]) -> None:
    for word in words:
        colour, marker = _LOOKS[word]
        axis.plot([], [], marker, ms=6, color=colour, label=word)
    legend(axis, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(words), handletextpad=0, columnspacing=0.8)


def _named(row: str, collected: Collected) -> str:
    return f"{row} over {reference_of(collected.params.rows[row], collected.params)}"
