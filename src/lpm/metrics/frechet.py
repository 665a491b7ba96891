"""Fréchet physics distance (Kansal et al., arXiv 2211.10295), as the `jetnet` library computes it.

The Fréchet distance between two Gaussians with the means μ and covariances Σ of the samples is

    d² = |μ₁ − μ₂|² + Tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½).

Its estimate from N events is biased by about 1/N. So it is measured for ten sample sizes at regular steps of 1/N,
20 times each with events drawn with replacement, and a straight line in 1/N with non-negative intercept and slope is
fitted; the intercept, N → ∞, is the FPD, and its error that of the fit. Features are first divided by the largest
absolute value of each in the truth.

Shapes: N and M events, F features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import curve_fit

from lpm.metrics.estimate import Array, Estimate
from lpm.metrics.wasserstein import table

__all__ = ["fpd", "frechet_distance", "products", "scaled"]

_CELLS = 10_000_000  # counts held at once for each sample: 40 MB
_MANY = 100  # features above which events are drawn one sample after the other
_BLOCK = 1_000  # events whose products of features are held at once


def fpd(
    truth: ArrayLike,
    generated: ArrayLike,
    *,
    min_samples: int = 20_000,
    max_samples: int = 50_000,
    batches: int = 20,
    points: int = 10,
    seed: int = 42,
) -> Estimate:
    """Fréchet physics distance ± error of the extrapolation to infinitely many events.

    The defaults are those of `jetnet`; the value depends on them, so state them with it. The CaloChallenge uses
    `min_samples=10_000`.

    Args:
        truth: (N, F) features of true events; 50,000 or more are recommended.
        generated: (M, F) the same features of generated events.
        min_samples: Smallest sample drawn.
        max_samples: Largest sample drawn.
        batches: Draws for each size.
        points: Number of sizes.
        seed: Seed of the draws.

    Raises:
        ValueError: If shapes disagree, a value is not finite, or the sizes are no range.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(1000, 2))
        >>> fpd(x, x, min_samples=200, max_samples=1000).value < 1e-3
        True
    """
    x, y = scaled(*table(truth, generated))
    if not 2 <= min_samples < max_samples:
        raise ValueError(f"sample sizes: expected 2 <= min < max, got {min_samples} and {max_samples}")
    sizes = (1 / np.linspace(1 / min_samples, 1 / max_samples, points)).astype(np.int32)
    drawn = np.repeat(sizes, batches)
    rng = np.random.default_rng(seed)
    chunk = max(1, _CELLS // max(len(x), len(y)))
    distances = np.concatenate([_drawn(x, y, drawn[i : i + chunk], rng) for i in range(0, len(drawn), chunk)])
    means = distances.reshape(points, batches).mean(1)
    fit, covariance = curve_fit(
        lambda inverse, intercept, slope: intercept + slope * inverse, 1 / sizes, means, bounds=([0, 0], [np.inf] * 2)
    )
    error = float(np.sqrt(covariance[0, 0]))
    return Estimate(float(fit[0]), float(fit[0]) - error, float(fit[0]) + error)


def frechet_distance(x: Array, y: Array) -> float:
    """Fréchet distance d² between the Gaussians that have the means and covariances of (N, F) and (M, F).

    The trace of (Σ₁ Σ₂)^½ is the sum of the roots of the eigenvalues of Σ₁^½ Σ₂ Σ₁^½, which is symmetric: this stays
    real where a general matrix root would not.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 3))
        >>> round(frechet_distance(x, x + 2.0), 6)
        12.0
    """
    (m1, s1), (m2, s2) = ((s.mean(0), np.atleast_2d(np.cov(s, rowvar=False))) for s in (x, y))
    return float(_between(m1, s1, m2, s2))


def _between(m1: Array, s1: Array, m2: Array, s2: Array) -> Array:
    """Fréchet distances (...) of Gaussians with means (..., F) and covariances (..., F, F)."""
    values, vectors = np.linalg.eigh(s1)
    root = (vectors * np.sqrt(values.clip(0))[..., None, :]) @ vectors.swapaxes(-1, -2)
    cross = np.sqrt(np.linalg.eigvalsh(root @ s2 @ root).clip(0)).sum(-1)
    trace = np.trace(s1, axis1=-2, axis2=-1) + np.trace(s2, axis1=-2, axis2=-1)
    return np.asarray(((m1 - m2) ** 2).sum(-1) + trace - 2 * cross)


def _drawn(x: Array, y: Array, sizes: NDArray[np.int32], rng: np.random.Generator) -> Array:
    """(R,) distances between samples of R sizes, drawn with replacement.

    How often each event was drawn, times the products of its features, gives the moments of all R samples in one
    product of matrices, without a copy of the events drawn.
    """
    center = x.mean(0)  # small numbers lose fewer digits in their squares
    if x.shape[1] > _MANY:
        a, b = x - center, y - center
        return np.array([_between(*_gathered(a, n, rng), *_gathered(b, n, rng)) for n in sizes])
    counts = tuple(np.empty((len(sizes), len(s)), dtype=np.int32) for s in (x, y))
    for i, n in enumerate(sizes):
        for c in counts:
            c[i] = np.bincount(rng.integers(0, c.shape[1], n), minlength=c.shape[1])
    (m1, s1), (m2, s2) = (_moments(s - center, c, sizes) for s, c in zip((x, y), counts, strict=True))
    return _between(m1, s1, m2, s2)


def _gathered(x: Array, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Mean (F,) and covariance (F, F) of n events drawn: of many features, their products would not fit into memory."""
    drawn = x[rng.integers(0, len(x), n)]
    mean = drawn.mean(0)
    return mean, (drawn.T @ drawn - n * np.outer(mean, mean)) / (n - 1)


def _moments(x: Array, counts: NDArray[np.int32], sizes: NDArray[np.int32]) -> tuple[Array, Array]:
    """Means (R, F) and covariances (R, F, F) of samples that hold event i of (N, F) x as often as (R, N) counts say."""
    features = x.shape[1]
    sums = np.zeros((features + features * (features + 1) // 2, len(counts)))
    for start in range(0, len(x), _BLOCK):
        block = np.ascontiguousarray(x[start : start + _BLOCK].T)
        times = counts[:, start : start + _BLOCK].astype(np.float64)
        sums += np.concatenate([block, products(block)]) @ times.T
    n = sizes[:, None].astype(np.float64)
    mean, squares = sums[:features].T / n, sums[features:].T
    a, b = np.triu_indices(features)
    covariance = np.empty((len(counts), features, features))
    covariance[:, a, b] = covariance[:, b, a] = (squares - n * mean[:, a] * mean[:, b]) / (n - 1)
    return mean, covariance


def products(x: Array) -> Array:
    """The products of two features, each pair once: from (F, N) to (F (F + 1) / 2, N), in the order of `triu_indices`.

    Example:
        >>> products(np.array([[2.0], [3.0]])).tolist()
        [[4.0], [6.0], [9.0]]
    """
    return np.concatenate([x[i] * x[i:] for i in range(len(x))])


def scaled(truth: Array, generated: Array) -> tuple[Array, Array]:
    """Both samples divided by the largest absolute value of each feature in the truth; constant zeros stay."""
    largest = np.abs(truth).max(0)
    largest[largest == 0] = 1
    return truth / largest, generated / largest
