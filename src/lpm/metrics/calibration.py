r"""Calibration: scores that are probabilities, fitted on events that neither trained the model nor judge it.

*Temperature* (Guo et al., arXiv 1706.04599, section 4.2) divides all log-odds by one number T, which minimises the
cross entropy; it changes no order of classes. *Isotonic* regression (Zadrozny and Elkan, KDD 2002) maps the score of
each class, against all others, by the monotonic step function closest to the labels, and divides by the sum over
classes; it corrects any monotonic distortion and needs more events.

A calibration is plain numbers and is stored as JSON.

Shapes: N events, C classes, K bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression, minimize_scalar
from scipy.special import log_softmax, softmax

from lpm.metrics.estimate import Array, Estimate
from lpm.metrics.migration import binomial
from lpm.metrics.scores import checked

__all__ = ["Calibration", "Steps", "fit_isotonic", "fit_temperature", "reliability"]

FLOOR = 1e-12
"""Smallest probability whose logarithm is taken."""

FEWEST = 50
"""Fewest events of a class for isotonic regression: fewer would be learned by heart."""


@dataclass(frozen=True, slots=True)
class Steps:
    """A rising, piecewise linear map of scores.

    Args:
        x: Scores at which it is known, rising.
        y: Its values there.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What turns scores into probabilities.

    Args:
        classes: Names of the C classes, in the order of the scores.
        temperature: Divides log-odds; 1 changes nothing.
        steps: A map for each class, applied after the temperature; none to apply none. A class without knots keeps its
            scores.

    Raises:
        ValueError: If the temperature is not positive, or there are not as many maps as classes.

    Example:
        >>> c = Calibration(classes=("QCD", "top"), temperature=2.0)
        >>> c(np.array([[0.9, 0.1]])).round(3).tolist()
        [[0.75, 0.25]]
    """

    classes: tuple[str, ...]
    temperature: float = 1.0
    steps: tuple[Steps, ...] = ()

    def __post_init__(self) -> None:
        if not self.temperature > 0 or len(self.steps) not in (0, len(self.classes)):
            raise ValueError(
                f"calibration: expected a positive temperature and a map for each of {len(self.classes)} classes or "
                f"none, got {self.temperature} and {len(self.steps)}"
            )

    def __call__(self, scores: ArrayLike) -> Array:
        """(N, C) probabilities that add up to 1, from scores (N, C).

        Raises:
            ValueError: If there is another number of classes.
        """
        p = np.asarray(scores, dtype=np.float64)
        if p.ndim != 2 or p.shape[1] != len(self.classes):
            raise ValueError(f"calibration: expected scores (N, {len(self.classes)}), got {p.shape}")
        if self.temperature != 1.0:
            p = softmax(np.log(np.maximum(p, FLOOR)) / self.temperature, axis=1)
        if not self.steps:
            return np.asarray(p)
        made = np.stack([np.interp(x, s.x, s.y) if s.x else x for x, s in zip(p.T, self.steps, strict=True)], 1)
        total = made.sum(1, keepdims=True)
        # Where all maps say zero there is no telling: the scores stay.
        return np.where(total > 0, made / np.where(total > 0, total, 1.0), p)


def fit_temperature(
    scores: ArrayLike, labels: ArrayLike, classes: tuple[str, ...], weights: ArrayLike | None = None
) -> Calibration:
    """The temperature with the smallest cross entropy.

    Args:
        scores: (N, C) probabilities.
        labels: (N,) true class.
        classes: Names of the classes. A class without events is no obstacle.
        weights: (N,) event weights; 1 if absent.

    Raises:
        ValueError: If shapes disagree or a score is not finite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> true = softmax(rng.normal(size=(4000, 3)), axis=1)
        >>> labels = (true.cumsum(1) > rng.random((4000, 1))).argmax(1)
        >>> sharp = softmax(3 * np.log(true), axis=1)
        >>> round(fit_temperature(sharp, labels, ("a", "b", "c")).temperature)
        3
    """
    p, y, w = checked(scores, labels, weights)
    logits, rows = np.log(np.maximum(p, FLOOR)), np.arange(len(y))

    def cross_entropy(log_t: float) -> float:
        return float(-(w * log_softmax(logits / np.exp(log_t), axis=1)[rows, y]).sum())

    found = minimize_scalar(cross_entropy, bounds=(-3.0, 3.0), method="bounded")
    return Calibration(classes=classes, temperature=float(np.exp(found.x)))


def fit_isotonic(
    scores: ArrayLike, labels: ArrayLike, classes: tuple[str, ...], weights: ArrayLike | None = None
) -> Calibration:
    """The rising maps closest to the labels, one a class.

    A class of fewer than 50 events keeps its scores. No score becomes exactly 0 or 1: half an event is kept open.

    Args:
        scores: (N, C) probabilities.
        labels: (N,) true class.
        classes: Names of the classes.
        weights: (N,) event weights; 1 if absent.

    Raises:
        ValueError: If shapes disagree or a score is not finite.
    """
    p, y, w = checked(scores, labels, weights)
    return Calibration(
        classes=classes,
        steps=tuple(
            _rising(p[:, k], y == k, w) if (y == k).sum() >= FEWEST else Steps((), ()) for k in range(len(classes))
        ),
    )


def reliability(scores: ArrayLike, labels: ArrayLike, *, bins: int = 10) -> list[tuple[float, Estimate]]:
    """Mean probability and observed frequency in bins of probability: the points of a reliability diagram.

    Args:
        scores: (N,) probability of class 1, or (N, C) probabilities of which the largest is judged.
        labels: (N,) true class.
        bins: Bins of equal width; empty ones are left out.

    Raises:
        ValueError: If shapes disagree or a score is not finite.

    Example:
        >>> [(x, e.value) for x, e in reliability([0.25, 0.25, 0.75, 0.75], [0, 1, 1, 1], bins=2)]
        [(0.25, 0.5), (0.75, 1.0)]
    """
    p, y, _ = checked(scores, labels, None)
    confidence, right = (p, y == 1) if p.ndim == 1 else (p.max(1), p.argmax(1) == y)
    place = np.clip((confidence * bins).astype(np.int64), 0, bins - 1)
    return [
        (float(confidence[place == k].mean()), binomial(float(right[place == k].sum()), float((place == k).sum())))
        for k in range(bins)
        if (place == k).any()
    ]


def _rising(x: Array, is_class: Array, w: Array) -> Steps:
    """Isotonic regression, only the corners of its steps kept."""
    order = np.argsort(x, kind="stable")
    # Equal scores are one point: else their order would matter.
    value, start = np.unique(x[order], return_index=True)
    weight = np.add.reduceat(w[order], start)
    share = np.add.reduceat((w * is_class)[order], start) / np.maximum(weight, 1e-300)
    kept = weight > 0
    value, y = value[kept], isotonic_regression(share[kept], weights=weight[kept]).x
    open_end = 0.5 / len(x)
    y = np.clip(y, open_end, 1 - open_end)
    corner = np.ones(len(y), dtype=bool)
    corner[1:-1] = (y[1:-1] != y[:-2]) | (y[1:-1] != y[2:])
    return Steps(tuple(map(float, value[corner])), tuple(map(float, y[corner])))
