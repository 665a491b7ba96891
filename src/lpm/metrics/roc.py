"""How well one score tells signal from background: ROC curve, its area, and the rejection at working points.

With the signal efficiency ε_S and the background efficiency ε_B of a cut "score ≥ t", the ROC curve is ε_B(ε_S), its
area is AUC = P(score of a signal event > score of a background event) + ½ P(equal), and the background rejection at a
working point is 1/ε_B at the tightest cut that keeps at least the wanted ε_S.

Shapes: N events, C classes, R bootstrap samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, permutations
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

from lpm.metrics.estimate import LEVEL, SAMPLES, Array, Estimate, bootstrap, interval, resamples
from lpm.metrics.scores import binary, several

__all__ = [
    "RocCurve",
    "pair_score",
    "rejection",
    "roc_auc",
    "roc_auc_one_vs_one",
    "roc_auc_one_vs_rest",
    "roc_curve",
]

Counts: TypeAlias = NDArray[np.uint8]
"""(R, N) how often each event occurs in each bootstrap sample."""

_BLOCK = 500_000
"""Counts that `bootstrap` holds at once."""


@dataclass(frozen=True, eq=False)
class RocCurve:
    """The points of a ROC curve, from the tightest cut to the loosest.

    Args:
        signal: (P,) signal efficiency, rising from 0 to 1.
        background: (P,) background efficiency, rising from 0 to 1.
        threshold: (P,) an event passes if its score is at least this; the first is infinite.
    """

    signal: Array
    background: Array
    threshold: Array

    def background_at(self, signal: ArrayLike) -> Array:
        """Background efficiency of the tightest cut that keeps at least the given signal efficiencies."""
        # The tolerance forgives the last bit of a sum of weights, not an event.
        return np.asarray(self.background[np.searchsorted(self.signal, np.asarray(signal) - 1e-12)])


def roc_auc(
    scores: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    seed: int = 0,
    samples: int = SAMPLES,
    level: float = LEVEL,
) -> Estimate:
    """Area under the ROC curve of signal (label 1) against background (label 0).

    Ties count one half. One sort serves all bootstrap samples: O(N log N + R N).

    Args:
        scores: (N,) larger means more signal-like.
        labels: (N,) 0 or 1.
        weights: (N,) event weights; 1 if absent.
        seed: Seed of the bootstrap.
        samples: Bootstrap samples.
        level: Probability held by the interval.

    Raises:
        ValueError: If a class has no event, shapes disagree or a score is not finite.

    Example:
        >>> roc_auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).value
        0.75
    """
    s, y, w = binary(scores, labels, weights)
    return bootstrap(_auc_statistic(s, y, w), len(y), seed=seed, samples=samples, level=level)


def roc_auc_one_vs_one(
    scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, *, seed: int = 0, samples: int = SAMPLES
) -> Estimate:
    """Mean over all ordered pairs (a, b) of classes of the AUC of class a against class b by the score of a.

    This is the number JetClass quotes, and scikit-learn's `multi_class="ovo", average="macro"`.

    Args:
        scores: (N, C) one score a class.
        labels: (N,) true class.
        weights: (N,) event weights; 1 if absent.
        seed: Seed of the bootstrap.
        samples: Bootstrap samples.

    Raises:
        ValueError: If a class has no event, shapes disagree or a score is not finite.

    Example:
        >>> p = np.eye(3)[[0, 1, 2, 2]]
        >>> roc_auc_one_vs_one(p, [0, 1, 2, 2]).value
        1.0
    """
    p, y, w = several(scores, labels, weights)

    def of_pair(a: int, b: int, r: Counts) -> Array:
        rows = np.flatnonzero((y == a) | (y == b))
        return _auc_statistic(p[rows, a], y[rows] == a, w[rows])(r[:, rows])

    pairs = list(permutations(range(p.shape[1]), 2))
    return _mean_area([partial(of_pair, a, b) for a, b in pairs], len(y), seed=seed, samples=samples)


def roc_auc_one_vs_rest(
    scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, *, seed: int = 0, samples: int = SAMPLES
) -> Estimate:
    """Mean over classes of the AUC of each class against all others; arguments as in `roc_auc_one_vs_one`.

    Example:
        >>> roc_auc_one_vs_rest(np.eye(3), [0, 1, 2]).value
        1.0
    """
    p, y, w = several(scores, labels, weights)

    def of_class(c: int, r: Counts) -> Array:
        return _auc_statistic(p[:, c], y == c, w)(r)

    return _mean_area([partial(of_class, c) for c in range(p.shape[1])], len(y), seed=seed, samples=samples)


def roc_curve(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> RocCurve:
    """The ROC curve, one point for each distinct score.

    Args:
        scores: (N,) larger means more signal-like.
        labels: (N,) 0 or 1.
        weights: (N,) event weights, none negative; 1 if absent.

    Raises:
        ValueError: If a class has no event, shapes disagree or a score is not finite.

    Example:
        >>> c = roc_curve([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
        >>> c.signal.tolist(), c.background.tolist()
        ([0.0, 0.5, 0.5, 1.0, 1.0], [0.0, 0.0, 0.5, 0.5, 1.0])
    """
    s, y, w = binary(scores, labels, weights)
    order = np.argsort(-s, kind="stable")
    last = np.append(np.flatnonzero(np.diff(s[order])), len(s) - 1)
    signal, background = (np.append(0.0, np.cumsum((w * k)[order])[last]) for k in (y == 1, y == 0))
    return RocCurve(signal / signal[-1], background / background[-1], np.append(np.inf, s[order][last]))


def rejection(
    scores: ArrayLike,
    labels: ArrayLike,
    efficiency: float,
    weights: ArrayLike | None = None,
    *,
    seed: int = 0,
    samples: int = SAMPLES,
    level: float = LEVEL,
) -> Estimate:
    """Background rejection 1/ε_B at a signal efficiency.

    The interval is that of the bootstrap, which lets the cut move, and never narrower than the Jeffreys interval of
    the counted background at the fixed cut: when few events pass, resampling alone would claim too much. Where no
    background event passes, the value is that of one passing event and the upper end is infinite.

    Args:
        scores: (N,) larger means more signal-like.
        labels: (N,) 0 or 1.
        efficiency: Signal efficiency ε_S in (0, 1].
        weights: (N,) event weights, none negative; 1 if absent.
        seed: Seed of the bootstrap.
        samples: Bootstrap samples.
        level: Probability held by the interval.

    Raises:
        ValueError: If the efficiency is out of range, a class has no event or a score is not finite.

    Example:
        >>> rejection([0.9, 0.8, 0.7, 0.3, 0.2, 0.1], [1, 0, 1, 0, 0, 0], efficiency=1.0).value
        4.0
    """
    if not 0 < efficiency <= 1:
        raise ValueError(f"signal efficiency: expected more than 0 and at most 1, got {efficiency}")
    s, y, w = binary(scores, labels, weights)
    w_background = w[y == 0]
    n = w_background.sum() ** 2 / (w_background**2).sum()
    floor = 1 / n
    statistic = _background_statistic(s, y, w, efficiency)
    drawn = bootstrap(statistic, len(y), seed=seed, samples=samples, level=level)
    k = drawn.value * n
    low, high = beta.ppf([(1 - level) / 2, (1 + level) / 2], k + 0.5, n - k + 0.5)
    if drawn.value == 0:
        return Estimate(1 / floor, min(float(1 / high), 1 / floor), math.inf)
    low, high = min(low, drawn.low or low, drawn.value), max(high, drawn.high, drawn.value)
    return Estimate(1 / drawn.value, float(1 / high), float(1 / low))


def pair_score(scores: ArrayLike, signal: int, background: int) -> Array:
    """Discriminant of one class against another, s_a / (s_a + s_b), from (N, C) probabilities.

    Example:
        >>> pair_score([[0.25, 0.75]], signal=1, background=0).tolist()
        [0.75]
    """
    p = np.asarray(scores, dtype=np.float64)
    total = p[:, signal] + p[:, background]
    # Both can underflow to zero: then the two classes are equally unlikely.
    return np.asarray(np.divide(p[:, signal], total, out=np.full(len(p), 0.5), where=total > 0))


def _mean_area(areas: Sequence[Callable[[Counts], Array]], n: int, *, seed: int, samples: int) -> Estimate:
    """Mean of several areas, each of which sorts the events anew, with one bootstrap for all of them.

    All samples are drawn first, so that only one area at a time needs the order of its events: ten classes have 90
    pairs, and their orders take more memory than the counts, a byte for each event and sample.

    Args:
        areas: Each takes (R, n) counts and returns (R,) values.
        n: Number of events.
        seed: Seed of the resampling.
        samples: Bootstrap samples.
    """
    rng = np.random.default_rng(seed)
    drawn = np.ones((samples + 1, n), dtype=np.uint8)  # no event is ever drawn 256 times
    for row in drawn[1:]:
        row[:] = resamples(n, 1, rng)[0]
    found = np.stack([area(drawn) for area in areas])
    # In the blocks of `bootstrap`: a sum over one sample is rounded otherwise than one over several side by side.
    ends = [0, *range(1, samples + 1, max(1, _BLOCK // n)), samples + 1]
    mean = np.concatenate([np.mean(np.ascontiguousarray(found[:, a:b]), axis=0) for a, b in pairwise(ends)])
    return interval(float(mean[0]), mean[1:])


def _auc_statistic(s: Array, y: NDArray[np.integer] | NDArray[np.bool_], w: Array) -> Callable[[Array | Counts], Array]:
    """The AUC as a function of (R, N) weights, sorting the scores once."""
    order = np.argsort(s, kind="stable")
    positive = w[order] * (y[order] == 1)
    negative = w[order] * (y[order] == 0)
    first = np.append(0, np.flatnonzero(np.diff(s[order])) + 1)
    ties = len(first) < len(s)

    def one(r: NDArray[Any]) -> float:
        r = r[order]
        p, n = r * positive, r * negative
        if ties:
            p, n = np.add.reduceat(p, first), np.add.reduceat(n, first)
        below = np.cumsum(n)
        total = p.sum() * below[-1]
        # Without ties an event is signal or background, and no event lies half below itself.
        area = p @ below - (p @ n / 2 if ties else 0)
        return float(area / total) if total > 0 else math.nan

    return lambda r: np.array([one(row) for row in r])


def _background_statistic(s: Array, y: NDArray[np.integer], w: Array, efficiency: float) -> Callable[[Array], Array]:
    """The background efficiency at a signal efficiency as a function of (R, N) weights, sorting the scores once."""
    order = np.argsort(-s, kind="stable")
    positive, negative = w[order] * (y[order] == 1), w[order] * (y[order] == 0)
    last = np.append(np.flatnonzero(np.diff(s[order])), len(s) - 1)

    def statistic(r: Array) -> Array:
        r = r[:, order]
        signal = np.cumsum(r * positive, axis=1)[:, last]
        background = np.cumsum(r * negative, axis=1)[:, last]
        reached = signal >= (efficiency - 1e-12) * signal[:, -1:]
        passed = np.take_along_axis(background, reached.argmax(1)[:, None], 1)[:, 0]
        total = background[:, -1]
        return np.asarray(
            np.divide(passed, total, out=np.full(len(r), math.nan), where=(total > 0) & (signal[:, -1] > 0))
        )

    return statistic
