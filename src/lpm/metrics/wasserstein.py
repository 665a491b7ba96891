"""Wasserstein distances: how far the probability has to be carried to turn one distribution into the other.

In one dimension, W1 = ∫ |F(x) − G(x)| dx with the distribution functions F and G, in the unit of x. The sliced distance
is the mean of W1 over random directions of the unit sphere (Rabin et al., SSVM 2011), for several observables at once.

All values are sorted once. W1 of a sample drawn with replacement needs no other sort: with the weight w of each value,
positive for x and negative for y, the difference F − G after the k-th value is the sum of the first k weights.

Rows may belong to events (the particles of jets). Events, not rows, are resampled, since the particles of one jet are
not independent.

Shapes: N and M rows, F features, L directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lpm.metrics.estimate import Array, Estimate, interval

__all__ = ["replicated", "sliced_wasserstein", "wasserstein"]

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
    value, replicas = replicated(
        x, y, x_weights, y_weights, x_event=x_event, y_event=y_event, seed=seed, samples=samples, steps=_STEPS
    )
    return _positive(value, replicas)


def replicated(
    x: ArrayLike,
    y: ArrayLike,
    x_weights: ArrayLike | None = None,
    y_weights: ArrayLike | None = None,
    *,
    x_event: ArrayLike | None = None,
    y_event: ArrayLike | None = None,
    seed: int = 0,
    samples: int = 100,
    steps: int | None = None,
) -> tuple[float, Array]:
    """W1, and W1 of bootstrap samples, for those who need more than an interval; arguments as in `wasserstein`.

    The mean and the spread of the replicas are what `jetnet` calls the score and its deviation: the mean lies above
    the distance of the samples, since what is drawn differs more than what it is drawn from.

    Args:
        x: (N,) values.
        y: (M,) values.
        x_weights: (N,) weights.
        y_weights: (M,) weights.
        x_event: (N,) event number of each row.
        y_event: (M,) the same for y.
        seed: Seed of the bootstrap.
        samples: Bootstrap samples R.
        steps: Points of the distribution functions in a replica; None for all, which makes it exact.

    Returns:
        The distance and (R,) those of the bootstrap samples; NaN where all rows drawn weigh nothing.

    Raises:
        ValueError: If a sample is empty or holds NaN or infinities.

    Example:
        >>> value, replicas = replicated([0.0, 1.0], [1.0, 2.0], samples=3)
        >>> value, replicas.shape
        (1.0, (3,))
    """
    both = [_Sample.of(x, x_weights, x_event, "x"), _Sample.of(y, y_weights, y_event, "y")]
    merged = np.concatenate([s.values for s in both])
    order = _order(merged)
    merged = merged[order]
    weights = np.concatenate([s.weights for s in both])[order]
    event = np.concatenate([both[0].event, both[1].event + both[0].events])[order]
    width = np.diff(merged)
    value = _area(_signed([np.ones(s.events) for s in both], both)[event] * weights, width)
    first = np.arange(len(merged))
    if steps is not None and len(merged) > steps:
        grid = np.unique(merged)
        grid = grid if len(grid) <= steps else grid[np.linspace(0, len(grid) - 1, steps).astype(np.int64)]
        first, width = np.append(0, np.searchsorted(merged, grid[:-1], side="right")), np.diff(grid)
    rng = np.random.default_rng(seed)
    replicas = np.empty(samples)
    for i in range(samples):
        drawn = _signed([_times(s.events, rng) for s in both], both)[event] * weights
        replicas[i] = _area(drawn if len(first) == len(merged) else np.add.reduceat(drawn, first), width)
    return value, replicas


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
    merged = u.T @ np.concatenate([(a - mean) / scale, (b - mean) / scale]).T
    drawn = np.empty((samples + 1, len(a) + len(b)))
    drawn[0, : len(a)], drawn[0, len(a) :] = 1 / len(a), -1 / len(b)
    for w in drawn[1:]:
        w[: len(a)] = _times(len(a), rng) / len(a)
        w[len(a) :] = _times(len(b), rng) / -len(b)
    distances = np.mean([_areas(line, drawn) for line in merged], axis=0)
    return _positive(float(distances[0]), distances[1:])


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


def _areas(values: Array, weights: Array) -> Array:
    """(R,) W1 for (R, N) signed weights of (N,) values; one row of weights at a time stays in the cache."""
    order = _order(values)
    width = np.diff(values[order])
    return np.array([_area(w[order], width) for w in weights])


def _area(weights: Array, width: Array) -> float:
    """The area between two distribution functions, from signed weights in the order of the values."""
    gap = np.cumsum(weights)[:-1]
    return float(np.abs(gap, out=gap) @ width)


def _times(n: int, rng: np.random.Generator) -> Array:
    """(n,) how often each of n events occurs among n drawn with replacement."""
    return np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)


def _order(values: Array) -> NDArray[np.int64]:
    """What sorts (N,) values.

    Numbers that came from float32 are sorted in one word with their places, bits as a whole number of the same order in
    the upper half: six times as fast as to sort the places by the values.
    """
    short = values.astype(np.float32)
    if not np.array_equal(short, values):
        return np.argsort(values)
    bits = short.view(np.int32).astype(np.int64)
    words = (np.where(bits < 0, bits ^ 0x7FFFFFFF, bits) << 32) | np.arange(len(values))
    words.sort()
    return words & 0xFFFFFFFF


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

    @cached_property
    def events(self) -> int:
        """Number of events."""
        return int(self.event.max()) + 1

    @cached_property
    def per_event(self) -> Array:
        """Weight of all rows of each event."""
        return np.asarray(np.bincount(self.event, self.weights, self.events))


def _signed(times: Sequence[Array], samples: Sequence[_Sample]) -> Array:
    """The share that a row of each event has in its sample, per unit of its weight; negative in the second sample."""
    totals = [float(s.per_event @ n) for n, s in zip(times, samples, strict=True)]
    x, y = (n / t if t > 0 else np.full(len(n), np.nan) for n, t in zip(times, totals, strict=True))
    return np.concatenate([x, -y])


def _positive(value: float, replicas: Array) -> Estimate:
    e = interval(value, replicas, method="normal")
    return Estimate(e.value, max(e.low, 0.0), e.high)
