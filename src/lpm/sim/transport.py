r"""Charged particles through the field of a dipole, step by step.

The state of a particle at a plane z is :math:`(x, y, t_x, t_y, q/p)` with slopes :math:`t_x = dx/dz`; with
:math:`\kappa = 0.2998` GeV / (T m) its slopes change as

.. math:: t_x' = \kappa \frac{q}{p} R \left[ t_x t_y B_x - (1 + t_x^2) B_y + t_y B_z \right], \quad
          t_y' = \kappa \frac{q}{p} R \left[ (1 + t_y^2) B_x - t_x t_y B_y - t_x B_z \right],

:math:`R = \sqrt{1 + t_x^2 + t_y^2}` (Frühwirth et al., "Data Analysis Techniques for High-Energy Physics", section
3.2), followed by the classical Runge-Kutta method of fourth order.

Shapes: N particles.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lpm.sim.flash_card import Magnet

__all__ = ["field", "propagate"]

Array = NDArray[np.float64]

_KAPPA = 0.299792458e-3  # GeV / (T mm)
_REACH = 4.0  # deviations from its middle beyond which there is no field
_HIGH = 3000.0  # mm: the poles; the expansion about the axis is held there
_STEEP = 5.0  # slopes that no particle comes back from; kept there, numbers stay finite


def field(y: Array, z: float, magnet: Magnet) -> tuple[Array, Array]:
    """(N,) components along y and z in T; there is none along x. Free of curl, and of sources up to third order in y.

    Args:
        y: Height, mm.
        z: Plane, mm.
        magnet: The magnet.
    """
    u, s = (z - magnet.middle) / magnet.length, magnet.length
    y = y.clip(-_HIGH, _HIGH)
    shape = 1000 * magnet.bending / (math.sqrt(2 * math.pi) * s) * math.exp(-(u**2) / 2)
    second, third = (u**2 - 1) / s**2, (3 * u - u**3) / s**3
    return shape * (1 - y**2 / 2 * second), shape * (-u / s * y - y**3 / 6 * third)


def propagate(state: Array, start: float, end: float, magnet: Magnet, step: float) -> Array:
    """States (N, 5) at one plane brought to another, forward or backward.

    Args:
        state: x, y in mm, slopes, charge over momentum in 1/GeV.
        start: z, mm.
        end: z, mm.
        magnet: The magnet; beyond four of its lengths particles go straight.
        step: Longest step in the field, mm.

    Example:
        >>> from lpm.sim.flash_card import read_flash_card
        >>> m = read_flash_card("forward").magnet
        >>> bent = propagate(np.array([[0.0, 0.0, 0.0, 0.0, 0.1]]), 0.0, 12000.0, m, 20.0)
        >>> round(float(-bent[0, 2] / np.hypot(1, bent[0, 2])), 4)  # sine of the angle: 0.2998 * 4 T m / 10 GeV
        0.1199
    """
    low, high = magnet.middle - _REACH * magnet.length, magnet.middle + _REACH * magnet.length
    way = 1 if end >= start else -1
    bounds = [z for z in ((low, high) if way > 0 else (high, low)) if way * start < way * z < way * end]
    x = state.copy()
    for a, b in zip([start, *bounds], [*bounds, end], strict=True):
        if low <= (a + b) / 2 <= high:
            steps = max(1, math.ceil(abs(b - a) / step))
            for i in range(steps):
                x = _runge_kutta(x, a + (b - a) * i / steps, (b - a) / steps, magnet)
        else:
            x[:, :2] += x[:, 2:4] * (b - a)
    return x


def _runge_kutta(state: Array, z: float, h: float, magnet: Magnet) -> Array:
    x, y, tx, ty, q = state.T
    a1, b1 = _bend(y, tx, ty, q, z, magnet)
    tx2, ty2 = tx + h / 2 * a1, ty + h / 2 * b1
    a2, b2 = _bend(y + h / 2 * ty, tx2, ty2, q, z + h / 2, magnet)
    tx3, ty3 = tx + h / 2 * a2, ty + h / 2 * b2
    a3, b3 = _bend(y + h / 2 * ty2, tx3, ty3, q, z + h / 2, magnet)
    tx4, ty4 = tx + h * a3, ty + h * b3
    a4, b4 = _bend(y + h * ty3, tx4, ty4, q, z + h, magnet)
    slopes = tx + h / 6 * (a1 + 2 * a2 + 2 * a3 + a4), ty + h / 6 * (b1 + 2 * b2 + 2 * b3 + b4)
    return np.stack(
        [x + h / 6 * (tx + 2 * tx2 + 2 * tx3 + tx4), y + h / 6 * (ty + 2 * ty2 + 2 * ty3 + ty4),
         *(t.clip(-_STEEP, _STEEP) for t in slopes), q], 1,
    )  # fmt: skip


def _bend(y: Array, tx: Array, ty: Array, q: Array, z: float, magnet: Magnet) -> tuple[Array, Array]:
    by, bz = field(y, z, magnet)
    scale = _KAPPA * q * np.sqrt(1 + tx**2 + ty**2)
    return scale * (ty * bz - (1 + tx**2) * by), scale * (-tx * ty * by - tx * bz)
