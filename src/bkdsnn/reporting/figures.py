"""The figures of a table; colours are Okabe and Ito's, which colour-blind readers can tell apart."""

from pathlib import Path

import matplotlib
import numpy as np

from bkdsnn.data.arrays import ArrayData
from bkdsnn.params import Params
from bkdsnn.reporting.collect import Collected
from bkdsnn.reporting.tables import paired_interval

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
ON, OFF = "#D55E00", "#0072B2"


def draw_figures(folder: Path, params: Params, collected: Collected, data: dict[str, ArrayData]) -> None:
    """Writes accuracy.png, training_curves.png, feature_maps.png, and data-<dataset>.png of each data set."""
    _save(accuracy(params, collected), folder / "accuracy.png")
    _save(training_curves(params, collected), folder / "training_curves.png")
    _save(feature_maps(params, collected), folder / "feature_maps.png")
    for name, content in data.items():
        draw = recording if (content.folder / "preview_events.npy").is_file() else images
        _save(draw(name, content), folder / f"data-{name}.png")


def accuracy(params: Params, collected: Collected) -> Figure:
    """Top-1 by row: a dot per seed, the mean with its 95 % interval, the teacher as a dashed line."""
    groups = _by_dataset(params)
    figure, axes = plt.subplots(1, len(groups), figsize=(0.9 + 3.8 * len(groups), 3.6), squeeze=False)
    for axis, (dataset, rows) in zip(axes[0], groups.items(), strict=True):
        for place, key in enumerate(rows):
            values = np.array([run["test_top1"] for run in collected.of_row(key)])
            mean, half = paired_interval(values)
            colour = COLOURS[place % len(COLOURS)]
            axis.errorbar(place, mean, yerr=None if np.isnan(half) else half, fmt="_", ms=16, capsize=5, color=colour)
            axis.plot(np.full(len(values), place), values, "o", ms=4, color=colour, alpha=0.7)
        for teacher in sorted({params.rows[key].teacher for key in rows} - {None}):
            top1 = collected.metrics[teacher]["test_top1"]
            axis.axhline(top1, ls="--", lw=1, color="0.4", label=f"teacher {top1:.1f} %")
            axis.legend(loc="lower right", fontsize=8, frameon=False)
        axis.set_xticks(range(len(rows)), _short(rows), rotation=30, ha="right")
        axis.set_xlim(-0.5, len(rows) - 0.5)
        axis.set(title=dataset, ylabel="test top-1 (%), last epoch")
        _plain(axis)
    figure.suptitle(f"Mean and 95 % interval over {len(params.seeds)} seeds", fontsize=10)
    return figure


def training_curves(params: Params, collected: Collected) -> Figure:
    """Training loss of the task and validation accuracy against epochs: mean and range over seeds."""
    groups = _by_dataset(params)
    figure, axes = plt.subplots(2, len(groups), figsize=(0.9 + 4.2 * len(groups), 5.4), squeeze=False, sharex="col")
    panels = (("task", "cross-entropy, training"), ("validation_top1", "top-1 (%), validation"))
    for column, (dataset, rows) in enumerate(groups.items()):
        for line, (name, label) in enumerate(panels):
            axis = axes[line][column]
            for place, (key, short) in enumerate(zip(rows, _short(rows), strict=True)):
                histories = [collected.histories[run["key"]] for run in collected.of_row(key)]
                curves = np.array([history[name] for history in histories])
                epochs = histories[0]["epoch"]
                colour = COLOURS[place % len(COLOURS)]
                axis.plot(epochs, curves.mean(0), color=colour, label=short, lw=1.4)
                axis.fill_between(epochs, curves.min(0), curves.max(0), color=colour, alpha=0.15, lw=0)
            axis.set_ylabel(label)
            _plain(axis)
        axes[0][column].set_title(dataset)
        axes[0][column].legend(fontsize=8, frameon=False)
        axes[1][column].set_xlabel("epoch")
    return figure


def feature_maps(params: Params, collected: Collected) -> Figure:
    """Feature `last` of test samples, mean over time and channels: teacher first, then each row's first seed."""
    lines = []
    for rows in _by_dataset(params).values():
        teachers = sorted({params.rows[key].teacher for key in rows} - {None})
        lines += teachers + [f"{key}-s{params.seeds[0]}" for key in rows]
    lines = [key for key in lines if len(collected.maps[key])]  # a ViT's feature is a vector
    samples = len(collected.maps[lines[0]])
    figure, axes = plt.subplots(len(lines), samples, figsize=(1.6 + samples * 0.8, 0.85 * len(lines)), squeeze=False)
    for line, key in enumerate(lines):
        for column in range(samples):
            axis = axes[line][column]
            axis.imshow(collected.maps[key][column], cmap="viridis")  # each map on its own scale
            axis.set_xticks([])
            axis.set_yticks([])
        axes[line][0].set_ylabel(key, rotation=0, ha="right", va="center", fontsize=8)
    return figure


def images(name: str, data: ArrayData) -> Figure:
    """The first training image of every class, at most ten classes."""
    train = data.splits["train"]
    classes = min(len(data.classes), 10)
    figure, axes = plt.subplots(1, classes, figsize=(classes, 1.4), squeeze=False)
    for label, axis in enumerate(axes[0]):
        image = data.inputs[train[data.labels[train] == label][0]]
        axis.imshow(np.moveaxis(image, 0, -1).squeeze(), cmap="gray", vmin=0, vmax=255)
        axis.set_title(data.classes[label], fontsize=8)
        axis.axis("off")
    figure.suptitle(name, fontsize=9)
    return figure


def recording(name: str, data: ArrayData) -> Figure:
    """One recording: what was shown where that is known, its first events in space and time, and its frames."""
    events = np.load(data.folder / "preview_events.npy")  # [4, N]: t, x, y, p
    frames = np.load(data.folder / "preview_frames.npy")  # [T, 2, H, W]
    steps = len(frames)
    figure = plt.figure(figsize=(4.6 + 1.7 * steps, 3.4))
    grid = figure.add_gridspec(2, 4 + steps, width_ratios=[1, 1, 1, 0.4] + [1] * steps)
    if (data.folder / "preview_image.npy").is_file():
        shown = figure.add_subplot(grid[:, 0])
        shown.imshow(np.load(data.folder / "preview_image.npy"), cmap="gray")
        shown.set_title("shown", fontsize=9)
        shown.axis("off")
    space = figure.add_subplot(grid[:, 1:3], projection="3d")
    t, x, y, p = events[:, :4000]
    for polarity, colour, label in ((1, ON, "ON"), (0, OFF, "OFF")):
        kept = p == polarity
        space.scatter(t[kept] / 1e3, x[kept], -y[kept], s=0.4, color=colour, label=label)
    space.set_xlabel("ms", fontsize=8)
    space.set_yticks([])
    space.set_zticks([])
    space.tick_params(labelsize=7)
    space.set_title(f"first {len(t):,} of {events.shape[1]:,} events", fontsize=9)
    space.legend(fontsize=7, markerscale=8, frameon=False, loc="upper left", bbox_to_anchor=(-0.15, 1.05))
    for step in range(steps):
        for channel, label in ((1, "ON"), (0, "OFF")):
            axis = figure.add_subplot(grid[1 - channel, 4 + step])
            axis.imshow(frames[step, channel], cmap="gray", vmin=0, vmax=frames.max())
            axis.set_xticks([])
            axis.set_yticks([])
            if channel == 1:
                axis.set_title(f"t = {step + 1}", fontsize=9)
            if step == 0:
                axis.set_ylabel(label, fontsize=9)
    figure.suptitle(f"{name}: frames of {frames.shape[2]} x {frames.shape[3]} counts", fontsize=9)
    return figure


def _by_dataset(params: Params) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for key, row in params.rows.items():
        groups.setdefault(row.dataset, []).append(key)
    return groups


def _short(keys: list[str]) -> list[str]:
    """Row keys without the first word, where all share it."""
    first = {key.split("-")[0] for key in keys}
    return [key.partition("-")[2] for key in keys] if len(first) == 1 and all("-" in key for key in keys) else keys


def _plain(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", lw=0.4, alpha=0.5)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=130, bbox_inches="tight", metadata={"Software": None})  # no version: the same bytes
    plt.close(figure)
