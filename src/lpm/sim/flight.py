r"""Charged particles on their way through a forward spectrometer, plane by plane, and the hits that they leave.

Between planes they follow the field (`lpm.sim.transport`). In a plane of t radiation lengths, counted along the track,

- they scatter by Highland's formula, :math:`\theta_0 = 13.6\,\mathrm{MeV} / (\beta p) \sqrt t (1 + 0.038 \ln t)`;
- they lose 41 MeV t / β² by ionisation, with a gamma distribution of shape two;
- electrons radiate: :math:`-\ln(E' / E)` follows a gamma distribution of shape t / ln 2 (Bethe and Heitler);
- hadrons interact after five times as many radiation lengths as make an interaction length, and are gone.

Muons, pions and kaons decay in flight; what they decay to leaves no hits.

Shapes: N particles, L planes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpm.physics.energyloss import MASS
from lpm.sim.flash_card import FlashCard, Magnet, Plane
from lpm.sim.transport import propagate

__all__ = ["LOSS", "Flight", "Generated", "Layer", "fly", "highland", "layers"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

LOSS = 0.041
"""GeV that a minimum ionising particle loses in a radiation length."""

_DECAY = {"mu": 658_638.0, "pi": 7_804.5, "K": 3_711.0}  # cτ in mm (Particle Data Group)
_STEEP = 3.0
_LENGTHS = 5.0  # radiation lengths in an interaction length, about that of silicon and carbon


@dataclass(frozen=True)
class Generated:
    """N charged particles.

    Args:
        place: (N, 3) origin, mm.
        slope: (N, 2) dx/dz and dy/dz.
        p: (N,) momentum, GeV.
        charge: (N,) ±1.
        species: (N,) names, out of `lpm.data.flash.SPECIES`.
    """

    place: Array
    slope: Array
    p: Array
    charge: Array
    species: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.p)

    @property
    def mass(self) -> Array:
        """(N,) GeV."""
        return np.select([self.species == s for s in MASS], list(MASS.values()))

    def take(self, index: Mask | NDArray[np.int64]) -> Generated:
        """Some of them."""
        return Generated(*(value[index] for value in vars(self).values()))


@dataclass(frozen=True)
class Layer:
    """One plane at z."""

    z: float
    plane: Plane


@dataclass(frozen=True)
class Flight:
    """What became of N particles.

    Args:
        hits: (N, L, 2) measured x and y, mm.
        seen: (N, L) whether there is a hit.
        crossed: (N, L) whether the particle would have crossed what measures, had it lived.
        end: (N,) z at which it decayed or interacted, infinite if neither.
        decayed: (N,) whether it was a decay.
        states: (N, L, 5) true states behind each plane.
        last: (N, 5) true states at the calorimeter.
    """

    hits: Array
    seen: Mask
    crossed: Mask
    end: Array
    decayed: Mask
    states: Array
    last: Array


def layers(card: FlashCard) -> list[Layer]:
    """All planes, along the beam.

    Example:
        >>> from lpm.sim.flash_card import read_flash_card
        >>> len(layers(read_flash_card("forward")))
        38
    """
    return [Layer(p.first + i * p.step, p) for p in card.plane for i in range(p.count)]


def highland(p: Array, beta: Array, thickness: Array) -> Array:
    """(N,) deviation of the angle of scattering in one projection, rad.

    Args:
        p: Momentum, GeV.
        beta: Velocity.
        thickness: Radiation lengths along the track.
    """
    return 0.0136 / (beta * p) * np.sqrt(thickness) * np.maximum(1 + 0.038 * np.log(thickness), 0.1)


def fly(particles: Generated, card: FlashCard, rng: np.random.Generator) -> Flight:
    """Follow particles to the calorimeter.

    Args:
        particles: What was generated; their origins lie ahead of the magnet.
        card: The spectrometer.
        rng: Source of all chance.
    """
    planes, n, mass = layers(card), len(particles), particles.mass
    electron, hadron = particles.species == "e", np.isin(particles.species, ("pi", "K", "p"))
    lifetime = np.select([particles.species == s for s in _DECAY], list(_DECAY.values()), np.inf)
    stretch = np.sqrt(1 + (particles.slope**2).sum(1))
    decay = particles.place[:, 2] + lifetime * particles.p / mass * rng.standard_exponential(n) / stretch
    end, at = decay.copy(), planes[0].z
    x = np.concatenate([particles.place[:, :2], particles.slope, (particles.charge / particles.p)[:, None]], 1)
    x[:, :2] += x[:, 2:4] * (at - particles.place[:, 2:])
    hits, seen = np.zeros((n, len(planes), 2)), np.zeros((n, len(planes)), dtype=bool)
    crossed, states = seen.copy(), np.zeros((n, len(planes), 5))
    for i, layer in enumerate(planes):
        x = _onward(x, at, layer.z, card.magnet, card.magnet.step)
        at, born = layer.z, layer.z > particles.place[:, 2]
        if layer.plane.efficiency:
            crossed[:, i] = born & _inside(x, layer.plane)
            seen[:, i] = crossed[:, i] & (end > at) & (rng.random(n) < layer.plane.efficiency)
            hits[:, i] = x[:, :2] + rng.standard_normal((n, 2)) * layer.plane.resolution
        thickness = layer.plane.thickness * np.sqrt(1 + (x[:, 2:4] ** 2).sum(1))
        gone = hadron & born & (rng.random(n) < thickness / _LENGTHS)
        end = np.where(gone, np.minimum(end, at), end)
        scattered = _matter(x, thickness, mass, electron, rng)
        x = np.where((born & (np.abs(x[:, 2:4]) < _STEEP).all(1))[:, None], scattered, x)
        states[:, i] = x
    last = _onward(x, at, card.calorimeter.z, card.magnet, card.magnet.step)
    return Flight(hits, seen, crossed, end, decay <= end, states, last)


def _onward(x: Array, start: float, end: float, magnet: Magnet, step: float) -> Array:
    """States at the next plane; what is too steep stays where it is, for it never comes back into what measures."""
    kept = (np.abs(x[:, 2:4]) < _STEEP).all(1)
    out = x.copy()
    out[kept] = propagate(x[kept], start, end, magnet, step)
    return out


def _inside(x: Array, plane: Plane) -> Mask:
    size, inner, outer = np.abs(x[:, :2]), np.array(plane.inner), np.array(plane.outer)
    return np.asarray((size < outer).all(1) & (size > inner).any(1))


def _matter(x: Array, thickness: Array, mass: Array, electron: Mask, rng: np.random.Generator) -> Array:
    """States behind a plane."""
    n, charge, p = len(x), np.sign(x[:, 4]), 1 / np.abs(x[:, 4])
    beta = p / np.hypot(p, mass)
    angle = highland(p, beta, thickness)
    tx, ty = x[:, 2], x[:, 3]
    whole = 1 + tx**2 + ty**2
    out = x.copy()
    out[:, 2] += angle * np.sqrt((1 + tx**2) * whole) * rng.standard_normal(n)
    out[:, 3] += angle * np.sqrt((1 + ty**2) * whole) * rng.standard_normal(n)
    energy = np.hypot(p, mass) - LOSS * thickness / beta**2 * rng.standard_gamma(2.0, n) / 2
    energy = np.where(electron, energy * np.exp(-rng.standard_gamma(thickness / np.log(2), n)), energy)
    p = np.sqrt(np.maximum(energy**2 - mass**2, 0.05**2))
    out[:, 4] = charge / p
    return out
