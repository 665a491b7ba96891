r"""Migration among classes: which origin is taken for which, with the numbers that a jet-origin study quotes.

(Liang et al., arXiv 2310.03440.) Of the matrix :math:`M_{ij}`, the share of jets of origin i that are taken for j, the
2 × 2 block of a flavour and its antiflavour gives the *tagging efficiency*, half the sum of the block, and the
*charge-flip rate*, the sum of its two off-diagonal elements over the sum of the block.

Shapes: N jets, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

from lpm.metrics.estimate import LEVEL, Estimate

__all__ = ["binomial", "flavours", "migration_counts", "origin_metrics", "pair_template", "shares"]


def binomial(passed: float, total: float, level: float = LEVEL) -> Estimate:
    """Share of events that pass, with the central interval of Clopper and Pearson (Biometrika 26 (1934) 404).

    Args:
        passed: How many pass.
        total: Of how many.
        level: Probability that the interval holds at least.

    Raises:
        ValueError: If more pass than there are.

    Example:
        >>> binomial(0, 10).low, round(binomial(0, 10, level=0.9).high, 3)
        (0.0, 0.259)
    """
    if not 0 <= passed <= total:
        raise ValueError(f"binomial: expected 0 <= passed <= total, got {passed:g} of {total:g}; swap the two?")
    if total == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    tail = (1 - level) / 2
    low = betaincinv(passed, total - passed + 1, tail) if passed else 0.0
    high = betaincinv(passed + 1, total - passed, 1 - tail) if passed < total else 1.0
    return Estimate(passed / total, float(low), float(high))


def migration_counts(scores: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """(C, C) how many jets of class i (row) have their highest score in class j (column).

    Args:
        scores: (N, C) probabilities.
        labels: (N,) true class.

    Raises:
        ValueError: If shapes disagree, a label is no class, or a score is not finite.

    Example:
        >>> migration_counts([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], [0, 1, 1]).tolist()
        [[1, 0], [1, 1]]
    """
    p, y = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if p.ndim != 2 or y.shape != p.shape[:1]:
        raise ValueError(f"migration: expected scores (N, C) and labels (N,), got {p.shape} and {y.shape}")
    if not np.isfinite(p).all():
        raise ValueError("migration: some scores are not finite; check the model")
    classes = p.shape[1]
    if len(y) and not 0 <= y.min() <= y.max() < classes:
        raise ValueError(f"migration: expected labels 0 to {classes - 1}, got {y.min()} to {y.max()}")
    cell = y.astype(np.int64) * classes + p.argmax(1)
    return np.bincount(cell, minlength=classes**2).reshape(classes, classes)


def shares(counts: ArrayLike) -> NDArray[np.float64]:
    """(C, C) migration matrix, each row divided by its sum; a class without jets is NaN."""
    n = np.asarray(counts, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(n / n.sum(1, keepdims=True))


def flavours(names: Sequence[str]) -> tuple[str, ...]:
    """The classes that come with an anticlass, `b` with `bbar`.

    Example:
        >>> flavours(["b", "bbar", "g"])
        ('b',)
    """
    return tuple(n for n in names if f"{n}bar" in names)


def origin_metrics(counts: ArrayLike, names: Sequence[str]) -> dict[str, Estimate]:
    """Tagging efficiency and charge-flip rate of each flavour, the efficiency of classes without anticlass, accuracy.

    Args:
        counts: (C, C) of `migration_counts`.
        names: C class names; `xbar` is the anticlass of `x`.

    Returns:
        `efficiency[b]`, …, `flip[b]`, …, `efficiency[g]` and `accuracy`, each with its binomial interval. With equally
        many jets of each charge the efficiency is half the sum of the block, as published.

    Raises:
        ValueError: If there are not as many names as classes.

    Example:
        >>> found = origin_metrics([[8, 1, 1], [2, 7, 1], [0, 1, 9]], ["b", "bbar", "g"])
        >>> {k: round(v.value, 3) for k, v in found.items()}
        {'efficiency[b]': 0.9, 'flip[b]': 0.167, 'efficiency[g]': 0.9, 'accuracy': 0.8}
    """
    n = np.asarray(counts)
    if n.shape != (len(names), len(names)):
        raise ValueError(f"class names: expected {n.shape[0]}, one a row, got {len(names)}")
    place = {name: i for i, name in enumerate(names)}
    out = {}
    for name in flavours(names):
        pair = [place[name], place[f"{name}bar"]]
        block = n[np.ix_(pair, pair)]
        out[f"efficiency[{name}]"] = binomial(float(block.sum()), float(n[pair].sum()))
        out[f"flip[{name}]"] = binomial(float(block[0, 1] + block[1, 0]), float(block.sum()))
    for name in names:
        if f"efficiency[{name.removesuffix('bar')}]" not in out:
            i = place[name]
            out[f"efficiency[{name}]"] = binomial(float(n[i, i]), float(n[i].sum()))
    return {**out, "accuracy": binomial(float(np.trace(n)), float(n.sum()))}


def pair_template(matrix: ArrayLike, a: int, b: int) -> NDArray[np.float64]:
    """(C (C + 1) / 2,) probability of each unordered pair of tags of an event whose jets have the origins a and b.

    The two jets are taken to migrate independently.

    Args:
        matrix: (C, C) of `shares`.
        a: Class of one jet.
        b: Class of the other.

    Raises:
        ValueError: If a row is not a distribution.

    Example:
        >>> pair_template([[0.9, 0.1], [0.2, 0.8]], 0, 1).round(2).tolist()  # tags (0, 0), (0, 1) and (1, 1)
        [0.18, 0.74, 0.08]
    """
    m = np.asarray(matrix, dtype=np.float64)
    for row in (a, b):
        if not np.isclose(m[row].sum(), 1, atol=1e-6):
            raise ValueError(f"migration: expected shares that add up to 1 in row {row}, got {m[row].sum():.4g}")
    both = np.outer(m[a], m[b])
    both = both + both.T - np.diag(np.diag(both))
    return np.asarray(both[np.triu_indices(len(m))])
