"""How well a number is recovered: bias and width of found − true, in a way that outliers cannot spoil.

The bias is the median and the width half the distance between the quantiles at 16% and 84%, which is the standard
deviation where the residuals are Gaussian. Relative residuals are (found − true) / |true|.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lpm.metrics.estimate import Array, Estimate, bootstrap

__all__ = ["residuals", "resolution"]


def residuals(found: ArrayLike, true: ArrayLike, *, relative: bool = False) -> Array:
    """Found − true of the events in which both are finite, divided by |true| if relative.

    Args:
        found: (N,) recovered values: decoded, reconstructed, predicted.
        true: (N,) the values they should have.
        relative: Divide by |true|; events with true = 0 are left out.

    Raises:
        ValueError: If the shapes differ or nothing is left.

    Example:
        >>> residuals([1.1, 2.0], [1.0, 2.0]).round(3).tolist()
        [0.1, 0.0]
    """
    a, b = np.asarray(found, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"expected found and true values of the same events, got shapes {a.shape} and {b.shape}")
    good = np.isfinite(a) & np.isfinite(b) & ((b != 0) | (not relative))
    if not good.any():
        raise ValueError(f"expected events with finite found and true values, got none of {len(a)}")
    difference = a[good] - b[good]
    return np.asarray(difference / np.abs(b[good]) if relative else difference)


def resolution(
    found: ArrayLike, true: ArrayLike, *, relative: bool = False, seed: int = 0, samples: int = 100
) -> dict[str, Estimate]:
    """Bias and width of the residuals.

    Args:
        found: (N,) recovered values.
        true: (N,) true values.
        relative: Of the relative residuals.
        seed: Seed of the bootstrap.
        samples: Bootstrap samples.

    Returns:
        `bias` and `width`, in the unit of the values, or without unit if relative.

    Raises:
        ValueError: If the shapes differ or nothing is left.

    Example:
        >>> true = np.random.default_rng(0).normal(size=4000)
        >>> found = true + np.random.default_rng(1).normal(0.5, 0.1, 4000)
        >>> {k: round(e.value, 1) for k, e in resolution(found, true).items()}
        {'bias': 0.5, 'width': 0.1}
    """
    r = np.sort(residuals(found, true, relative=relative))

    def at(levels: tuple[float, ...], counts: Array) -> Array:
        """(R, levels) quantiles of R resampled residuals."""
        below = np.cumsum(counts, axis=1)
        return np.stack([r[(below >= p * below[:, -1:]).argmax(1)] for p in levels], 1)

    def width(counts: Array) -> Array:
        q = at((0.16, 0.84), counts)
        return np.asarray((q[:, 1] - q[:, 0]) / 2)

    return {
        "bias": bootstrap(lambda w: at((0.5,), w)[:, 0], len(r), seed=seed, samples=samples),
        "width": bootstrap(width, len(r), seed=seed, samples=samples),
    }
