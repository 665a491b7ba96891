"""Readable names: `w1[jet.tau21]` is for machines, "W1, jet τ21" for readers."""

from __future__ import annotations

import math

__all__ = ["title_of"]

_TITLES = {
    "memory_gib": "memory [GiB]",
    "w1": "W1", "roc": "ROC curve", "jet image": "mean jet image", "particle": "particle multiplicity",
    "auc": "area under the ROC curve", "accuracy": "accuracy", "ece": "calibration error (ECE)", "fpd": "FPD",
    "kpd": "KPD", "mmd": "MMD²", "c2st": "two-sample AUC", "sliced_w1": "sliced W1", "precision": "precision",
    "recall": "recall", "density": "density", "coverage": "coverage",
}  # fmt: skip
_SYMBOLS = {
    "pt": "pT", "deta": "Δη", "dphi": "Δφ", "tau21": "τ21", "tau32": "τ32", "sdmass": "soft-drop mass", "eta": "η",
    "phi": "φ",
}  # fmt: skip


def title_of(name: str) -> str:
    """The readable name of a metric or a field; as it is if what follows `@` is no share of the signal.

    Example:
        >>> title_of("w1[jet.tau21]"), title_of("rejection[Hqql]@0.995"), title_of("particle.pt")
        ('W1, jet τ21', 'rejection for Hqql at 99.5% signal', 'particle pT')
    """
    before, at, point = name.partition("@")
    if at:
        share = _number(point)
        return f"{title_of(before)} at {share * 100:g}% signal" if 0 <= share <= 1 else name
    stem, bracket, rest = name.partition("[")
    if bracket:
        inside, _, tail = rest.partition("]")
        between = " for " if stem == "rejection" else ", "
        return f"{title_of(stem)}{between}{title_of(inside)}{tail}"
    if name in _TITLES:
        return _TITLES[name]
    return " ".join(_SYMBOLS.get(word, word) for word in name.split(".")).replace("_", " ")


def _number(text: str) -> float:
    """The number that a text is, NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
