"""Scores turned into probabilities: the rising step function that fits labels best, by pooling adjacent violators.

Fitted on one part of the events and used on another (Zadrozny and Elkan, KDD 2002), it makes the mean of a proper
score, such as the cross entropy, comparable between classifiers that are sharp but too sure of themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from lpm.metrics.estimate import Array

__all__ = ["Calibration", "calibrate"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """A rising function of the score.

    Args:
        score: (P,) rising scores.
        probability: (P,) share of signal there; between two it is interpolated, beyond the ends it stays.
    """

    score: Array
    probability: Array

    def __call__(self, scores: ArrayLike) -> Array:
        """Probability of signal at each score."""
        return np.asarray(np.interp(np.asarray(scores, dtype=np.float64), self.score, self.probability))


def calibrate(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Calibration:
    """Fit probabilities to scores.

    Args:
        scores: (N,) larger means more signal-like.
        labels: (N,) 0 or 1.
        weights: (N,) above 0; 1 if absent.

    Raises:
        ValueError: If shapes disagree, a score is not finite, or there is no event.

    Example:
        >>> calibrate([1.0, 2.0, 3.0, 4.0], [0, 1, 0, 1])([0.0, 2.0, 3.0, 9.0]).tolist()
        [0.0, 0.5, 0.5, 1.0]
    """
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    w = np.ones(y.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if s.ndim != 1 or s.shape != y.shape or s.shape != w.shape or not len(s) or not np.isfinite(s).all():
        raise ValueError(f"expected (N,) finite scores with a label each, got {s.shape} and {y.shape}")
    unique, place = np.unique(s, return_inverse=True)
    total = np.bincount(place, w)
    mean = np.bincount(place, w * y) / total
    return Calibration(unique, np.asarray(isotonic_regression(mean, weights=total).x))
