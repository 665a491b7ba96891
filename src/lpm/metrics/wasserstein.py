"""Wasserstein distances: how far the probability has to be carried to turn one distribution into the other.

In one dimension, W1 = ∫ |F(x) − G(x)| dx with the distribution functions F and G, in the unit of x. The sliced distance
is the mean of W1 over random directions of the unit sphere (Rabin et al., SSVM 2011), for several observables at once.

Rows may belong to events (the particles of jets). Events, not rows, are resampled, since the particles of one jet are
not independent.

Shapes: N and M rows, F features, L directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lpm.metrics.estimate import Array, Estimate, interval

__all__ = ["sliced_wasserstein", "wasserstein"]

_STEPS = 500


def wasserstein(
    x: ArrayLike,
    y: ArrayLike,
    x_weights: ArrayLike | None = None,
    y_weights: ArrayLike | None = None,
    *,
    x_event: ArrayLike | None = None,
    y_event: ArrayLike | None = None,
    seed: int = 0,
    samples: int = 100,
) -> Estimate:
    """W1 between two samples of one observable; equal to `scipy.stats.wasserstein_distance`.

    Args:
        x: (N,) values.
        y: (M,) values.
        x_weights: (N,) weights; 1 if absent.
        y_weights: (M,) weights; 1 if absent.
        x_event: (N,) event number of each row, from 0; each row its own event if absent.
        y_event: (M,) the same for y.
        seed: Seed of the bootstrap.
        samples: Bootstrap samples.

    Returns:
        The distance in the unit of x ± the spread of the bootstrap, not below 0.

    Raises:
        ValueError: If a sample is empty or holds NaN or infinities.

    Example:
        >>> wasserstein([0.0, 1.0], [1.0, 2.0]).value
        1.0
    """
    a, b = _Sample.of(x, x_weights, x_event, "x"), _Sample.of(y, y_weights, y_event, "y")
    grid = np.unique(np.concatenate([a.values, b.values]))
    value = _area(grid, a.distribution(grid), b.distribution(grid))
    # The spread needs no more than some hundred steps of the distribution functions.
    coarse = grid if len(grid) <= _STEPS else grid[np.linspace(0, len(grid) - 1, _STEPS).astype(np.int64)]
    rng = np.random.default_rng(seed)
    bins = a.bins(coarse), b.bins(coarse)
    replicas = [
        _area(coarse, *(s.resampled(coarse, k, rng) for s, k in zip((a, b), bins, strict=True))) for _ in range(samples)
    ]
    return _positive(value, np.array(replicas))


def sliced_wasserstein(
    x: ArrayLike, y: ArrayLike, *, directions: int = 64, seed: int = 0, samples: int = 30
) -> Estimate:
    """Mean W1 over random directions, of features divided by the spread of y.

    Args:
        x: (N, F) features.
        y: (M, F) features of the truth: its mean and standard deviation set the scale.
        directions: Number of directions.
        seed: Seed of directions and bootstrap.
        samples: Bootstrap samples.

    Returns:
        The distance in units of the standard deviation of y ± the spread of the bootstrap, not below 0.

    Raises:
        ValueError: If shapes disagree or a value is not finite.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(500, 3))
        >>> sliced_wasserstein(x, x).value
        0.0
    """
    a, b = table(x, y)
    mean, scale = b.mean(0), b.std(0)
    scale[scale == 0] = 1
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(a.shape[1], directions))
    u /= np.linalg.norm(u, axis=0)
    pa, pb = ((a - mean) / scale) @ u, ((b - mean) / scale) @ u
    value = _mean_distance(pa, pb)
    replicas = [
        _mean_distance(pa[rng.integers(0, len(pa), len(pa))], pb[rng.integers(0, len(pb), len(pb))])
        for _ in range(samples)
    ]
    return _positive(value, np.array(replicas))


def table(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Two samples of the same features, (N, F) and (M, F), as float64.

    Raises:
        ValueError: If they are no such tables, have fewer than two rows, or hold NaN or infinities.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"expected two tables (events, features) with the same features, got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("features: expected finite values, got NaN or infinity; drop those events first")
    return a, b


def _mean_distance(a: Array, b: Array) -> float:
    """Mean W1 of the columns of (N, L) and (M, L)."""
    a, b = np.sort(a, axis=0), np.sort(b, axis=0)
    if len(a) != len(b):
        # Quantile functions of both samples on the finer common grid of their steps.
        grid = np.unique(np.concatenate([np.arange(1, len(a) + 1) / len(a), np.arange(1, len(b) + 1) / len(b)]))
        weight = np.diff(np.append(0.0, grid))
        middle = grid - weight / 2
        gap = np.abs(a[_rank(middle, len(a))] - b[_rank(middle, len(b))])
        return float((weight @ gap).mean())
    return float(np.abs(a - b).mean())


def _rank(probability: Array, n: int) -> NDArray[np.int64]:
    return np.minimum((probability * n).astype(np.int64), n - 1)


@dataclass(frozen=True, eq=False)
class _Sample:
    """Weighted values and the event of each."""

    values: Array
    weights: Array
    event: NDArray[np.int64]

    @classmethod
    def of(cls, x: ArrayLike, weights: ArrayLike | None, event: ArrayLike | None, name: str) -> _Sample:
        a = np.asarray(x, dtype=np.float64)
        if a.ndim != 1 or not len(a) or not np.isfinite(a).all():
            raise ValueError(f"{name}: expected (N,) finite values, N > 0, got shape {a.shape}; drop NaN first")
        w = np.ones(len(a)) if weights is None else np.asarray(weights, dtype=np.float64)
        e = np.arange(len(a)) if event is None else np.asarray(event, dtype=np.int64)
        if w.shape != a.shape or e.shape != a.shape:
            raise ValueError(f"{name}: expected a weight and an event for each of {len(a)} values")
        return cls(a, w, e)

    def bins(self, grid: Array) -> NDArray[np.int64]:
        """The first point of the grid that is not below each value; the grid ends at the largest value or above."""
        return np.searchsorted(grid, self.values)

    def distribution(self, grid: Array) -> Array:
        """Distribution function at the points of the grid."""
        total = np.cumsum(np.bincount(self.bins(grid), self.weights, len(grid)))
        return np.asarray(total / total[-1])

    def resampled(self, grid: Array, bins: NDArray[np.int64], rng: np.random.Generator) -> Array:
        """The same after drawing events with replacement; NaN if all rows drawn weigh nothing."""
        n = int(self.event.max()) + 1
        times = np.bincount(rng.integers(0, n, n), minlength=n)
        total = np.cumsum(np.bincount(bins, self.weights * times[self.event], len(grid)))
        return np.asarray(total / total[-1]) if total[-1] > 0 else np.full(len(grid), np.nan)


def _area(grid: Array, f: Array, g: Array) -> float:
    """The area between two distribution functions that step at the points of the grid."""
    return float(np.abs(f - g)[:-1] @ np.diff(grid))


def _positive(value: float, replicas: Array) -> Estimate:
    e = interval(value, replicas, method="normal")
    return Estimate(e.value, max(e.low, 0.0), e.high)
