r"""Mass sculpting: how much a cut changes the mass spectrum of the background, and cuts that change it little.

With the normalised mass spectra :math:`p` of all background and :math:`q` of the background that passes a cut, and
:math:`m = (p + q)/2`, the Jensen-Shannon divergence

.. math:: \mathrm{JSD} = \tfrac12 \sum_k p_k \log_2\frac{p_k}{m_k} + \tfrac12 \sum_k q_k \log_2\frac{q_k}{m_k}

is 0 for equal spectra and at most 1. Taggers are quoted by 1/JSD at a fixed efficiency. Finite samples have a JSD above
zero however the cut is made: its *floor* is that of as many events chosen at random, from which a value is to be told.

A designed decorrelated tagger (Dolen et al., arXiv 1603.00027) moves the cut with mass and transverse momentum so that
the background efficiency is the same everywhere: `fit_cut`.

Shapes: N events, K bins, R bootstrap samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lpm.metrics.estimate import LEVEL, SAMPLES, Array, Estimate, bootstrap, interval

__all__ = ["CutMap", "Sculpting", "fit_cut", "jsd", "sculpting", "threshold"]


@dataclass(frozen=True, slots=True)
class Sculpting:
    """How much a cut sculpts.

    Args:
        jsd: Jensen-Shannon divergence in bits.
        floor: That of random choices of as many events.
    """

    jsd: Estimate
    floor: Estimate

    @property
    def inverse(self) -> Estimate:
        """1/JSD, as taggers are quoted."""
        return _inverse(self.jsd)

    @property
    def ceiling(self) -> Estimate:
        """1/JSD of random choices: more cannot be told from no sculpting at all."""
        return _inverse(self.floor)


def jsd(p: ArrayLike, q: ArrayLike) -> Array:
    """Jensen-Shannon divergence in bits of histograms, along the last axis.

    Args:
        p: (..., K) counts or probabilities, not negative.
        q: (..., K) likewise.

    Returns:
        (...) values from 0 to 1; NaN where a histogram is empty.

    Example:
        >>> float(jsd([1, 0], [0, 1])), float(jsd([2, 2], [1, 1]))
        (1.0, 0.0)
    """
    a, b = (np.asarray(x, dtype=np.float64) for x in (p, q))
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = a / a.sum(-1, keepdims=True), b / b.sum(-1, keepdims=True)
        middle = (a + b) / 2
        parts = [np.where(x > 0, x * np.log2(x / middle), np.where(np.isnan(x), np.nan, 0.0)).sum(-1) for x in (a, b)]
    return np.asarray(np.maximum((parts[0] + parts[1]) / 2, 0.0))


def sculpting(
    mass: ArrayLike,
    passed: ArrayLike,
    edges: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    seed: int = 0,
    samples: int = SAMPLES,
) -> Sculpting:
    """JSD of the mass spectra of background before and after a cut.

    Args:
        mass: (N,) masses of background events in GeV; those outside the edges are left out.
        passed: (N,) bool, whether each passes the cut.
        edges: (K + 1,) edges of the bins in GeV.
        weights: (N,) weights, not negative; 1 if absent.
        seed: Seed of the bootstrap and of the random choices.
        samples: Bootstrap samples.

    Raises:
        ValueError: If shapes disagree, or nothing passes or nothing lies within the edges.

    Example:
        >>> m = np.random.default_rng(0).uniform(0, 200, 4000)
        >>> cut, fair = sculpting(m, m > 100, [0, 50, 100, 150, 200]), np.arange(4000) % 4 == 0
        >>> cut.jsd.low > 10 * cut.floor.value, sculpting(m, fair, [0, 100, 200]).inverse.value > 100
        (True, True)
    """
    m, cut = np.asarray(mass, dtype=np.float64), np.asarray(passed, dtype=bool)
    w = np.ones(m.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    bins = np.asarray(edges, dtype=np.float64)
    if m.ndim != 1 or m.shape != cut.shape or m.shape != w.shape:
        raise ValueError(f"sculpting: expected masses and choices of the same events, got {m.shape} and {cut.shape}")
    k = np.searchsorted(bins, m, side="right") - 1
    inside = np.isfinite(m) & (k >= 0) & (k < len(bins) - 1)
    k, cut, w = k[inside], cut[inside], w[inside]
    if not (w[cut] > 0).any():
        raise ValueError(f"sculpting: of {len(k):,} background events of {bins[0]:g}-{bins[-1]:g} GeV, none passes")
    table = np.zeros((len(k), len(bins) - 1))
    table[np.arange(len(k)), k] = w
    after = table * cut[:, None]
    found = bootstrap(lambda r: jsd(r @ table, r @ after), len(k), seed=seed, samples=samples, method="normal")
    rng = np.random.default_rng(seed)
    chosen = np.array([jsd(table.sum(0), table[rng.permutation(cut)].sum(0)) for _ in range(samples)])
    floor = interval(float(chosen.mean()), chosen, level=LEVEL)
    return Sculpting(Estimate(found.value, max(found.low, 0.0), found.high), floor)


def threshold(scores: ArrayLike, efficiency: float, weights: ArrayLike | None = None) -> float:
    """The cut that keeps a share of the events: `scores >= threshold`, never more than the share but for ties.

    Args:
        scores: (N,) scores of events, N > 0.
        efficiency: Share to keep, between 0 and 1.
        weights: (N,) weights, not negative; 1 if absent.

    Raises:
        ValueError: If there is no event or the share is out of range.

    Example:
        >>> threshold([0.1, 0.2, 0.3, 0.4], 0.5)
        0.3
    """
    s = np.asarray(scores, dtype=np.float64)
    w = np.ones(s.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if not len(s) or not 0 < efficiency < 1:
        raise ValueError(f"threshold: expected events and a share between 0 and 1, got {len(s)} and {efficiency}")
    order = np.argsort(-s, kind="stable")
    share = np.cumsum(w[order]) / w.sum()
    return float(s[order][max(int(np.searchsorted(share, efficiency + 1e-12, side="right")) - 1, 0)])


@dataclass(frozen=True, kw_only=True)
class CutMap:
    """A cut that depends on mass and transverse momentum, known in bins of equally many background events.

    Between the centres of two bins of mass it is interpolated.

    Args:
        efficiency: Background efficiency in every bin.
        mass: (M,) median masses of the bins of mass in GeV, rising.
        pt: (M, P − 1) inner edges of the bins of transverse momentum in GeV in each bin of mass.
        cut: (M, P) least score that passes.
    """

    efficiency: float
    mass: tuple[float, ...]
    pt: tuple[tuple[float, ...], ...]
    cut: tuple[tuple[float, ...], ...]

    def at(self, mass: ArrayLike, pt: ArrayLike) -> Array:
        """(N,) least score that passes, for masses and transverse momenta (N,) in GeV."""
        m, p, centre = (np.asarray(x, dtype=np.float64) for x in (mass, pt, self.mass))
        above = np.clip(np.searchsorted(centre, m), 1, max(len(centre) - 1, 1)) if len(centre) > 1 else np.zeros_like(m)
        rows = [np.maximum(above - 1, 0).astype(np.int64), above.astype(np.int64)]
        edges, cut = np.asarray(self.pt).reshape(len(centre), -1), np.asarray(self.cut)
        low, high = (cut[row, (p[:, None] >= edges[row]).sum(1)] for row in rows)
        width = np.maximum(centre[rows[1]] - centre[rows[0]], 1e-12)
        share = np.clip((m - centre[rows[0]]) / width, 0.0, 1.0)
        return np.asarray(low + share * (high - low))

    def passes(self, scores: ArrayLike, mass: ArrayLike, pt: ArrayLike) -> NDArray[np.bool_]:
        """(N,) whether each event passes."""
        return np.asarray(np.asarray(scores, dtype=np.float64) >= self.at(mass, pt))


def fit_cut(
    scores: ArrayLike, mass: ArrayLike, pt: ArrayLike, efficiency: float, *, bins: tuple[int, int] = (10, 3)
) -> CutMap:
    """The cut with the same background efficiency at all masses and transverse momenta.

    Args:
        scores: (N,) scores of background events.
        mass: (N,) masses in GeV.
        pt: (N,) transverse momenta in GeV.
        efficiency: Share of the background to keep in each bin.
        bins: Bins of mass, and of transverse momentum in each of them.

    Raises:
        ValueError: If a bin would keep fewer than three events; the message says how many events are needed.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> m, pt = rng.uniform(20, 200, 9000), rng.uniform(300, 900, 9000)
        >>> s = rng.normal(m / 100, 0.2)
        >>> cut = fit_cut(s, m, pt, 0.1)
        >>> sculpted, flat = s >= threshold(s, 0.1), cut.passes(s, m, pt)
        >>> edges = np.linspace(20, 200, 11)
        >>> sculpting(m, flat, edges).jsd.value < 0.1 * sculpting(m, sculpted, edges).jsd.value
        True
    """
    s, m, p = (np.asarray(x, dtype=np.float64) for x in (scores, mass, pt))
    cells = bins[0] * bins[1]
    if len(s) * efficiency < 3 * cells:
        raise ValueError(
            f"cut: {len(s):,} background events are too few for {cells} bins at an efficiency of {efficiency:g}; "
            f"expected {int(np.ceil(3 * cells / efficiency)):,} or more, or fewer bins"
        )
    inner = [np.linspace(0, 1, n + 1)[1:-1] for n in bins]
    edges = np.quantile(m, inner[0])
    row = np.searchsorted(edges, m, side="right")
    centres, columns, cuts = [], [], []
    for i in range(bins[0]):
        centres.append(float(np.median(m[row == i])))
        here = np.quantile(p[row == i], inner[1])
        place = np.searchsorted(here, p[row == i], side="right")
        columns.append(tuple(map(float, here)))
        cuts.append(tuple(threshold(s[row == i][place == j], efficiency) for j in range(bins[1])))
    return CutMap(efficiency=efficiency, mass=tuple(centres), pt=tuple(columns), cut=tuple(cuts))


def _inverse(e: Estimate) -> Estimate:
    ends = [1 / x if x > 0 else float("inf") for x in (e.value, e.high, e.low)]
    return Estimate(ends[0], ends[1], ends[2])
