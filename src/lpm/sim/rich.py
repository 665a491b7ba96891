r"""Rings of Cherenkov light, photon by photon, and the likelihoods of what made them.

A particle of velocity β in a gas of index n radiates at :math:`\cos\theta = 1 / (n \beta)`,

.. math:: N = 370\,\mathrm{eV^{-1} cm^{-1}}\; L\, \sin^2\theta\, \Delta E

photons (Particle Data Group, "Particle Detectors at Accelerators", eq. 35.5). Each of them has an energy of its own,
and so an index; leaves the track somewhere in the gas; and falls, if it survives mirror and quantum efficiency, into a
pixel. Hits of other particles lie evenly between. With :math:`\mu_h` expected hits of hypothesis h, their density
:math:`s_h(\theta)` about the measured track and b of the background,

.. math:: \ln L_h = -\mu_h + \sum_\mathrm{hits} \ln(1 + s_h(\theta) / b) + \mathrm{const}

(Forty and Schneider, LHCb 98-040). Mirrors are not traced: what they do is the spread by the point of emission.

Shapes: N tracks, G photons of all tracks, H hypotheses.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lpm.data.flash import SPECIES
from lpm.physics.energyloss import MASS
from lpm.sim.flash_card import Counter

__all__ = ["WINDOW", "angle", "likelihoods"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

WINDOW = 5.25
"""eV between the ends of the spectrum, 1.75 and 7 eV."""

_EMITTED = 370.0 / 10  # photons in an eV and a mm
_EMISSION = 0.002  # rad, times the place of emission from −½ to ½ and the cosine about the track
_WANDER = 0.0016  # rad GeV: the track's direction in the middle of the gas, by scattering in it


def angle(p: Array, mass: Array, index: Array | float) -> Array:
    """Cherenkov angle in rad; 0 below threshold.

    Example:
        >>> round(float(angle(np.array([50.0]), np.array([0.13957]), 1.0014)[0]), 4)
        0.0528
    """
    cosine = np.hypot(p, mass) / (p * index)
    return np.arccos(np.minimum(cosine, 1.0))


def likelihoods(
    p: Array, mass: Array, measured: Array, slope: Array, reached: Mask, counter: Counter, rng: np.random.Generator
) -> tuple[Array, Mask]:
    """Logarithms of likelihood (N, H) of the species of `lpm.data.flash`, and (N,) whether the counter is crossed.

    Args:
        p: (N,) true momentum in the gas, GeV.
        mass: (N,) true mass, GeV.
        measured: (N,) momentum of the track, GeV.
        slope: (N,) sine of the angle to the beam.
        reached: (N,) whether the particle lives to the end of the gas.
        counter: The counter.
        rng: Source of all chance.
    """
    used = reached & (slope > counter.lowest) & (slope < counter.highest)
    owner, theta = _hits(p, mass, used, counter, rng)
    widest = 1.5 * math.acos(1 / counter.index)
    masses = np.array([MASS[s] for s in SPECIES])
    expected = angle(measured[:, None], masses, counter.index)
    number = _number(expected, counter) * counter.photons
    bend = np.maximum(np.tan(expected), 1e-3)
    spread = np.sqrt(
        ((counter.index - 1) * counter.dispersion / bend) ** 2 + (counter.pixel**2 + _EMISSION**2 / 2) / 12
        + (_WANDER / measured[:, None]) ** 2
    )  # fmt: skip
    background = counter.background / (math.pi * widest**2)
    pull = (theta[:, None] - expected[owner]) / spread[owner]
    density = number[owner] * np.exp(-(pull**2) / 2) / (math.sqrt(2 * math.pi) * spread[owner])
    terms = np.log1p(density / (2 * math.pi * np.maximum(theta, 1e-3))[:, None] / background)
    out = -number
    for h in range(len(SPECIES)):
        out[:, h] += np.bincount(owner, terms[:, h], len(p))
    return np.where(used[:, None], out, 0.0), used


def _number(theta: Array, counter: Counter) -> Array:
    """Mean number of photons emitted."""
    return _EMITTED * counter.length * np.sin(theta) ** 2 * WINDOW


def _hits(
    p: Array, mass: Array, used: Mask, counter: Counter, rng: np.random.Generator
) -> tuple[NDArray[np.int64], Array]:
    """Track and angle about the measured direction of each hit, those of others among them."""
    mean = np.where(used, _number(angle(p, mass, counter.index), counter), 0.0)
    owner = np.repeat(np.arange(len(p)), rng.poisson(mean))
    colour = rng.uniform(-math.sqrt(3), math.sqrt(3), len(owner))
    theta = angle(p[owner], mass[owner], 1 + (counter.index - 1) * (1 + counter.dispersion * colour))
    around = rng.uniform(-math.pi, math.pi, len(owner))
    theta = theta + _EMISSION * rng.uniform(-0.5, 0.5, len(owner)) * np.cos(around)
    # Blue photons are absorbed in the mirror, red ones do not free an electron.
    survive = counter.photons * 1.2 * (1 - colour**2 / 6)
    kept = (rng.random(len(owner)) < survive) & (theta > 0)
    owner, theta, around = owner[kept], theta[kept], around[kept]
    wander = rng.standard_normal((len(p), 2)) * (_WANDER / p)[:, None]
    place = np.stack([theta * np.cos(around), theta * np.sin(around)], 1) + wander[owner]
    others = rng.poisson(np.where(used, counter.background, 0.0))
    noise = np.repeat(np.arange(len(p)), others)
    radius = 1.5 * math.acos(1 / counter.index) * np.sqrt(rng.random(len(noise)))
    turn = rng.uniform(-math.pi, math.pi, len(noise))
    owner = np.concatenate([owner, noise])
    place = np.concatenate([place, np.stack([radius * np.cos(turn), radius * np.sin(turn)], 1)])
    # Pixels lie anywhere relative to the track.
    shift = rng.random((len(p), 2))[owner]
    place = (np.floor(place / counter.pixel + shift) - shift + 0.5) * counter.pixel
    return owner, np.hypot(place[:, 0], place[:, 1])
