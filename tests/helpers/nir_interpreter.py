"""A NIR file run step by step with `nir` and numpy alone, by what the file itself says."""

from pathlib import Path

import nir
import numpy as np


def run(path: Path, frames: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The logits `[B, K]` of `frames` `[T, B, C, H, W]`, and the spikes `[T, B, ...]` of every neuron by name."""
    graph = nir.read(path)
    dt = graph.metadata["dt"]
    sources = {name: [source for source, end in graph.edges if end == name] for name in graph.nodes}
    membranes = {name: node.v_reset for name, node in graph.nodes.items() if isinstance(node, nir.IF | nir.LIF)}
    outputs, spikes = [], {name: [] for name in membranes}
    for frame in frames:
        values: dict[str, np.ndarray] = {}
        while len(values) < len(graph.nodes):
            for name, node in graph.nodes.items():
                if name in values or any(source not in values for source in sources[name]):
                    continue
                given = sum(values[source] for source in sources[name]) if sources[name] else frame
                if name not in membranes:
                    values[name] = layer(node, given)
                    continue
                v = membranes[name]
                v = v + (
                    dt / node.tau * (node.v_leak - v + node.r * given)
                    if isinstance(node, nir.LIF)
                    else dt * node.r * given
                )
                values[name] = (v >= node.v_threshold).astype(np.float64)
                membranes[name] = np.where(values[name] > 0, node.v_reset, v)
                spikes[name].append(values[name])
        outputs.append(values[next(name for name, node in graph.nodes.items() if isinstance(node, nir.Output))])
    return np.mean(outputs, axis=0), {name: np.stack(fired) for name, fired in spikes.items()}


def layer(node: nir.NIRNode, given: np.ndarray) -> np.ndarray:
    """What a node without a state makes of `[B, ...]`."""
    if isinstance(node, nir.Input | nir.Output):
        return given
    if isinstance(node, nir.Flatten):
        return given.reshape(len(given), -1)
    if isinstance(node, nir.Affine):
        return given @ node.weight.T.astype(np.float64) + node.bias
    if isinstance(node, nir.Linear):
        return given @ node.weight.T.astype(np.float64)
    if isinstance(node, nir.AvgPool2d):
        return windows(given, node.kernel_size, node.stride, node.padding).mean(axis=(-2, -1))
    assert isinstance(node, nir.Conv2d)
    seen = windows(given, node.weight.shape[-2:], node.stride, node.padding)  # [B, C, H, W, h, w]
    return np.einsum("bcyxhw,kchw->bkyx", seen, node.weight.astype(np.float64)) + node.bias[:, None, None]


def windows(given: np.ndarray, size, stride, padding) -> np.ndarray:
    """Every window of maps `[B, C, H, W]`."""
    (height, width), (down, right) = padding, stride
    padded = np.pad(given, ((0, 0), (0, 0), (height, height), (width, width)))
    return np.lib.stride_tricks.sliding_window_view(padded, tuple(size), axis=(2, 3))[:, :, ::down, ::right]
