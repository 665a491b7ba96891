"""The numbers of a tagger: accuracy, area under the ROC curve, background rejection, calibration, with intervals.

With several classes, JetClass (Qu, Li, Qian, arXiv 2202.03772, section 5) averages the AUC over all ordered pairs of
classes (one against one, macro: Hand and Till, Mach. Learn. 45 (2001) 171) and quotes rejections of QCD with the
discriminant s_signal / (s_signal + s_QCD).

Shapes: N events, C classes, R bootstrap samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from lpm.metrics.estimate import SAMPLES, Array, Estimate, bootstrap
from lpm.metrics.roc import pair_score, rejection, roc_auc, roc_auc_one_vs_one
from lpm.metrics.scores import checked, several

__all__ = ["JETCLASS_POINTS", "accuracy", "binary_metrics", "calibration_error", "multiclass_metrics"]

JETCLASS_POINTS: Mapping[str, float] = {
    "Hbb": 0.5, "Hcc": 0.5, "Hgg": 0.5, "H4q": 0.5, "Hqql": 0.99, "Tbqq": 0.5, "Tbl": 0.995, "Wqq": 0.5, "Zqq": 0.5,
}  # fmt: skip
"""Signal efficiency at which JetClass quotes the rejection of QCD, by class (arXiv 2202.03772, table 1)."""


def accuracy(
    scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, *, seed: int = 0, samples: int = SAMPLES
) -> Estimate:
    """Share of events put into the right class.

    Args:
        scores: (N, C) one score a class, the largest wins; or (N,) probability of class 1, cut at 0.5.
        labels: (N,) true class, 0 to C − 1.
        weights: (N,) event weights; 1 if absent.
        seed: Seed of the bootstrap.
        samples: Bootstrap samples.

    Raises:
        ValueError: If shapes disagree, labels are out of range or a score is not finite.

    Example:
        >>> accuracy([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]], [0, 1, 1, 1]).value
        0.75
    """
    p, y, w = checked(scores, labels, weights)
    right = ((p >= 0.5) if p.ndim == 1 else p.argmax(1)) == y
    return bootstrap(lambda r: (r * w) @ right / (r @ w), len(y), seed=seed, samples=samples)


def calibration_error(
    scores: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    bins: int = 15,
    seed: int = 0,
    samples: int = SAMPLES,
) -> Estimate:
    """Expected calibration error: mean over events of |probability − frequency| in bins of probability.

    Bins are of equal width (Guo et al., arXiv 1706.04599, equation 3). For (N,) scores the probability is that of
    class 1; for (N, C) scores that of the chosen class. Finite samples shift the value upwards by about
    sqrt(2 p (1 − p) bins / (π N)), so compare values at equal N.

    Args:
        scores: (N,) or (N, C) probabilities.
        labels: (N,) true class.
        weights: (N,) event weights; 1 if absent.
        bins: Number of bins.
        seed: Seed of the bootstrap.
        samples: Bootstrap samples.

    Raises:
        ValueError: If a score is no probability or shapes disagree.

    Example:
        >>> round(calibration_error([0.75] * 4, [1, 1, 1, 0]).value, 6)
        0.0
    """
    p, y, w = checked(scores, labels, weights)
    if p.min() < 0 or p.max() > 1 + 1e-6:
        raise ValueError(f"probabilities: expected values in [0, 1], got {p.min():.4g} to {p.max():.4g}")
    confidence, right = (p, y == 1) if p.ndim == 1 else (p.max(1), p.argmax(1) == y)
    index = np.clip((confidence * bins).astype(np.int64), 0, bins - 1)
    gap = w * (confidence - right)

    def statistic(r: Array) -> Array:
        gaps = [np.abs(np.bincount(index, row * gap, bins)).sum() for row in r]
        return np.asarray(np.array(gaps) / (r @ w))

    found = bootstrap(statistic, len(y), seed=seed, samples=samples, method="normal")
    return Estimate(found.value, max(found.low, 0.0), found.high)


def binary_metrics(
    scores: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    efficiencies: Sequence[float] = (0.3, 0.5),
    seed: int = 0,
    samples: int = SAMPLES,
) -> dict[str, Estimate]:
    """All numbers of a two-class tagger: `auc`, `accuracy`, `rejection@0.3`, `rejection@0.5` and `ece`.

    Args:
        scores: (N,) probability of signal.
        labels: (N,) 0 or 1.
        weights: (N,) event weights; 1 if absent.
        efficiencies: Working points; 0.3 and 0.5 are those of the top-tagging reference (arXiv 1902.09914).
        seed: Seed of the bootstrap.
        samples: Bootstrap samples.

    Raises:
        ValueError: If a class has no event, shapes disagree or a score is no probability.

    Example:
        >>> list(binary_metrics([0.9, 0.2, 0.6, 0.4], [1, 0, 1, 0]))
        ['auc', 'accuracy', 'rejection@0.3', 'rejection@0.5', 'ece']
    """
    out = {
        "auc": roc_auc(scores, labels, weights, seed=seed, samples=samples),
        "accuracy": accuracy(scores, labels, weights, seed=seed, samples=samples),
    }
    for e in efficiencies:
        out[f"rejection@{e:g}"] = rejection(scores, labels, e, weights, seed=seed, samples=samples)
    return {**out, "ece": calibration_error(scores, labels, weights, seed=seed, samples=samples)}


def multiclass_metrics(
    scores: ArrayLike,
    labels: ArrayLike,
    names: Sequence[str],
    weights: ArrayLike | None = None,
    *,
    background: str = "QCD",
    points: Mapping[str, float] = JETCLASS_POINTS,
    seed: int = 0,
    samples: int = SAMPLES,
) -> dict[str, Estimate]:
    """All numbers of a tagger of several classes, as JetClass quotes them.

    Args:
        scores: (N, C) probabilities.
        labels: (N,) true class.
        names: C class names.
        weights: (N,) event weights; 1 if absent.
        background: Class that the others are to be told from.
        points: Signal efficiency by class name; classes that are not among `names` are passed over.
        seed: Seed of the bootstrap.
        samples: Bootstrap samples.

    Returns:
        `accuracy`, `auc` (one against one), `ece`, and `rejection[Hbb]@0.5` for each class with a working point.

    Raises:
        ValueError: If a class has no event, names and scores disagree or a score is no probability.

    Example:
        >>> p = np.full((4, 2), 0.1) + 0.8 * np.eye(2)[[0, 1, 0, 1]]
        >>> list(multiclass_metrics(p, [0, 1, 0, 1], ["QCD", "Hbb"]))
        ['accuracy', 'auc', 'ece', 'rejection[Hbb]@0.5']
    """
    p, y, w = several(scores, labels, weights)
    if len(names) != p.shape[1]:
        raise ValueError(f"class names: expected {p.shape[1]}, one a score column, got {len(names)}")
    out = {
        "accuracy": accuracy(p, y, w, seed=seed, samples=samples),
        "auc": roc_auc_one_vs_one(p, y, w, seed=seed, samples=samples),
        "ece": calibration_error(p, y, w, seed=seed, samples=samples),
    }
    if background in names:
        b = list(names).index(background)
        for name, point in points.items():
            if name in names:
                a = list(names).index(name)
                rows = (y == a) | (y == b)
                score = pair_score(p[rows], a, b)
                found = rejection(score, y[rows] == a, point, w[rows], seed=seed, samples=samples)
                out[f"rejection[{name}]@{point:g}"] = found
    return out
