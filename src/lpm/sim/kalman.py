r"""A track from its hits: a Kalman filter from the last plane back to the first, through field and material.

With states and conventions of `lpm.sim.transport` (Frühwirth, Nucl. Instrum. Meth. A 262 (1987) 444):

.. math:: C' = F C F^T + Q, \quad K = C' H^T (H C' H^T + V)^{-1}, \quad x = x' + K (m - H x'), \quad
          \chi^2 \mathrel{+}= r^T (H C' H^T + V)^{-1} r,

with F the derivative of the propagated state, by differences of neighbouring tracks, Q the scattering in a plane, V the
resolution. Every particle is taken for a pion: no experiment knows better when it fits its tracks. The filter starts
from two straight lines, ahead of the magnet and behind it, and the momentum that lies in their angle.

Shapes: N tracks, L planes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpm.physics.energyloss import MASS
from lpm.sim.flash_card import FlashCard
from lpm.sim.flight import LOSS, highland, layers
from lpm.sim.transport import propagate

__all__ = ["Fitted", "fit"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_KAPPA = 0.299792458e-3
_BELIEVED = 0.05  # relative error of the momentum at the start: as wide as leaves the field linear enough
_FAR = np.array([1e4, 1e4, 3.0, 3.0, 3.0])  # a fit that goes astray must stay a number until its χ² refuses it
_DIFFERENCES = np.array([0.01, 0.01, 1e-5, 1e-5, 1e-5])


@dataclass(frozen=True)
class Fitted:
    """N tracks.

    Args:
        state: (N, 5) at the plane that was asked for.
        covariance: (N, 5, 5) of it.
        chi2: (N,) of the fit.
        freedom: (N,) degrees of freedom.
    """

    state: Array
    covariance: Array
    chi2: Array
    freedom: Array


def fit(hits: Array, seen: Mask, to: Array, card: FlashCard) -> Fitted:
    """Fit tracks and extrapolate them.

    Args:
        hits: (N, L, 2) measured x and y, mm.
        seen: (N, L) which hits there are: at least three ahead of the magnet and three behind it.
        to: (N,) plane z to extrapolate to, ahead of the field, mm.
        card: The spectrometer.
    """
    x, first = _start(hits, seen, card)
    planes, mass = layers(card), MASS["pi"]
    covariance = np.zeros((len(x), 5, 5))
    covariance[:, range(5), range(5)] = np.array([10.0, 30.0, 0.05, 0.05, 1.0]) ** 2
    covariance[:, 4, 4] = (_BELIEVED * x[:, 4]) ** 2
    chi2, at = np.zeros(len(x)), first
    for i in range(len(planes) - 1, -1, -1):
        layer = planes[i]
        if layer.z > first:
            continue
        x, covariance = _backward(x, covariance, at, layer.z, card)
        at = layer.z
        if layer.plane.efficiency:
            x, covariance, chi2 = _update(x, covariance, chi2, hits[:, i], seen[:, i], layer.plane.resolution)
        x, covariance = _material(x, covariance, layer.plane.thickness, mass, layer.z > to)
    shift = (to - at)[:, None]
    move = np.tile(np.eye(5), (len(x), 1, 1))
    move[:, [0, 1], [2, 3]] = shift
    x[:, :2] += x[:, 2:4] * shift
    return Fitted(x, move @ covariance @ move.transpose(0, 2, 1), chi2, 2.0 * seen.sum(1) - 5)


def _start(hits: Array, seen: Mask, card: FlashCard) -> tuple[Array, float]:
    """States at the first plane behind the magnet, and its z, from straight lines."""
    z = np.array([layer.z for layer in layers(card)])
    ahead, behind = z < 1000, z > card.magnet.middle
    first = float(z[-1])
    front = _line(hits[:, ahead], seen[:, ahead], z[ahead], 0.0)
    back = _line(hits[:, behind], seen[:, behind], z[behind], first)
    sines = [t[:, 2] / np.sqrt(1 + t[:, 2] ** 2) for t in (front, back)]
    momentum = (sines[0] - sines[1]) / (_KAPPA * 1000 * card.magnet.bending)
    # Slope in the plane of bending: the part of the momentum out of it does not bend.
    flat = np.sqrt((1 + front[:, 2] ** 2) / (1 + front[:, 2] ** 2 + front[:, 3] ** 2))
    momentum = np.where(np.abs(momentum) < 1e-4, 1e-4, momentum * flat)
    return np.concatenate([back, momentum[:, None]], 1), first


def _line(hits: Array, seen: Mask, z: Array, at: float) -> Array:
    """(N, 4) places and slopes at a plane, by least squares of equal weights."""
    w = seen.astype(np.float64)
    count = w.sum(1)
    middle = (w * z).sum(1) / count
    d = (z - middle[:, None]) * w
    slope = (d[:, :, None] * hits).sum(1) / (d**2).sum(1)[:, None]
    mean = (w[:, :, None] * hits).sum(1) / count[:, None]
    return np.concatenate([mean + slope * (at - middle)[:, None], slope], 1)


def _backward(x: Array, c: Array, start: float, end: float, card: FlashCard) -> tuple[Array, Array]:
    """States and covariances at an earlier plane."""
    if start == end:
        return x, c
    n, steps = len(x), np.tile(_DIFFERENCES, (len(x), 1))
    x = np.clip(x, -_FAR, _FAR)
    steps[:, 4] = 1e-3 * np.abs(x[:, 4])
    many = np.tile(x, (6, 1, 1))
    many[range(1, 6), :, range(5)] += steps.T
    moved = propagate(many.reshape(6 * n, 5), start, end, card.magnet, card.magnet.coarse).reshape(6, n, 5)
    derivative = ((moved[1:] - moved[0]) / steps.T[:, :, None]).transpose(1, 2, 0)
    return moved[0], derivative @ c @ derivative.transpose(0, 2, 1)


def _update(
    x: Array, c: Array, chi2: Array, hit: Array, seen: Mask, resolution: tuple[float, float]
) -> tuple[Array, Array, Array]:
    """Both coordinates are measured, independently."""
    for k in range(2):
        rest = hit[:, k] - x[:, k]
        weight = np.where(seen, 1 / (c[:, k, k] + resolution[k] ** 2), 0.0)
        gain = c[:, :, k] * weight[:, None]
        x = x + gain * rest[:, None]
        c = c - gain[:, :, None] * c[:, None, k, :]
        chi2 = chi2 + weight * rest**2
    return x, c, chi2


def _material(x: Array, c: Array, thickness: float, mass: float, crossed: Mask) -> tuple[Array, Array]:
    """Back to before a plane: scattering is not known, the loss of energy is on average."""
    p = np.clip(1 / np.abs(x[:, 4]), 0.3, 1e4)
    tx, ty = x[:, 2], x[:, 3]
    whole = 1 + tx**2 + ty**2
    along, beta = thickness * np.sqrt(whole), p / np.hypot(p, mass)
    square = np.where(crossed, highland(p, beta, along) ** 2 * whole, 0.0)
    c = c.copy()
    c[:, 2, 2] += square * (1 + tx**2)
    c[:, 3, 3] += square * (1 + ty**2)
    cross = square * tx * ty
    c[:, 2, 3] += cross
    c[:, 3, 2] += cross
    x = x.copy()
    x[:, 4] = np.where(crossed, np.sign(x[:, 4]) / (p + LOSS * along / beta), x[:, 4])
    return x, c
