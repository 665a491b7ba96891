r"""How well kinds of particles are told apart: purity, efficiency and F1 of each, also against a variable.

Of one species, with :math:`n_{ij}` tracks of species i taken for species j,

.. math:: \text{efficiency}_i = n_{ii} / \textstyle\sum_j n_{ij}, \quad
          \text{purity}_i = n_{ii} / \textstyle\sum_j n_{ji}, \quad
          F_1 = 2 n_{ii} / \textstyle\sum_j (n_{ij} + n_{ji}),

the last being their harmonic mean. Tracks drawn with replacement change the counts as a multinomial distribution does,
so that the bootstrap needs no tracks, only counts.

Shapes: N tracks, C species, R bootstrap samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lpm.metrics.estimate import SAMPLES, Array, Estimate, interval

__all__ = ["best_threshold", "efficiency_at", "identification", "identification_in_bins", "selection"]

_NAMES = ("efficiency", "purity", "f1")


def selection(chosen: ArrayLike, wanted: ArrayLike, *, seed: int = 0, samples: int = SAMPLES) -> dict[str, Estimate]:
    """Efficiency, purity and F1 of a selection.

    Args:
        chosen: (N,) bool, tracks that were selected.
        wanted: (N,) bool, tracks that should have been.
        seed: Seed of the bootstrap.
        samples: Bootstrap samples.

    Returns:
        `efficiency`, `purity`, `f1`; NaN where nothing is wanted or nothing chosen.

    Raises:
        ValueError: If the shapes differ or there is no track.

    Example:
        >>> {k: round(e.value, 3) for k, e in selection([1, 1, 0, 1], [1, 1, 1, 0]).items()}
        {'efficiency': 0.667, 'purity': 0.667, 'f1': 0.667}
    """
    c, w = np.asarray(chosen, dtype=bool), np.asarray(wanted, dtype=bool)
    if c.ndim != 1 or c.shape != w.shape or not len(c):
        raise ValueError(f"expected two (N,) masks with N > 0, got {c.shape} and {w.shape}")
    counts = np.array([(c & w).sum(), (~c & w).sum(), (c & ~w).sum(), (~c & ~w).sum()])
    drawn = np.random.default_rng(seed).multinomial(len(c), counts / len(c), size=samples)
    values, replicas = (_three(x.astype(np.float64)) for x in (counts[None], drawn))
    return {n: interval(float(v[0]), r) for n, v, r in zip(_NAMES, values, replicas, strict=True)}


def identification(
    predicted: ArrayLike, labels: ArrayLike, names: Sequence[str], *, seed: int = 0, samples: int = SAMPLES
) -> dict[str, Estimate]:
    """Efficiency, purity and F1 of every species.

    Args:
        predicted: (N,) number of the species for which each track is taken; below 0 for none.
        labels: (N,) number of the true species.
        names: C names.
        seed: Seed of the bootstrap.
        samples: Bootstrap samples.

    Returns:
        `f1[K]`, `efficiency[K]`, `purity[K]` of all species; what is not defined, as the purity of a species for which
        no track is taken, is left out.

    Raises:
        ValueError: If a number is no species, shapes differ or there is no track.

    Example:
        >>> found = identification([0, 1, 1], [0, 1, 0], ["pi", "K"])
        >>> {k: round(e.value, 3) for k, e in found.items() if k.startswith("f1")}
        {'f1[pi]': 0.667, 'f1[K]': 0.667}
    """
    p, y = _numbers(predicted, labels, len(names))
    out: dict[str, Estimate] = {}
    for i, name in enumerate(names):
        if (p == i).any() or (y == i).any():
            found = selection(p == i, y == i, seed=seed, samples=samples)
            kinds = [k for k in ("f1", "efficiency", "purity") if not math.isnan(found[k].value)]
            out |= {f"{kind}[{name}]": found[kind] for kind in kinds}
    return out


def identification_in_bins(
    predicted: ArrayLike,
    labels: ArrayLike,
    names: Sequence[str],
    variable: ArrayLike,
    edges: Sequence[float],
    *,
    seed: int = 0,
    samples: int = SAMPLES,
) -> dict[str, Estimate]:
    """The same in bins of a variable.

    Args:
        predicted: As in `identification`.
        labels: As in `identification`.
        names: C names.
        variable: (N,) such as the transverse momentum.
        edges: Of the bins, rising; tracks beyond are left out.
        seed: Seed of the bootstrap.
        samples: Bootstrap samples.

    Returns:
        `f1[K]@0.5-1` and so on, bins without tracks left out.

    Raises:
        ValueError: If the edges do not rise, shapes differ or a number is no species.

    Example:
        >>> found = identification_in_bins([0, 1, 1], [0, 1, 0], ["pi", "K"], [0.2, 0.2, 0.7], [0, 0.5, 1])
        >>> [k for k in found if k.startswith("f1")]
        ['f1[pi]@0-0.5', 'f1[K]@0-0.5', 'f1[pi]@0.5-1', 'f1[K]@0.5-1']
    """
    p, y = _numbers(predicted, labels, len(names))
    x = np.asarray(variable, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(f"variable: expected one number a track, {y.shape}, got {x.shape}")
    if len(edges) < 2 or (np.diff(edges) <= 0).any():
        raise ValueError(f"edges: expected at least two, rising, got {list(edges)}")
    out: dict[str, Estimate] = {}
    for low, high in pairwise(edges):
        inside = (x >= low) & (x < high)
        if inside.any():
            found = identification(p[inside], y[inside], names, seed=seed, samples=samples)
            out |= {f"{kind}@{low:g}-{high:g}": e for kind, e in found.items()}
    return out


def best_threshold(scores: ArrayLike, wanted: ArrayLike) -> float:
    """The threshold on a score at which F1 is largest. Choose it on tracks that are not measured with it.

    Args:
        scores: (N,) one number a track, larger for what is wanted.
        wanted: (N,) bool.

    Returns:
        A track is selected if its score is at least this.

    Raises:
        ValueError: If nothing is wanted, shapes differ or a score is not finite.

    Example:
        >>> best_threshold([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
        0.35
    """
    s, w = np.asarray(scores, dtype=np.float64), np.asarray(wanted, dtype=bool)
    if s.ndim != 1 or s.shape != w.shape or not np.isfinite(s).all() or not w.any():
        raise ValueError(
            f"expected (N,) finite scores and a mask with tracks that are wanted, got {s.shape}, {w.shape}"
        )
    order = np.argsort(-s, kind="stable")
    right = w[order].cumsum()
    f1 = 2 * right / (np.arange(1, len(s) + 1) + w.sum())
    last = np.append(np.diff(s[order]) != 0, True)  # equal scores are selected together
    return float(s[order][np.flatnonzero(last)[f1[last].argmax()]])


def efficiency_at(
    scores: ArrayLike, wanted: ArrayLike, misidentified: float, *, seed: int = 0, samples: int = SAMPLES
) -> Estimate:
    """Efficiency of the selection that takes at most a given share of the other tracks.

    Args:
        scores: (N,) one number a track, larger for what is wanted.
        wanted: (N,) bool.
        misidentified: Share of the tracks that are not wanted, between 0 and 1.
        seed: Seed of the bootstrap.
        samples: Bootstrap samples.

    Raises:
        ValueError: If one of the two kinds is missing, shapes differ or the share is out of range.

    Example:
        >>> efficiency_at([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], 0.1).value
        0.5
    """
    s, w = np.asarray(scores, dtype=np.float64), np.asarray(wanted, dtype=bool)
    if s.ndim != 1 or s.shape != w.shape or not w.any() or w.all():
        raise ValueError(f"expected (N,) scores of wanted and other tracks, got {s.shape} and {w.shape}")
    if not 0 < misidentified < 1:
        raise ValueError(f"misidentified: expected a share between 0 and 1, got {misidentified}")
    rng = np.random.default_rng(seed)
    good, bad = np.sort(s[w]), np.sort(s[~w])
    replicas = np.empty(samples)
    for i in range(samples):
        a, b = good[rng.integers(0, len(good), len(good))], np.sort(bad[rng.integers(0, len(bad), len(bad))])
        replicas[i] = (a > _cut(b, misidentified)).mean()
    return interval(float((good > _cut(bad, misidentified)).mean()), replicas)


def _cut(bad: Array, share: float) -> float:
    """The score above which lies at most the share of sorted scores."""
    return float(bad[len(bad) - 1 - int(share * len(bad))])


def _numbers(predicted: ArrayLike, labels: ArrayLike, classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    p, y = np.asarray(predicted), np.asarray(labels)
    if p.ndim != 1 or p.shape != y.shape or not len(p):
        raise ValueError(f"expected (N,) predictions and labels with N > 0, got {p.shape} and {y.shape}")
    if y.min() < 0 or max(p.max(), y.max()) >= classes:
        raise ValueError(f"species: expected numbers from 0 to {classes - 1}; drop tracks of unknown species first")
    return p.astype(np.int64), y.astype(np.int64)


def _three(counts: Array) -> tuple[Array, Array, Array]:
    """Efficiency, purity and F1 (R,) of counts (R, 4): right, missed, wrong, rest."""
    right, missed, wrong = counts[:, 0], counts[:, 1], counts[:, 2]
    with np.errstate(invalid="ignore"):
        return right / (right + missed), right / (right + wrong), 2 * right / (2 * right + missed + wrong)
