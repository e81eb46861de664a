"""The figures of a table, each drawn where the table has what it needs."""

from pathlib import Path

from bkdsnn.data.arrays import ArrayData
from bkdsnn.reporting.collect import Collected
from bkdsnn.reporting.figures import accuracy, datasets, features
from bkdsnn.reporting.figures.gains import gains


def draw_figures(folder: Path, collected: Collected, data: dict[str, ArrayData]) -> list[dict[str, str]]:
    """Writes the PNGs; gives file, title, caption and alternative text of each, in the order to read them."""
    drawn = []
    if any(collected.of_row(row) for row in collected.params.rows):
        for draw in (accuracy.accuracy, gains, accuracy.blur_ratio, accuracy.energy, accuracy.training_curves):
            drawn += draw(collected)
        drawn += features.firing_rates(collected) + features.spread(collected) + features.maps(collected, data)
    for one in drawn:  # above the figure: who sees it alone learns which table, and of which data, it is of
        one.figure.suptitle(collected.params.title, x=0, y=1.01, ha="left", va="bottom", fontsize=9, parse_math=False)
    return [one.save(folder) for one in drawn + datasets.samples(data)]
