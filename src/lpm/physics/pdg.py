"""What the digits of a PDG number say (Particle Data Group, "Monte Carlo particle numbering scheme").

Shapes: N particles.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["has_quark"]


def has_quark(pdg_id: NDArray[np.int64], quark: int) -> NDArray[np.bool_]:
    """(N,) whether it is a hadron whose heaviest quark is the given one.

    Example:
        >>> has_quark(np.array([511, -5122, 10411, 5, 5103]), 5).tolist()  # B0, antiLambda_b, D*_0, b, a diquark
        [True, True, False, False, False]
    """
    size = np.abs(pdg_id)
    meson, baryon = size // 100 % 10, size // 1000 % 10
    heaviest = np.where(baryon > 0, baryon, meson)
    return np.asarray((heaviest == quark) & (size // 10 % 10 > 0) & (size > 100) & (size < 100_000))
