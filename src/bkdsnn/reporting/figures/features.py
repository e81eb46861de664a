"""What the networks see: feature maps, Grad-CAM, how the feature's values spread, and how often each layer fires."""

import numpy as np
from matplotlib.figure import Figure

from bkdsnn.data.arrays import ArrayData
from bkdsnn.params.settings import settings_of
from bkdsnn.reporting.collect import Collected, Evaluated
from bkdsnn.reporting.figures.style import Drawn, legend, look, panels, plain, plt, short, teachers_of, with_results
from bkdsnn.reporting.methods import baseline_of

_SPREAD_LINES = 5  # more lines than this cannot be told apart


def maps(collected: Collected, data: dict[str, ArrayData]) -> list[Drawn]:
    """Feature maps and Grad-CAM of test samples: the inputs, the teachers, then each row's first seed."""
    drawn = []
    for dataset, rows in with_results(collected).items():
        lines = {key: collected.evaluated[key] for key in teachers_of(rows, collected)}
        lines |= {key: collected.of_row(key)[0] for key in rows}
        flat = [key for key, run in lines.items() if not len(run.maps)]  # a ViT's feature is a vector
        lines = {key: run for key, run in lines.items() if len(run.maps)}
        if not lines:
            continue
        left_out = f" No map: {', '.join(flat)}, whose feature is a vector." if flat else ""
        inputs = _inputs(next(iter(lines.values())), data[dataset])
        described = f"test samples of {dataset}: the inputs, then {', '.join(lines)}"
        figure = _grid(inputs, {key: list(run.maps) for key, run in lines.items()}, under=False)
        caption = (
            "Feature `last`, mean over time and channels, each map on its own scale; the first seed of each row."
            + left_out
        )
        drawn.append(
            Drawn(
                f"feature_maps-{dataset}", figure, f"Feature maps, {dataset}", caption, f"Feature maps of {described}."
            )
        )
        figure = _grid(inputs, {key: list(run.grad_cam) for key, run in lines.items()}, under=True)
        caption = (
            "Where feature `last` speaks for the true class (Grad-CAM, mean over time; bright: much, each on its own "
            "scale) over the input; the first seed of each row." + left_out
        )
        drawn.append(Drawn(f"grad_cam-{dataset}", figure, f"Grad-CAM, {dataset}", caption, f"Grad-CAM of {described}."))
    return drawn


def spread(collected: Collected) -> list[Drawn]:
    """How the values of feature `last` spread: teacher, baseline, and students with and without blur."""
    groups = {dataset: _spread_lines(rows, collected) for dataset, rows in with_results(collected).items()}
    figure, axes = panels(len(groups), width=4.6, height=3.6)
    for axis, (dataset, lines) in zip(axes[0], groups.items(), strict=True):
        for place, (label, run) in enumerate(lines.items()):
            values = np.sort(run.spread)[::-1]
            portion = (np.arange(len(values)) + 0.5) / len(values)
            own = look(place)
            axis.step(values, portion, where="post", color=own.color, ls=own.ls, lw=1.6, label=label)
        axis.set(title=dataset, xlabel="value of feature `last`, mean over time", ylabel="share of values above")
        axis.set_yscale("log")
        legend(axis)
        plain(axis, grid="both")
    caption = (
        "Share of the values of feature `last` (first 256 test samples, all channels and places) that are larger than "
        "x, of the first seeds. The restoration block is thrown away after training: a student's line is its own "
        "feature, not the blurred or restored one. `blur` is the blur_ratio it was trained with."
    )
    described = "; ".join(f"{dataset}: {', '.join(lines)}" for dataset, lines in groups.items())
    return [Drawn("feature_spread", figure, "Distribution of the features", caption, f"Distributions of {described}.")]


def firing_rates(collected: Collected) -> list[Drawn]:
    """Spikes per neuron and time step of every spiking layer, first to last: mean over seeds."""
    params = collected.params
    groups: dict[tuple[str, str], list[str]] = {}
    for rows in with_results(collected).values():
        for row in rows:
            if collected.of_row(row)[0].metrics.firing_rate_per_layer:
                groups.setdefault((params.rows[row].dataset, params.rows[row].student), []).append(row)
    if not groups:
        return []
    figure, axes = panels(len(groups), width=5.0, height=3.9)
    for axis, ((dataset, student), rows) in zip(axes[0], groups.items(), strict=True):
        layers = [name for name, _ in collected.of_row(rows[0])[0].metrics.firing_rate_per_layer]
        places = np.arange(len(layers))
        for place, (row, text) in enumerate(zip(rows, short(rows), strict=True)):
            rates = [[rate for _, rate in run.metrics.firing_rate_per_layer] for run in collected.of_row(row)]
            own = look(place)
            axis.plot(places, np.mean(rates, axis=0), color=own.color, marker=own.marker, ls=own.ls, ms=5, label=text)
        step = -(-len(layers) // 14)  # names of every so manieth layer have room
        axis.set_xticks(places[::step], layers[::step], rotation=40, ha="right", fontsize=8)
        axis.set(title=f"{dataset}, {student}", ylabel="spikes per neuron and time step", ylim=(0, None))
        legend(axis)
        plain(axis)
    caption = "Mean over seeds and the test split; layers in the order in which they run."
    described = "; ".join(f"{dataset}, {student}: {', '.join(rows)}" for (dataset, student), rows in groups.items())
    alt = f"Firing rate of every layer of {described}."
    return [Drawn("firing_rates", figure, "Firing rate per layer", caption, alt)]


def _spread_lines(rows: list[str], collected: Collected) -> dict[str, Evaluated]:
    """Teachers, the baseline, and rows that match features, those without blur first."""
    params = collected.params
    lines = {f"teacher {key}": collected.evaluated[key] for key in teachers_of(rows, collected)}
    blurs = {row: settings_of(params.rows[row], params).get("blur_ratio") for row in rows}
    baselines = [row for row in rows if baseline_of(params.rows[row], params) == row]
    matched = sorted((row for row in rows if blurs[row] is not None), key=lambda row: blurs[row])
    for row in [*baselines, *matched]:
        blur = "" if blurs[row] is None else f", blur {blurs[row]:g}"
        if len(lines) < _SPREAD_LINES:
            lines[f"{row}{blur}"] = collected.of_row(row)[0]
    return lines


def _inputs(run: Evaluated, data: ArrayData) -> list[np.ndarray]:
    """The samples shown, as images `[H, W]` or `[H, W, 3]`; event frames are summed over time and polarity."""
    samples = data.inputs[np.array(run.metrics.shown_samples)]
    if samples.ndim == 5:  # [N, T, C, H, W]
        return list(samples.sum(axis=(1, 2), dtype=np.int64))
    return [np.moveaxis(sample, 0, -1).squeeze() for sample in samples]


def _grid(inputs: list[np.ndarray], lines: dict[str, list[np.ndarray]], *, under: bool) -> Figure:
    """A line of inputs, then one line of maps per key, laid over the inputs where `under`."""
    size = (0.95 * len(inputs), 0.95 * (len(lines) + 1))
    figure, axes = plt.subplots(len(lines) + 1, len(inputs), figsize=size, squeeze=False)
    shown = {"input": inputs, **lines}
    for line, (key, images) in zip(axes, shown.items(), strict=True):
        for axis, image, below in zip(line, images, inputs, strict=True):
            if key == "input":
                axis.imshow(image, cmap="gray")
            elif under:
                extent = (0, below.shape[1], below.shape[0], 0)
                axis.imshow(below, cmap="gray", extent=extent)
                axis.imshow(image, cmap="viridis", alpha=0.6, extent=extent, interpolation="bilinear")
            else:
                axis.imshow(image, cmap="viridis")
            axis.set_xticks([])
            axis.set_yticks([])
        line[0].set_ylabel(key, rotation=0, ha="right", va="center", fontsize=8)
    figure.subplots_adjust(left=0, right=1, bottom=0, top=1, wspace=0.06, hspace=0.06)
    return figure
