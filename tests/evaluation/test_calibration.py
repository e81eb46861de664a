"""The calibration error, by hand."""

import numpy as np
import pytest

from bkdsnn.evaluation.calibration import BINS, expected_calibration_error


def test_the_error_by_hand():
    # Bins of 1/15: the first two share (0.6, 0.667]: accuracy 0.5, confidence 0.63; the third is alone: 1 and 0.9.
    confidence, correct = np.array([0.61, 0.65, 0.9]), np.array([True, False, True])
    assert expected_calibration_error(correct, confidence) == pytest.approx(100 * (2 / 3 * 0.13 + 1 / 3 * 0.1))


def test_a_bin_averages_before_it_compares():
    half = np.array([True, False])
    assert expected_calibration_error(half, np.array([0.5, 0.5])) == 0.0, "right as often as it says"
    assert expected_calibration_error(half, np.array([0.3, 0.7])) == pytest.approx(70.0), "two bins, both 0.7 away"


def test_the_least_and_the_largest_confidence_have_bins():
    assert expected_calibration_error(np.array([False, True]), np.array([0.0, 1.0])) == 0.0
    assert expected_calibration_error(np.array([True, False]), np.array([0.0, 1.0])) == 100.0


def test_an_edge_belongs_to_the_bin_below():
    edge = np.linspace(0.0, 1.0, BINS + 1)[9]
    together = np.array([edge, edge - 0.01])  # one is right, one is not: errors of opposite sign in one bin
    found = expected_calibration_error(np.array([True, False]), together)
    assert found == pytest.approx(100 * abs(0.5 - together.mean()))
    apart = np.array([edge, edge + 0.01])
    found = expected_calibration_error(np.array([True, False]), apart)
    assert found == pytest.approx(100 * ((1 - apart[0]) + apart[1]) / 2)
