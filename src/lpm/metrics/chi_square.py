r"""Whether two samples may be of one distribution: χ² over its degrees of freedom, of histograms and of shares.

For counts n and m in K bins, N and M in all, of independent samples,

.. math:: \chi^2 = \sum_i \frac{\left( \sqrt{M/N}\, n_i - \sqrt{N/M}\, m_i \right)^2}{n_i + m_i}

follows a χ² distribution with K − 1 degrees of freedom (Gagunashvili, arXiv physics/0605123, eq. 5). Edges are
quantiles of the reference, so that bins are equally full; values that occur often are one bin, and what is missing is
one. χ² grows with the number of events unless the two are equal, so that it must be quoted with that number.

Shapes: N and M values, K bins, G groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from lpm.metrics.estimate import LEVEL, SAMPLES, Array, Estimate, interval

__all__ = ["BINS", "ChiSquare", "compared", "degrees", "homogeneity"]

BINS = 40
"""Bins of a histogram."""

_FEWEST = 10
"""Fewest entries of a bin, both samples together."""


@dataclass(frozen=True)
class ChiSquare:
    """A comparison.

    Args:
        value: χ².
        freedom: Degrees of freedom.
        estimate: χ² over them, with the deviation of its bootstrap.
        counts: (N, M) values compared.
    """

    value: float
    freedom: int
    estimate: Estimate
    counts: tuple[int, int]

    @property
    def probability(self) -> float:
        """Of a larger χ² if both samples are of one distribution."""
        return float(chi2.sf(self.value, self.freedom))


def compared(generated: ArrayLike, reference: ArrayLike, *, bins: int = BINS, seed: int = 0) -> ChiSquare:
    """Compare two samples of one number.

    Args:
        generated: (N,) values. Those that are NaN or infinite have a bin of their own, if either side has any.
        reference: (M,) values.
        bins: Bins of finite values, fewer where values repeat.
        seed: Of the bootstrap.

    Raises:
        ValueError: If either sample has fewer finite values than ten a bin.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> same = compared(rng.normal(size=5000), rng.normal(size=5000))
        >>> other = compared(rng.normal(0.2, 1, 5000), rng.normal(size=5000))
        >>> same.freedom, same.probability > 0.01, other.probability < 0.01
        (39, True, True)
    """
    whole = [np.asarray(x, float) for x in (generated, reference)]
    sides = [x[np.isfinite(x)] for x in whole]
    if min(map(len, sides)) < _FEWEST * bins:
        raise ValueError(
            f"χ² in {bins} bins: expected at least {_FEWEST * bins} values on both sides, got {len(sides[0])} and "
            f"{len(sides[1])}; make more"
        )
    inner, times = np.unique(np.quantile(sides[1], np.linspace(0, 1, bins + 1)[1:-1]), return_counts=True)
    # A value that is several quantiles has a bin of its own: what lies beside it is something else.
    inner = np.union1d(inner, np.nextafter(inner[times > 1], np.inf))
    n, m = (np.bincount(np.searchsorted(inner, x, side="right"), minlength=len(inner) + 1) for x in sides)
    missing = [len(x) - len(some) for x, some in zip(whole, sides, strict=True)]
    if any(missing):
        n, m = (np.append(c, k) for c, k in zip((n, m), missing, strict=True))
    return homogeneity(n[None], m[None], seed=seed)


def homogeneity(generated: ArrayLike, reference: ArrayLike, *, seed: int = 0) -> ChiSquare:
    """Compare shares of categories in each of several groups of events.

    Args:
        generated: (G, K) counts.
        reference: (G, K) counts. Groups that either side does not have are left out, and rare categories of a group are
            joined with the most frequent one.
        seed: Of the bootstrap.

    Raises:
        ValueError: If shapes differ, or nothing is left to compare.
    """
    n, m = np.asarray(generated, dtype=np.int64), np.asarray(reference, dtype=np.int64)
    if n.shape != m.shape or n.ndim != 2:
        raise ValueError(f"counts: expected two (groups, categories), got {n.shape} and {m.shape}")
    pairs = _pairs(n, m)
    freedom = sum(len(a) - 1 for a, _ in pairs)
    if not freedom:
        raise ValueError("counts: nothing to compare, every group has one category or events on one side only")
    rng = np.random.default_rng(seed)
    value = sum(float(_value(a[None], b[None])[0]) for a, b in pairs)
    replicas = np.zeros(SAMPLES)
    for a, b in pairs:
        replicas += _value(*(rng.multinomial(c.sum(), c / c.sum(), SAMPLES) for c in (a, b)))
    estimate = interval(value / freedom, replicas / freedom, level=LEVEL, method="normal")
    whole = Estimate(estimate.value, max(estimate.low, 0.0), estimate.high)
    return ChiSquare(value, freedom, whole, (int(n.sum()), int(m.sum())))


def degrees(generated: ArrayLike, reference: ArrayLike) -> int:
    """Degrees of freedom of `homogeneity` of two (G, K) counts; 0 where there is nothing to compare.

    Example:
        >>> degrees([[30, 20]], [[40, 10]]), degrees([[30, 0]], [[40, 0]])
        (1, 0)
    """
    pairs = _pairs(np.asarray(generated, dtype=np.int64), np.asarray(reference, dtype=np.int64))
    return sum(len(a) - 1 for a, _ in pairs)


def _pairs(n: NDArray[np.int64], m: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Counts of the groups that both sides have, rare categories joined."""
    return [_joined(a, b) for a, b in zip(n, m, strict=True) if a.sum() and b.sum()]


def _joined(a: NDArray[np.int64], b: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rare categories counted with the most frequent one."""
    both = a + b
    rare = both < _FEWEST
    most = int(both.argmax())
    rare[most] = False
    a, b = a.copy(), b.copy()
    a[most] += a[rare].sum()
    b[most] += b[rare].sum()
    return a[~rare], b[~rare]


def _value(n: NDArray[np.int64], m: NDArray[np.int64]) -> Array:
    """(R,) χ² of (R, K) counts."""
    ratio = np.sqrt(m.sum(1) / n.sum(1))[:, None]
    both = np.maximum(n + m, 1)
    return np.asarray(((ratio * n - m / ratio) ** 2 / both).sum(1))
