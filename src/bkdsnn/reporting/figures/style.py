"""What all figures share: colours (Okabe and Ito's, which colour-blind readers can tell apart), markers, grouping."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import matplotlib
from PIL import Image

from bkdsnn.params.schema import Params
from bkdsnn.reporting.collect import Collected

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1, 1, 1, 1, 1)))

_LONG = 8  # a legend of more lines covers what is drawn


class Look(NamedTuple):
    """A line's colour, marker and dashes: two of them differ in grey, too."""

    color: str
    marker: str
    ls: str | tuple


@dataclass(frozen=True)
class Drawn:
    """A figure, the name of its file, its title, how to read it, and what it says to who cannot see it."""

    name: str
    figure: Figure
    title: str
    caption: str
    alt: str

    def save(self, folder: Path) -> dict[str, str]:
        """Writes the PNG, the same bytes every time, and gives its entry for figures.json."""
        file, drawn = f"{self.name}.png", io.BytesIO()
        self.figure.savefig(drawn, dpi=130, bbox_inches="tight", metadata={"Software": None})
        plt.close(self.figure)
        few = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)  # a third of the bytes
        few.save(folder / file, optimize=True)
        return {"file": file, "title": self.title, "caption": self.caption, "alt": self.alt}


def look(place: int) -> Look:
    """The look of the line at a place."""
    return Look(COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)], DASHES[place % len(DASHES)])


def by_dataset(params: Params) -> dict[str, list[str]]:
    """The rows of each data set."""
    groups: dict[str, list[str]] = {}
    for key, row in params.rows.items():
        groups.setdefault(row.dataset, []).append(key)
    return groups


def with_results(collected: Collected) -> dict[str, list[str]]:
    """The same, of the rows that have results."""
    groups = by_dataset(collected.params)
    found = {dataset: [row for row in rows if collected.of_row(row)] for dataset, rows in groups.items()}
    return {dataset: rows for dataset, rows in found.items() if rows}


def teachers_of(rows: list[str], collected: Collected) -> list[str]:
    """The teachers of these rows that have results."""
    named = {collected.params.rows[row].teacher for row in rows} - {None}
    return sorted(named & set(collected.evaluated))


def short(keys: list[str]) -> list[str]:
    """Row keys without the first word, where all share it."""
    first = {key.split("-")[0] for key in keys}
    return [key.partition("-")[2] for key in keys] if len(first) == 1 and all("-" in key for key in keys) else keys


def panels(count: int, *, width: float, height: float, lines: int = 1) -> tuple[Figure, list[list[Axes]]]:
    """`lines` x `count` axes side by side."""
    size = (0.9 + width * count, height * lines)
    figure, axes = plt.subplots(lines, count, figsize=size, squeeze=False, layout="constrained")
    return figure, axes.tolist()


def legend(axis: Axes, **options) -> None:
    """A legend where there is something to tell, beside the axes where it is long."""
    lines = len(axis.get_legend_handles_labels()[0])
    if lines > _LONG:
        options = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
    if lines:
        axis.legend(fontsize=8, frameon=False, handlelength=3.2, **options)


def plain(axis: Axes, *, grid: str = "y") -> None:
    """No box, a faint grid."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis=grid, lw=0.4, alpha=0.5)
