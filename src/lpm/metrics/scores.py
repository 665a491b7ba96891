"""What a score, a label and a weight may be: the checks shared by all classification metrics."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lpm.metrics.estimate import Array

__all__ = ["binary", "checked", "several"]


def checked(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None) -> tuple[Array, NDArray[np.int64], Array]:
    """Scores (N,) or (N, C), labels (N,) int64 and weights (N,), or a ValueError that says what is wrong."""
    p, raw = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    w = np.ones(raw.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if p.ndim not in (1, 2) or raw.shape != p.shape[:1] or w.shape != raw.shape or not len(p):
        raise ValueError(
            f"expected (N,) or (N, C) scores with (N,) labels and weights, N > 0, got {p.shape}, {raw.shape}, {w.shape}"
        )
    classes = 2 if p.ndim == 1 else p.shape[1]
    if not np.isfinite(p).all():
        raise ValueError(
            f"scores: {int((~np.isfinite(p)).sum())} of {p.size} are NaN or infinite; drop those events first"
        )
    if not (np.isfinite(raw).all() and raw.min() >= 0 and raw.max() < classes and (raw == np.floor(raw)).all()):
        raise ValueError(f"labels: expected whole numbers from 0 to {classes - 1}; drop events without a label first")
    if not np.isfinite(w).all() or w.min() < 0 or w.sum() <= 0:
        raise ValueError(
            "weights: expected finite, non-negative numbers with a positive sum; make negative ones "
            "positive with lpm.tasks.weights.positive, which keeps all sums"
        )
    return p, raw.astype(np.int64), w


def binary(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None) -> tuple[Array, NDArray[np.int64], Array]:
    """Two classes: scores (N,), both classes present."""
    p, y, w = checked(scores, labels, weights)
    if p.ndim != 1:
        raise ValueError(f"expected (N,) scores of two classes, got {p.shape}; use the functions for several classes")
    return p, _all_present(y, w, 2), w


def several(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None) -> tuple[Array, NDArray[np.int64], Array]:
    """Several classes: scores (N, C), every class present."""
    p, y, w = checked(scores, labels, weights)
    if p.ndim != 2:
        raise ValueError(f"expected (N, C) scores, got {p.shape}; use roc_auc for two classes")
    return p, _all_present(y, w, p.shape[1]), w


def _all_present(y: NDArray[np.int64], w: Array, classes: int) -> NDArray[np.int64]:
    empty = np.flatnonzero(np.bincount(y, weights=w, minlength=classes) <= 0).tolist()
    if empty:
        raise ValueError(f"labels: no event of class {', '.join(map(str, empty))}; every class needs at least one")
    return y
