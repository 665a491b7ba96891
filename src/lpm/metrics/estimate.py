"""A value with its uncertainty, and the bootstrap that finds it.

The bootstrap draws n events with replacement from n events. A drawn sample is fully described by how often each event
occurs in it, so a statistic that takes event weights needs no copies and no second sort: it is called with the (R, n)
counts of R samples at once. Two choices of interval are made here (Efron and Tibshirani, "An Introduction to the
Bootstrap", 1993, chapters 13 and 14):

- `percentile`: the central quantiles of the replicas. For statistics without bias: means, AUC, efficiencies.
- `bca`: percentile corrected for bias and for a spread that changes with the value (acceleration).
- `normal`: value ± one standard deviation of the replicas (times the quantile of the level). For distances, which
  resampling shifts upwards: two resampled halves of one sample lie further apart than the sample from itself.

All intervals are central and hold 68% unless another level is given, so `Estimate.error` reads as one sigma.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

__all__ = ["LEVEL", "SAMPLES", "Array", "Estimate", "Interval", "bootstrap", "interval", "resamples"]

Array: TypeAlias = NDArray[np.float64]
Interval: TypeAlias = Literal["percentile", "bca", "normal"]

LEVEL = 0.68
"""Probability held by an interval unless a call says otherwise."""

SAMPLES = 200
"""Bootstrap samples unless a call says otherwise: the error on an interval's end is then about a tenth of its width."""

_CELLS = 500_000  # counts held at once: 4 MB, which a cache can hold


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and the interval that holds the truth with the stated probability (68% by default).

    Args:
        value: The estimate from all events.
        low: Lower end of the interval.
        high: Upper end of the interval; infinite where the events set a lower bound only.

    Raises:
        ValueError: If the interval is upside down.

    Example:
        >>> e = Estimate(0.97, 0.96, 0.98)
        >>> round(e.error, 3), str(e)
        (0.01, '0.970 ± 0.010')
        >>> str(Estimate(120.0, 100.0, math.inf))
        '> 100'
        >>> Estimate.from_json(e.to_json()) == e
        True
    """

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"interval: expected low <= high, got [{self.low}, {self.high}]; swap the two")

    @classmethod
    def symmetric(cls, value: float, error: float) -> Estimate:
        """Value ± error."""
        return cls(float(value), float(value - error), float(value + error))

    @classmethod
    def from_json(cls, raw: Mapping[str, float | None]) -> Estimate:
        """Read what `to_json` wrote: null at the upper end alone means no upper end, elsewhere not computed."""
        value, low, high = (math.nan if (x := raw[k]) is None else float(x) for k in ("value", "low", "high"))
        return cls(value, low, math.inf if math.isnan(high) and not math.isnan(low) else high)

    @property
    def error(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    def to_json(self) -> dict[str, float | None]:
        """`{"value", "low", "high"}`. JSON knows no NaN and no infinity: they become null."""
        named = {"value": self.value, "low": self.low, "high": self.high}
        return {k: float(v) if math.isfinite(v) else None for k, v in named.items()}

    def __str__(self) -> str:
        up, down = self.high - self.value, self.value - self.low
        width = max(abs(up), abs(down))
        if self.high == math.inf:
            return f"> {self.low:.0f}" if abs(self.low) >= 100 else f"> {self.low:.3g}"
        if not math.isfinite(width) or width == 0:
            return f"{self.value:.4g}"
        digits = max(0, 1 - math.floor(math.log10(width)))
        if digits > 6 or abs(self.value) >= 1e6:
            return f"({self.value:.3g} ± {width:.1g})"
        if abs(up - down) < 0.2 * width:
            return f"{self.value:.{digits}f} ± {width:.{digits}f}"
        return f"{self.value:.{digits}f} +{up:.{digits}f} −{down:.{digits}f}"


def resamples(n: int, samples: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How often each of n events occurs in each bootstrap sample.

    Args:
        n: Events.
        samples: Bootstrap samples R.
        rng: Source of randomness.

    Returns:
        (R, n) counts; each row sums to n.
    """
    counts = np.empty((samples, n), dtype=np.int64)
    for row in counts:  # one at a time, since that many counters stay in the cache
        row[:] = np.bincount(rng.integers(0, n, n), minlength=n)
    return counts


def interval(value: float, replicas: Array, *, level: float = LEVEL, method: Interval = "percentile") -> Estimate:
    """The interval around `value` from bootstrap replicas of it.

    Args:
        value: The statistic of the sample itself.
        replicas: (R,) the statistic of each bootstrap sample. NaN (a sample without one of the classes) is left out.
        level: Probability inside, between 0 and 1.
        method: `percentile` or `normal`; `bca` needs the events, see `bootstrap`.

    Example:
        >>> interval(0.0, np.linspace(-1, 1, 201), level=0.5)
        Estimate(value=0.0, low=-0.5, high=0.5)
    """
    _check_level(level)
    good = replicas[np.isfinite(replicas)]
    if not math.isfinite(value) or len(good) < 2:
        return Estimate(float(value), math.nan, math.nan)
    if method == "normal":
        return Estimate.symmetric(value, float(good.std(ddof=1) * ndtri((1 + level) / 2)))
    low, high = np.quantile(good, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(value), float(min(low, value)), float(max(high, value)))


def bootstrap(
    statistic: Callable[[Array], Array],
    n: int,
    *,
    seed: int = 0,
    samples: int = SAMPLES,
    level: float = LEVEL,
    method: Interval = "percentile",
) -> Estimate:
    """Value and interval of a statistic of n events.

    Args:
        statistic: Takes (R, n) event weights and returns (R,) values. Unit weights must give the plain statistic.
        n: Number of events, at least 1.
        seed: Seed of the resampling.
        samples: Bootstrap samples.
        level: Probability held by the interval.
        method: See the head of this module.

    Returns:
        The value with all weights 1, and the interval.

    Raises:
        ValueError: If there is no event or the level is not a probability.

    Example:
        >>> x = np.arange(100.0)
        >>> bootstrap(lambda w: w @ x / w.sum(1), 100).value
        49.5
    """
    if n < 1:
        raise ValueError("bootstrap: expected at least one event, got none; check the selection")
    _check_level(level)
    value = float(statistic(np.ones((1, n)))[0])
    rng = np.random.default_rng(seed)
    chunk = max(1, _CELLS // n)
    sizes = [min(chunk, samples - i) for i in range(0, samples, chunk)]
    replicas = np.concatenate([statistic(resamples(n, size, rng).astype(np.float64)) for size in sizes])
    if method == "bca":
        level_low, level_high = _bca_levels(value, replicas, _jackknife(statistic, n, rng), level)
        low, high = np.quantile(replicas[np.isfinite(replicas)], [level_low, level_high])
        return Estimate(value, float(low), float(high))
    return interval(value, replicas, level=level, method=method)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level: expected a probability between 0 and 1, got {level}; 0.68 is one sigma")


def _jackknife(statistic: Callable[[Array], Array], n: int, rng: np.random.Generator) -> Array:
    """The statistic without each of up to 100 random groups of events, one group at a time."""
    groups = min(n, 100)
    group = rng.permutation(n) % groups
    return statistic((group[None, :] != np.arange(groups)[:, None]).astype(np.float64))


def _bca_levels(value: float, replicas: Array, left_out: Array, level: float) -> tuple[float, float]:
    """Quantiles of the replicas that end the BCa interval (Efron and Tibshirani, equations 14.9 to 14.15)."""
    good = replicas[np.isfinite(replicas)]
    below = ((good < value).sum() + 0.5 * (good == value).sum()) / len(good)
    bias = ndtri(np.clip(below, 1 / (len(good) + 1), len(good) / (len(good) + 1)))
    d = left_out.mean() - left_out
    spread = (d**2).sum() ** 1.5
    acceleration = (d**3).sum() / (6 * spread) if spread > 0 else 0.0
    z = bias + ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    low, high = ndtr(bias + z / (1 - acceleration * z))
    return float(low), float(high)
