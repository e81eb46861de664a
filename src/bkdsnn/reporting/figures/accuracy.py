"""Accuracy: by row, along the training, against energy, and against blur_ratio."""

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from bkdsnn.params.schema import Params
from bkdsnn.params.settings import settings_of
from bkdsnn.reporting.collect import Collected
from bkdsnn.reporting.figures.style import Drawn, legend, look, panels, plain, short, teachers_of, with_results
from bkdsnn.reporting.intervals import mean_and_std, paired_interval, top1
from bkdsnn.reporting.methods import reference_of


def accuracy(collected: Collected) -> list[Drawn]:
    """Top-1 by row: a mark per seed, the mean with its 95 % interval, the teacher as a dashed line."""
    groups = with_results(collected)
    figure, axes = panels(len(groups), width=max(3.8, 0.36 * max(map(len, groups.values()))), height=3.6)
    described = []
    for axis, (dataset, rows) in zip(axes[0], groups.items(), strict=True):
        for place, key in enumerate(rows):
            values, own = top1(key, collected), look(place)
            mean, half = paired_interval(values)
            bar = None if np.isnan(half) else half
            axis.errorbar(place, mean, yerr=bar, fmt="_", ms=18, capsize=5, color=own.color)
            axis.plot(np.full(len(values), place), values, own.marker, ms=5, color=own.color, alpha=0.7, mec="white")
            described.append(f"{key} {mean:.2f}")
        for number, teacher in enumerate(teachers_of(rows, collected)):
            value = collected.evaluated[teacher].metrics.test_top1
            axis.axhline(value, ls=look(number + 1).ls, lw=1, color="0.35", label=f"{teacher} {value:.1f} %")
        legend(axis, loc="lower right", bbox_to_anchor=(1.0, 1.0))  # above: a whisker may reach any corner
        axis.set_xticks(range(len(rows)), short(rows), rotation=30, ha="right")
        axis.set_xlim(-0.5, len(rows) - 0.5)
        axis.set(ylabel="test top-1 (%), last epoch")
        axis.set_title(dataset, loc="left")
        plain(axis)
    caption = (
        f"A mark per seed ({len(collected.params.seeds)}), a bar for the mean with its 95 % interval; the teacher "
    )
    return [
        Drawn(
            "accuracy",
            figure,
            "Accuracy by row",
            f"{caption}is the dashed line.",
            f"Mean top-1: {', '.join(described)}.",
        )
    ]


def training_curves(collected: Collected) -> list[Drawn]:
    """Training loss of the task and validation accuracy against epochs: mean and range over seeds of trained rows."""
    groups = _trained(with_results(collected), collected)
    if not groups:
        return []
    figure, axes = panels(len(groups), width=4.2, height=2.8, lines=2)
    for column, (dataset, rows) in enumerate(groups.items()):
        for line, (name, label) in enumerate(
            (("task", "cross-entropy, training"), ("validation_top1", "top-1 (%), validation"))
        ):
            axis = axes[line][column]
            for place, (key, text) in enumerate(zip(rows, short(rows), strict=True)):
                curves = curves_of(key, name, collected)
                own = look(place)
                axis.plot(curves.index, curves.mean(axis=1), color=own.color, ls=own.ls, label=text, lw=1.5)
                axis.fill_between(
                    curves.index, curves.min(axis=1), curves.max(axis=1), color=own.color, alpha=0.12, lw=0
                )
            axis.set_ylabel(label)
            plain(axis)
        axes[0][column].set_title(dataset)
        legend(axes[0][column])
        axes[1][column].set_xlabel("epoch")
        axes[1][column].xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[0][column].sharex(axes[1][column])
    caption = "Mean over seeds, the band is their range. Task: the cross-entropy alone, without the teacher's terms."
    alt = (
        f"Loss and validation accuracy against epochs of {', '.join(key for rows in groups.values() for key in rows)}."
    )
    return [Drawn("training_curves", figure, "Training curves", caption, alt)]


def _trained(groups: dict[str, list[str]], collected: Collected) -> dict[str, list[str]]:
    """Rows by data set without those that are as others published them."""
    left = {dataset: [key for key in rows if len(collected.of_row(key)[0].history)] for dataset, rows in groups.items()}
    return {dataset: rows for dataset, rows in left.items() if rows}


def curves_of(row: str, name: str, collected: Collected) -> pd.DataFrame:
    """A number by epoch (index), one column per seed."""
    runs = collected.of_row(row)
    return pd.concat([run.history.set_index("epoch")[name] for run in runs], axis=1, keys=range(len(runs)))


def energy(collected: Collected) -> list[Drawn]:
    """Accuracy against the energy of one inference: a mark per row, bars for the standard deviation over seeds."""
    groups = with_results(collected)
    figure, axes = panels(len(groups), width=4.2, height=3.6)
    described = []
    for axis, (dataset, rows) in zip(axes[0], groups.items(), strict=True):
        for place, (key, text) in enumerate(zip(rows, short(rows), strict=True)):
            used, right = (
                mean_and_std(np.array([getattr(run.metrics, name) for run in collected.of_row(key)]))
                for name in ("energy_uj", "test_top1")
            )
            bars = {"xerr": _bar(used[1]), "yerr": _bar(right[1]), "elinewidth": 0.8, "capsize": 2}
            own = look(place)
            axis.errorbar(used[0], right[0], **bars, fmt=own.marker, ms=7, color=own.color, mec="white", label=text)
            described.append(f"{key} {used[0]:.3g} µJ {right[0]:.2f} %")
        axis.set(title=dataset, xlabel="energy, relative estimate (µJ)", ylabel="test top-1 (%), last epoch")
        axis.margins(0.15)
        legend(axis)
        plain(axis, grid="both")
    caption = "Marks are means over seeds, bars their standard deviation. Energy as in the table's note."
    return [Drawn("energy", figure, "Accuracy against energy", caption, f"{'; '.join(described)}.")]


def blur_ratio(collected: Collected) -> list[Drawn]:
    """Accuracy against blur_ratio, where rows that are equal otherwise differ in it; what gains are over as a band."""
    lines = blurred_lines(collected)
    if not lines:
        return []
    figure, axes = panels(len(lines), width=4.6, height=3.6)
    described = []
    for axis, ((dataset, _, _, teacher, method, _), points) in zip(axes[0], lines.items(), strict=True):
        intervals = {ratio: paired_interval(top1(row, collected)) for ratio, row in points.items()}
        means, halves = ([pair[place] for pair in intervals.values()] for place in (0, 1))
        bars = [0.0 if np.isnan(half) else half for half in halves]
        own = look(0)
        axis.errorbar(
            list(points), means, yerr=bars, fmt=own.marker, ls="-", ms=6, capsize=4, color=own.color, label=method
        )
        for ratio, row in points.items():
            values = top1(row, collected)
            axis.plot(np.full(len(values), ratio), values, ".", ms=4, color="0.3")
        for row in dict.fromkeys(_reference(row, collected) for row in points.values()):
            _band(axis, row, collected)
        axis.set(title=f"{dataset}, teacher {teacher}", xlabel="blur_ratio", ylabel="test top-1 (%), last epoch")
        legend(axis)
        plain(axis)
        described += [
            f"{method} on {dataset} at {ratio:g}: {mean:.2f}" for ratio, mean in zip(points, means, strict=True)
        ]
    caption = "Means over seeds with 95 % intervals, a dot per seed; the grey band is the row that gains are over."
    return [Drawn("blur_ratio", figure, "Accuracy against blur_ratio", caption, f"{'; '.join(described)}.")]


def blurred_lines(collected: Collected) -> dict[tuple, dict[float, str]]:
    """Rows by blur_ratio, for each data set, student, recipe, teacher and method with two values or more."""
    params = collected.params
    lines: dict[tuple, dict[float, str]] = {}
    for key, row in params.rows.items():
        ratio = settings_of(row, params).get("blur_ratio")
        if ratio is not None and collected.of_row(key):
            place = (row.dataset, row.student, row.recipe, row.teacher, row.method)
            lines.setdefault((*place, _others(params, key)), {})[ratio] = key
    return {key: dict(sorted(points.items())) for key, points in lines.items() if len(points) > 1}


def _others(params: Params, row: str) -> str:
    """All settings of a row's method but blur_ratio, as text."""
    settings = settings_of(params.rows[row], params)
    return str(sorted((name, str(value)) for name, value in settings.items() if name != "blur_ratio"))


def _reference(row: str, collected: Collected) -> str | None:
    """The row that a row's gain is over, where that has results."""
    reference = reference_of(collected.params.rows[row], collected.params)
    return reference if reference and collected.of_row(reference) else None


def _band(axis, row: str | None, collected: Collected) -> None:
    if row is None:
        return
    mean, half = paired_interval(top1(row, collected))
    axis.axhline(mean, color="0.35", ls=look(1).ls, lw=1, label=f"{row} {mean:.1f} %")
    if not np.isnan(half):
        axis.axhspan(mean - half, mean + half, color="0.5", alpha=0.15, lw=0)


def _bar(spread: float) -> float | None:
    return None if np.isnan(spread) else spread
