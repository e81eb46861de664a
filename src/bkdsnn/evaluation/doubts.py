"""What a person should look at before believing an evaluation: it is said, and changes no number."""

import math

import numpy as np

from bkdsnn.evaluation.activity import FiringRates, Predictions

_RARE, _SILENT = 0.01, 0.001  # spikes per neuron and step, of a network and of a layer; trained ones have 0.05 to 0.3


def doubts(found: Predictions, rates: FiringRates) -> list[str]:
    """One line each: accuracy no better than guessing the most frequent class, neurons that hardly fire."""
    lines = []
    right, samples = float(np.mean(found.predicted == found.actual)), len(found.actual)
    chance = np.unique(found.actual, return_counts=True)[1].max() / samples
    if right <= chance + 2 * math.sqrt(chance * (1 - chance) / samples):
        lines.append(
            f"test_top1 {100 * right:.2f} %: chance is {100 * chance:.2f} % of {samples} samples: the network has "
            "learnt nothing; look at its history.csv, the recipe's learning rate and the data's labels"
        )
    silent = [name for name, rate in rates.per_layer.items() if rate < _SILENT]
    if silent or rates.overall < _RARE:
        which = (
            f" ({len(silent)} of {len(rates.per_layer)} layers below 0.1 %: {', '.join(silent[:3])})" if silent else ""
        )
        lines.append(
            f"neurons hardly fire: {100 * rates.overall:.2f} % a step{which}; look at v_threshold, tau, normalise"
        )
    return lines
