"""How far a network's confidence is from how often it is right."""

import numpy as np

BINS = 15


def expected_calibration_error(correct: np.ndarray, confidence: np.ndarray) -> float:
    """ECE in percent (Guo et al. 2017, arXiv:1706.04599, eq. 5), of equally wide bins ((m - 1) / BINS, m / BINS].

    correct: bool `[N]`; confidence: `[N]`, the probability of the class that was predicted.
    """
    bins = np.digitize(confidence, np.linspace(0.0, 1.0, BINS + 1)[1:-1], right=True)
    gaps = np.bincount(bins, weights=correct - confidence.astype(np.float64))  # accuracy - confidence, times samples
    return 100.0 * float(np.abs(gaps).sum()) / len(confidence)
