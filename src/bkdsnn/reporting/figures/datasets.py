"""What the data looks like: images by class, or one recording as events and frames."""

import numpy as np
from matplotlib.figure import Figure

from bkdsnn.data.arrays import ArrayData
from bkdsnn.reporting.figures.style import Drawn, plt

ON, OFF = "#D55E00", "#0072B2"


def samples(data: dict[str, ArrayData]) -> list[Drawn]:
    """One figure for each data set."""
    drawn = []
    for name, content in data.items():
        recorded = (content.folder / "preview_events.npy").is_file()
        caption = "Events in space and time, and the frames they are summed into." if recorded else "One per class."
        alt = f"A recording of {name}." if recorded else f"Training images of {name}."
        figure = recording(name, content) if recorded else images(name, content)
        drawn.append(Drawn(f"data-{name}", figure, f"Data, {name}", caption, alt))
    return drawn


def images(name: str, data: ArrayData) -> Figure:
    """The first training image of every class, at most ten classes."""
    train = data.splits["train"]
    classes = min(len(data.classes), 10)
    figure, axes = plt.subplots(1, classes, figsize=(classes, 1.4), squeeze=False)
    for label, axis in enumerate(axes[0]):
        image = data.inputs[train[data.labels[train] == label][0]]
        axis.imshow(np.moveaxis(image, 0, -1).squeeze(), cmap="gray", vmin=0, vmax=255)
        axis.set_title(data.classes[label], fontsize=8, parse_math=False)  # a name may hold $
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
