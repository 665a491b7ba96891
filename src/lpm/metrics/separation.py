r"""Separation power of two histograms, with its uncertainty, its floor, and a count of what lies beyond the edges.

The separation (triangular discrimination) of two histograms that each add up to 1 is

.. math:: S = \frac12 \sum_i \frac{(h_i - g_i)^2}{h_i + g_i}

(Diefenbacher et al., arXiv 2009.03796, equation 15): 0 for equal histograms, 1 for disjoint ones. As in the
CaloChallenge it is taken over what lies within the edges; how much lies beyond is counted beside it.

Two samples of one distribution p differ by chance. With V_i/N and V_i/M the variances of h_i and g_i,

.. math:: \langle S \rangle \approx \frac12 \sum_i \frac{\langle (h_i - g_i)^2 \rangle}{2 p_i}
          = \frac14 \left( \frac1N + \frac1M \right) \sum_i \frac{V_i}{p_i},

the floor that a perfect generator reaches. For N and M independent values :math:`V_i = p_i (1 - p_i)`, and the sum is
K − 1 with K filled bins. Where N and M events have several values each, c_ei of event e in bin i and n_e in all, h_i is
a ratio of two sums, and to first order in their spread

.. math:: V_i = \frac{1}{\bar n^2} \left\langle (c_{ei} - p_i n_e)^2 \right\rangle_e,

as resampled events have it, taken from the reference: larger than of independent values by as many as an event has in
a bin at once. Where both samples hold fixed numbers of each kind of event, such as showers of each energy, the spread
is that about the mean of each kind: smaller, by what the kinds differ.

Shapes: B events, K bins, N and M values, R bootstrap samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lpm.metrics.estimate import LEVEL, SAMPLES, Array, Estimate, interval, resamples

__all__ = ["EVENT_SAMPLES", "Separation", "separation"]

EVENT_SAMPLES = 100
"""Most bootstrap samples of whole events."""

_TINY = 1e-16

_MANY = 200_000
"""Values from which on a table of bins is faster than a search."""

_OPEN = -2
"""Stands in that table for halves of numbers that lie in more than one bin."""


@dataclass(frozen=True, eq=False)
class Separation:
    """Two histograms in common bins and how far they are apart.

    Args:
        edges: (K + 1,) edges.
        reference: (K + 2,) counts, those below and above the edges first and last.
        generated: (K + 2,) the same.
        replicas: (R,) separations of resampled histograms.
        missing: Values that are NaN, of the reference and of the generated sample.
        of_events: The floor where events have several values each; None where values are independent.
    """

    edges: Array
    reference: NDArray[np.int64]
    generated: NDArray[np.int64]
    replicas: Array
    missing: tuple[int, int] = (0, 0)
    of_events: float | None = None

    @cached_property
    def estimate(self) -> Estimate:
        """S ± the spread of the bootstrap, not below 0; NaN if one side has nothing within the edges."""
        value = float(_separations(self.reference[None, 1:-1], self.generated[None, 1:-1])[0])
        e = interval(value, self.replicas, level=LEVEL, method="normal")
        return Estimate(e.value, max(e.low, 0.0), e.high)

    @property
    def floor(self) -> float:
        """Expected S of two samples of one distribution with as many values, or events of several values."""
        both = self.reference[1:-1] + self.generated[1:-1]
        n, m = self.reference[1:-1].sum(), self.generated[1:-1].sum()
        filled = int((both > 0).sum())
        if not (n and m and filled):
            return float("nan")
        return float((filled - 1) / 4 * (1 / n + 1 / m)) if self.of_events is None else self.of_events

    def outside(self) -> dict[str, dict[str, int]]:
        """Values below and above the edges on both sides, and, as `nan`, those that are none, where there are any."""
        sides = {"reference": (self.reference, self.missing[0]), "generated": (self.generated, self.missing[1])}
        return {
            name: {"below": int(c[0]), "above": int(c[-1]), **({"nan": lost} if lost else {})}
            for name, (c, lost) in sides.items()
        }


def separation(
    generated: ArrayLike,
    reference: ArrayLike,
    edges: ArrayLike,
    *,
    rows: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
    kinds: NDArray[np.int64] | None = None,
    seed: int = 0,
    samples: int = SAMPLES,
) -> Separation:
    """Separation of two samples in given bins.

    Args:
        generated: (N,) values; NaN is in no bin, and counted.
        reference: (M,) values.
        edges: (K + 1,) rising edges; the last bin includes its upper edge.
        rows: (B + 1,) offsets of the events on both sides, where an event has several values: then whole events are
            drawn anew, since the values of one are not independent. Generated first.
        kinds: (B,) kind of each event of the reference, with `rows` and where the numbers of each kind are fixed; it
            decides the floor alone.
        seed: Seed of the bootstrap.
        samples: Bootstrap samples; of whole events at most `EVENT_SAMPLES`, since each is a pass over all of them.

    Raises:
        ValueError: If the edges do not rise or one side has no value.

    Example:
        >>> found = separation([0.5, 0.5, 1.5, 7.0], [0.5, 1.5, 1.5, 1.5], [0, 1, 2])
        >>> round(found.estimate.value, 4), found.outside()["generated"]
        (0.1748, {'below': 0, 'above': 1})
    """
    e = np.asarray(edges, dtype=np.float64)
    sides = [np.asarray(x) for x in (generated, reference)]
    if e.ndim != 1 or len(e) < 2 or not (np.diff(e) > 0).all():
        raise ValueError("edges: expected at least two, rising")
    if any(x.ndim != 1 or not len(x) for x in sides):
        raise ValueError(f"expected (N,) values on both sides, got shapes {sides[0].shape} and {sides[1].shape}")
    places = [_bins(x, e) for x in sides]
    width = len(e) + 1
    counts = [np.bincount(p[p >= 0], minlength=width) for p in places]
    missing = int((places[1] < 0).sum()), int((places[0] < 0).sum())
    rng, floor = np.random.default_rng(seed), None
    if rows is None:
        drawn = [rng.multinomial(int(c.sum()), c / max(c.sum(), 1), size=samples) + 0.0 for c in counts]
    else:
        tables = [_of_events(p, o, width) for p, o in zip(places, rows, strict=True)]
        drawn = [_drawn_events(t, samples, rng) for t in tables]
        floor = _floor_of_events(tables[1][:, 1:-1], len(tables[0]), kinds)
    replicas = _separations(drawn[1][:, 1:-1], drawn[0][:, 1:-1])
    return Separation(e, counts[1], counts[0], replicas, missing, floor)


def _bins(x: NDArray[np.generic], edges: Array) -> NDArray[np.int64]:
    """Bin of each value: 0 below, 1 to K, K + 1 above; -1 for NaN. The last bin is closed."""
    if x.dtype == np.float32 and len(x) > _MANY:
        return _bins_by_table(np.ascontiguousarray(x), edges)
    found = np.searchsorted(edges, x, side="right")
    found[x == edges[-1]] = len(edges) - 1
    found[np.isnan(x)] = -1
    return found.astype(np.int64)


def _bins_by_table(x: NDArray[np.float32], edges: Array) -> NDArray[np.int64]:
    """The same by the upper half of the bits of each number; only where that leaves a choice is it searched for."""
    with np.errstate(invalid="ignore"):  # some of all halves make numbers that are none
        ends = (np.arange(1 << 16, dtype=np.uint32) << 16)[:, None] | np.array([0, 0xFFFF], np.uint32)
        table = _bins(ends.view(np.float32).ravel(), edges).reshape(-1, 2)
    settled = (table[:, 0] == table[:, 1]) & (table[:, 0] >= 0)
    found: NDArray[np.int64] = np.where(settled, table[:, 0], _OPEN)[x.view(np.uint32) >> 16]
    rest = np.flatnonzero(found == _OPEN)
    for part in np.array_split(rest, len(rest) // _MANY + 1):
        found[part] = _bins(x[part], edges)
    return found


def _of_events(bins: NDArray[np.int64], offsets: NDArray[np.int64], width: int) -> NDArray[np.float32]:
    """(B, width) counts of each event."""
    events = len(offsets) - 1
    event = np.repeat(np.arange(events), np.diff(offsets))
    good = bins >= 0
    table = np.bincount(event[good] * width + bins[good], minlength=events * width).reshape(events, width)
    return np.asarray(table, dtype=np.float32)


def _floor_of_events(table: NDArray[np.float32], others: int, kinds: NDArray[np.int64] | None) -> float:
    """Expected S of B events with these (B, K) counts and of so many others; NaN if they say no spread."""
    events, size = len(table), table.sum(1, dtype=np.float64)
    kind = np.zeros(events, dtype=np.int64) if kinds is None else np.unique(kinds, return_inverse=True)[1]
    number = np.bincount(kind)
    share = table.sum(0, dtype=np.float64) / max(size.sum(), 1)
    if events <= len(number) or not others or not size.any():
        return float("nan")
    squares = 0.0
    for i in np.flatnonzero(share):  # one bin at a time: a second table of all would be larger than the first
        excess = table[:, i] - share[i] * size
        squares += float(((excess - (np.bincount(kind, excess) / number)[kind]) ** 2).sum()) / share[i]
    return float(squares / (events - len(number)) / size.mean() ** 2 / 4 * (1 / events + 1 / others))


def _drawn_events(table: NDArray[np.float32], samples: int, rng: np.random.Generator) -> Array:
    """(R, width) counts of resampled events that have these (B, width) counts."""
    events, samples = len(table), min(samples, EVENT_SAMPLES)
    step = max(1, 4_000_000 // max(events, 1))
    parts = [resamples(events, min(step, samples - i), rng).astype(np.float32) @ table for i in range(0, samples, step)]
    return np.concatenate(parts).astype(np.float64)


def _separations(h: NDArray[np.generic], g: NDArray[np.generic]) -> Array:
    """(R,) separations of (R, K) counts; NaN where one side is empty."""
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = (x / x.sum(1, keepdims=True) for x in (h.astype(np.float64), g.astype(np.float64)))
    return np.asarray(0.5 * ((a - b) ** 2 / (a + b + _TINY)).sum(1))
