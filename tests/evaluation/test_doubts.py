"""A network that learnt nothing and neurons that do not fire are told."""

import math

import numpy as np

from bkdsnn.evaluation.activity import FiringRates, Predictions
from bkdsnn.evaluation.doubts import doubts

ACTUAL = np.arange(200) % 10
ANN = FiringRates(per_layer={}, overall=math.nan)


def predicted(right: int) -> Predictions:
    answers = np.where(np.arange(200) < right, ACTUAL, (ACTUAL + 1) % 10)
    return Predictions(ACTUAL, answers, np.ones(200))


def test_accuracy_at_chance_is_told_and_accuracy_above_it_is_not():
    (line,) = doubts(predicted(22), ANN)
    assert line.startswith("test_top1 11.00 %: chance is 10.00 % of 200 samples: the network has learnt nothing")
    assert doubts(predicted(40), ANN) == []


def test_chance_is_the_share_of_the_most_frequent_class():
    actual = np.array([0] * 90 + [1] * 10)
    (line,) = doubts(Predictions(actual, np.zeros(100, int), np.ones(100)), ANN)
    assert line.startswith("test_top1 90.00 %: chance is 90.00 %")


def test_neurons_that_hardly_fire_are_told_with_their_layers():
    assert doubts(predicted(190), FiringRates({"a": 0.12, "b": 0.2}, 0.16)) == []
    (line,) = doubts(predicted(190), FiringRates({"a": 0.12, "b": 0.0}, 0.06))
    assert line.startswith("neurons hardly fire: 6.00 % a step (1 of 2 layers below 0.1 %: b); look at v_threshold")
    (line,) = doubts(predicted(190), FiringRates({"a": 0.004}, 0.004))
    assert line.startswith("neurons hardly fire: 0.40 % a step; look at")
