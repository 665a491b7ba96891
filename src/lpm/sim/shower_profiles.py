r"""Where a shower leaves its energy: longitudinal and radial profiles after Grindhammer and Peters (hep-ex/0001020).

Along the axis, with t in radiation lengths, an electromagnetic shower is a gamma distribution,

.. math:: \frac{1}{E}\frac{dE}{dt} = \frac{(\beta t)^{\alpha-1} \beta e^{-\beta t}}{\Gamma(\alpha)}, \quad
          T = \frac{\alpha - 1}{\beta},

where ln T and ln α fluctuate from shower to shower as a correlated pair of normal numbers whose means, spreads and
correlation depend on :math:`\ln y = \ln(E / E_c)`. Across it, with r in Molière radii and :math:`\tau = t / T`, a core
and a tail,

.. math:: f(r) = p \frac{2 r R_C^2}{(r^2 + R_C^2)^2} + (1 - p) \frac{2 r R_T^2}{(r^2 + R_T^2)^2}.

All coefficients are those of Geant4's implementation, GFlash, for sampling calorimeters. At energies so low that the
published spreads blow up, they are held at `WIDEST`.

Hadronic showers have in addition a gamma distribution in interaction lengths behind the first interaction, with the
shape of Bock, Hansl-Kozanecka and Shah, Nucl. Instrum. Meth. 186 (1981) 533.

Shapes: B showers, L layers, R rings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammainc

from lpm.sim.calorimeter_card import Material

__all__ = ["WIDEST", "electromagnetic_shape", "hadronic_shape", "inside", "longitudinal", "radii", "rings"]

Array = NDArray[np.float64]

WIDEST = 0.4
"""Largest spread of ln T and of ln α."""


def electromagnetic_shape(energy: Array, material: Material, rng: np.random.Generator) -> tuple[Array, Array]:
    """Depth of the maximum T in radiation lengths and shape α of each shower.

    Args:
        energy: (B,) GeV, above the critical energy.
        material: What it goes through.
        rng: Source of the fluctuations.

    Returns:
        (B,) T and (B,) α.
    """
    ln_y = np.log(np.maximum(energy / material.critical, 6.0))
    a3 = 0.458 + 2.26 / material.charge
    mean_t = np.log(np.maximum(ln_y - 0.812 - 0.55 / material.sampling - 0.69 * (1 - material.response), 0.5))
    mean_a = np.log(np.maximum(0.81 + a3 * ln_y - 0.476 / material.sampling, 1.2))
    spread_t = _spread(-2.5 + 1.25 * ln_y)
    spread_a = _spread(-0.82 + 0.79 * ln_y)
    correlation = np.clip(0.784 - 0.023 * ln_y, -1, 1)
    u, v = rng.standard_normal((2, len(energy)))
    t = np.exp(mean_t + spread_t * u)
    alpha = np.exp(mean_a + spread_a * (correlation * u + np.sqrt(1 - correlation**2) * v))
    return t, np.maximum(alpha, 1.1)


def hadronic_shape(energy: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Shape α and scale β, per interaction length, of the hadronic part.

    Args:
        energy: (B,) GeV.
        rng: Source of the fluctuations, 15% of α and 25% of β.
    """
    ln_e = np.log(np.maximum(energy, 1.0))
    u, v = rng.standard_normal((2, len(energy)))
    return (0.6165 + 0.3183 * ln_e) * np.exp(0.15 * u), (0.9099 - 0.0237 * ln_e) * np.exp(0.25 * v)


def longitudinal(alpha: Array, beta: Array, start: Array, ends: ArrayLike) -> Array:
    """(B, L) share of the energy between the ends of layers, for showers that start at some depth.

    Args:
        alpha: (B,) shape.
        beta: (B,) scale, one over the unit of length.
        start: (B,) depth of the start.
        ends: (L + 1,) ends of the layers.

    Example:
        >>> share = longitudinal(np.array([3.0]), np.array([0.5]), np.array([0.0]), [0.0, 6.0, 1000.0])
        >>> round(float(share.sum()), 6), bool(share[0, 0] > 0.5)
        (1.0, True)
    """
    depth = np.clip(np.asarray(ends)[None, :] - start[:, None], 0, None)
    return np.diff(gammainc(alpha[:, None], beta[:, None] * depth), axis=1)


def radii(tau: Array, energy: Array, material: Material) -> tuple[Array, Array, Array]:
    """Radius of the core, radius of the tail, both in Molière radii, and share of the core.

    Args:
        tau: (B, L) depth over that of the maximum.
        energy: (B,) GeV.
        material: What the shower goes through.

    Returns:
        Three (B, L).
    """
    ln_e, z, part = np.log(energy)[:, None], material.charge, 1 - material.response
    thin = np.exp(-tau) / material.sampling
    core = 0.0251 + 0.00319 * ln_e + (0.1162 - 0.000381 * z) * tau - 0.0203 * part + 0.0397 * thin
    steep, slow = np.exp(-2.59 * (tau - 0.645)), np.exp((0.3585 + 0.0412 * ln_e) * (tau - 0.645))
    tail = (0.659 - 0.00309 * z) * (steep + slow) - 0.14 * part - 0.495 * thin
    x = (0.401 + 0.00187 * z - tau) / (1.313 - 0.0686 * ln_e).clip(0.3)
    share = (2.632 - 0.00094 * z) * np.exp(x - np.exp(x))
    share += part * (0.348 - 0.642 * np.exp(-((tau - 1) ** 2)) / material.sampling)
    core = core.clip(0.01, 3.0)
    return core, np.maximum(tail.clip(0.05, 10.0), core), share.clip(0.0, 1.0)


def inside(edges: Array, radius: Array) -> Array:
    """(..., R + 1) share of one component within edges: r² / (r² + R²)."""
    square = edges**2
    return np.asarray(square / (square + (radius**2)[..., None]))


def rings(edges: ArrayLike, core: Array, tail: Array, share: Array) -> Array:
    """(B, R) share of the energy of a layer between the edges of rings; what lies beyond the last is lost.

    Args:
        edges: (R + 1,) edges of the rings.
        core: (B,) radius of the core, in the unit of the edges.
        tail: (B,) radius of the tail.
        share: (B,) of the core.

    Example:
        >>> rings([0.0, 1.0, 3.0], np.array([1.0]), np.array([1.0]), np.array([0.5])).tolist()
        [[0.5, 0.4]]
    """
    e, p = np.asarray(edges), share[:, None]
    return np.diff(p * inside(e, core) + (1 - p) * inside(e, tail), axis=1)


def _spread(inverse: Array) -> Array:
    return np.asarray(np.minimum(1 / np.maximum(inverse, 1 / WIDEST), WIDEST))
