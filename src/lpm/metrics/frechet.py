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
from numpy.typing import ArrayLike
from scipy.optimize import curve_fit

from lpm.metrics.estimate import Array, Estimate
from lpm.metrics.wasserstein import table

__all__ = ["fpd", "frechet_distance", "scaled"]


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
    rng = np.random.default_rng(seed)
    means = []
    for n in sizes:
        drawn = [(x[rng.choice(len(x), size=n)], y[rng.choice(len(y), size=n)]) for _ in range(batches)]
        means.append(np.mean([frechet_distance(a, b) for a, b in drawn]))
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
    s1, s2 = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    values, vectors = np.linalg.eigh(s1)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ s2 @ root).clip(0)).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * cross)


def scaled(truth: Array, generated: Array) -> tuple[Array, Array]:
    """Both samples divided by the largest absolute value of each feature in the truth; constant zeros stay."""
    largest = np.abs(truth).max(0)
    largest[largest == 0] = 1
    return truth / largest, generated / largest
