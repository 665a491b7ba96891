"""Wasserstein distances: how far the probability has to be carried to turn one distribution into the other.

In one dimension, W1 = ∫ |F(x) − G(x)| dx with the distribution functions F and G, in the unit of x. The sliced distance
is the mean of W1 over random directions of the unit sphere (Rabin et al., SSVM 2011), for several observables at once.

Rows may belong to events (the particles of jets). Events, not rows, are resampled, since the particles of one jet are
not independent.

Shapes: N and M rows, F features, R bootstrap samples, L directions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lpm.metrics.estimate import Array, Estimate, interval, resamples

__all__ = ["sliced_wasserstein", "wasserstein"]

_CELLS = 4_000_000


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
    a, b = _column(x, "x"), _column(y, "y")
    wa = np.ones(len(a)) if x_weights is None else np.asarray(x_weights, dtype=np.float64)
    wb = np.ones(len(b)) if y_weights is None else np.asarray(y_weights, dtype=np.float64)
    ea = np.arange(len(a)) if x_event is None else np.asarray(x_event)
    eb = np.arange(len(b)) if y_event is None else np.asarray(y_event)
    z = np.concatenate([a, b])
    order = np.argsort(z, kind="stable")
    step = np.diff(z[order])
    signed = np.concatenate([wa, np.zeros(len(b))])[order], np.concatenate([np.zeros(len(a)), wb])[order]
    # Rows of the other sample have weight zero, so any valid event number does for them.
    event = np.concatenate([ea, np.zeros_like(eb)])[order], np.concatenate([np.zeros_like(ea), eb])[order]

    def distance(ra: Array, rb: Array) -> Array:
        f = np.cumsum(ra[:, event[0]] * signed[0], axis=1)
        g = np.cumsum(rb[:, event[1]] * signed[1], axis=1)
        # A sample of events without rows has no distribution: its distance is NaN and is left out.
        with np.errstate(invalid="ignore", divide="ignore"):
            gap = np.abs(f / f[:, -1:] - g / g[:, -1:])[:, :-1]
        return np.asarray(gap @ step)

    n, m = int(ea.max()) + 1, int(eb.max()) + 1
    value = float(distance(np.ones((1, n)), np.ones((1, m)))[0])
    rng = np.random.default_rng(seed)
    chunk = max(1, _CELLS // len(z))
    sizes = [min(chunk, samples - i) for i in range(0, samples, chunk)]
    replicas = [distance(*(resamples(k, s, rng).astype(np.float64) for k in (n, m))) for s in sizes]
    return _positive(value, np.concatenate(replicas))


def sliced_wasserstein(
    x: ArrayLike, y: ArrayLike, *, directions: int = 128, seed: int = 0, samples: int = 30
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


def _column(x: ArrayLike, name: str) -> Array:
    a = np.asarray(x, dtype=np.float64)
    if a.ndim != 1 or not len(a) or not np.isfinite(a).all():
        raise ValueError(f"{name}: expected (N,) finite values, N > 0, got shape {a.shape}; drop NaN first")
    return a


def _positive(value: float, replicas: Array) -> Estimate:
    e = interval(value, replicas, method="normal")
    return Estimate(e.value, max(e.low, 0.0), e.high)
