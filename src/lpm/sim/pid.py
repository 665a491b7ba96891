r"""Tracks of known particles as silicon, gas, time-of-flight and transition-radiation detectors see them.

Each event is one track. Its transverse momentum follows a Lévy-Tsallis spectrum (as in ALICE, arXiv 1101.4110, eq. 1),

.. math:: \frac{dN}{dp_T} \propto p_T \left( 1 + \frac{m_T - m}{n C} \right)^{-n},

its direction is flat in η and φ. What follows is geometry and the response of each detector:

- the radius of curvature is :math:`p_T / (0.3\,B)` (GeV, T, m), so that soft tracks never reach the outer detectors;
- muons, pions and kaons decay in flight, after a mean path of :math:`c\tau\,p / m`;
- silicon: most probable energy loss in a layer, `lpm.physics.energyloss.silicon_peak`;
- gas: truncated mean after the ALEPH parametrisation, its resolution improving with the root of the ionisation that is
  sampled, that is of samples × cosh η;
- time of flight: length of the helix over βc, smeared by counters and start time;
- transition radiation: ionisation of up to six layers, and photons above a Lorentz factor of about a thousand.

Truncated means fluctuate as a gamma distribution does, which has the right width and a little of Landau's tail.

Measurements are missing at random (a detector is off), as the kinematics say (below a threshold, in a dead region), and
for reasons nobody records (the particle decayed, began late, was not matched): a missing measurement is a missing row.
Particles that cross matter lose no momentum, there are no nuclear interactions and no other tracks but for the share of
signals that are mixed up with those of a neighbour.

Shapes: N tracks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import erf

from lpm.data.batch import Batch, Ragged
from lpm.data.tracks import DETECTOR, LAYERS, SPECIES, tracks_schema
from lpm.physics.energyloss import MASS, aleph, silicon_peak
from lpm.sim.track_card import Spectrum, TrackCard, read_track_card

__all__ = ["SCHEMA", "simulate"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SCHEMA = tracks_schema(["p", "pt", "eta", "phi", "charge"], {n: list(f) for n, f in DETECTOR.items()}, SPECIES)
"""Fields of simulated tracks."""

_LIGHT = 299.792458  # mm / ns
_DECAY = {"mu": 658_638.0, "pi": 7_804.5, "K": 3_711.0}  # cτ in mm (Particle Data Group)
_SECTORS = 18


@dataclass(frozen=True)
class _Track:
    """True and measured kinematics of N tracks, and how far each comes.

    Args:
        species: (N,) index into `SPECIES`.
        mass: GeV.
        charge: ±1.
        p: True momentum, GeV.
        pt: True transverse momentum, GeV.
        eta: Pseudorapidity.
        phi: Azimuth, rad.
        curvature: Radius of curvature, mm.
        decay: Transverse radius at which the particle decays, mm; infinite if it does not.
        first: Silicon layers that the track has not crossed, counted from the innermost.
    """

    species: NDArray[np.int64]
    mass: Array
    charge: Array
    p: Array
    pt: Array
    eta: Array
    phi: Array
    curvature: Array
    decay: Array
    first: NDArray[np.int64]

    @property
    def beta_gamma(self) -> Array:
        return self.p / self.mass

    @property
    def beta(self) -> Array:
        return self.p / np.hypot(self.p, self.mass)

    def reaches(self, radius: float) -> Mask:
        """Whether each comes to a radius, in mm, before it turns back or decays."""
        return (2 * self.curvature > radius) & (self.decay > radius)

    def length(self, radius: float) -> Array:
        """Length of the helix up to a radius, in mm; that of the turning point where it is not reached."""
        return 2 * self.curvature * np.arcsin(np.minimum(radius / (2 * self.curvature), 1.0)) * np.cosh(self.eta)


def simulate(n: int, seed: int = 0, card: TrackCard | str = "alice") -> Batch:
    """Simulate tracks.

    Args:
        n: Number of tracks.
        seed: The same seed and card give the same tracks.
        card: A card, its name, or the path of one.

    Returns:
        n events of `SCHEMA`.

    Raises:
        ValueError: If n is negative, the card is unknown, or it names an unknown particle.

    Example:
        >>> batch = simulate(1000, seed=1)
        >>> len(batch), batch.field("tof.beta").values.median() < 1
        (1000, tensor(True))
    """
    if n < 0:
        raise ValueError(f"number of tracks: expected 0 or more, got {n}")
    card = read_track_card(card) if isinstance(card, str) else card
    unknown = [name for name in card.species if name not in SPECIES]
    if unknown or not card.species:
        raise ValueError(f"species {', '.join(unknown) or 'missing'}: expected names out of {', '.join(SPECIES)}")
    rng = np.random.default_rng(seed)
    track = _generate(n, card, rng)
    relative = np.hypot(card.constant, np.hypot(card.slope * track.pt, card.scattering / track.beta))
    scale = 1 / np.maximum(1 + relative * rng.standard_normal(n), 0.2)
    single = {"p": track.p * scale, "pt": track.pt * scale, "eta": track.eta, "phi": track.phi,
              "charge": track.charge, "species": track.species.astype(np.float64)}  # fmt: skip
    found = {"its": _its(track, card, rng), "tpc": _tpc(track, card, rng),
             "tof": _tof(track, card, rng), "trd": _trd(track, card, rng)}  # fmt: skip
    collections = {"track": Ragged.single(_stack(single, SCHEMA["track"].names))}
    for name, (columns, seen) in found.items():
        values = _stack(columns, SCHEMA[name].names)[torch.from_numpy(seen)]
        collections[name] = Ragged.from_lengths(values, torch.from_numpy(seen.astype(np.int64)))
    return Batch(SCHEMA, collections)


def _stack(columns: dict[str, Array], names: tuple[str, ...]) -> torch.Tensor:
    return torch.from_numpy(np.stack([columns[n] for n in names], 1).astype(np.float32))


def _generate(n: int, card: TrackCard, rng: np.random.Generator) -> _Track:
    names = list(card.species)
    shares = np.array([card.species[s].share for s in names])
    kind = rng.choice(len(names), size=n, p=shares / shares.sum())
    mass = np.array([MASS[s] for s in names])[kind]
    pt, uniform = np.empty(n), rng.random(n)
    for i, name in enumerate(names):
        pt[kind == i] = _transverse(uniform[kind == i], card.species[name], MASS[name], card.pt)
    eta, phi = rng.uniform(-card.eta_max, card.eta_max, n), rng.uniform(-np.pi, np.pi, n)
    path = np.array([_DECAY.get(s, np.inf) for s in names])[kind] * pt / mass
    # A track that is found has lived until it came into the gas.
    decay = card.tpc.inner + path * rng.standard_exponential(n)
    late = rng.random(n) < np.array([card.species[s].late for s in names])[kind]
    first = np.where(late, rng.integers(1, 5, n), 0)
    species = np.array([SPECIES.index(s) for s in names])[kind]
    charge = rng.choice([-1.0, 1.0], size=n)
    curvature = 1000 * pt / (0.299792458 * card.field)
    return _Track(species, mass, charge, pt * np.cosh(eta), pt, eta, phi, curvature, decay, first)


def _transverse(uniform: Array, spectrum: Spectrum, mass: float, window: tuple[float, float]) -> Array:
    """Transverse momenta of the spectrum, from uniform numbers, by the inverse of its integral."""
    grid = np.linspace(*window, 4001)
    density = grid * (1 + (np.hypot(grid, mass) - mass) / (spectrum.power * spectrum.scale)) ** -spectrum.power
    integral = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.interp(uniform, integral / integral[-1], grid)


def _smeared(mean: Array, relative: Array, rng: np.random.Generator) -> Array:
    """Gamma-distributed around the mean with a relative width."""
    shape = relative**-2
    return mean * rng.standard_gamma(shape) / shape


def _curve(track: _Track, curve: tuple[float, float, float, float, float]) -> Array:
    return aleph(torch.from_numpy(track.beta_gamma), curve).numpy()


def _its(track: _Track, card: TrackCard, rng: np.random.Generator) -> tuple[dict[str, Array], Mask]:
    c, n = card.its, len(track.p)
    hits = []
    for i, (found, dead) in enumerate(zip(c.efficiency, c.dead, strict=True)):
        # Dead parts of a layer: equal stretches of the azimuth, shifted from layer to layer.
        place = (track.phi / (2 * np.pi) * 10 + 0.37 * i) % 1.0
        hits.append((rng.random(n) < found) & (place >= dead) & (track.first <= i))
    samples = np.sum(hits[2:], 0)
    mean = c.gain * silicon_peak(torch.from_numpy(track.beta_gamma), c.thickness).numpy()
    dedx = _smeared(mean, c.resolution * np.sqrt(4 / np.maximum(samples, 1)), rng)
    seen = (samples >= c.samples) & (rng.random(n) >= c.lost)
    return {"dedx": dedx, **{name: h.astype(np.float64) for name, h in zip(LAYERS, hits, strict=True)}}, seen


def _tpc(track: _Track, card: TrackCard, rng: np.random.Generator) -> tuple[dict[str, Array], Mask]:
    c, n = card.tpc, len(track.p)
    step = (c.outer - c.inner) / c.rows
    turn = np.clip((np.minimum(2 * track.curvature, c.outer) - c.inner) / step, 0, c.rows)
    alive = np.clip((track.decay - c.inner) / step, 0, c.rows)
    # A stiff track along the boundary of two sectors runs where there are no pads.
    edge = np.abs((track.phi / (2 * np.pi) * _SECTORS) % 1.0 - 0.5)
    near = np.clip((0.5 - edge) * 360 / _SECTORS / c.gap, 0.2, 1.0) if c.gap > 0 else np.ones(n)
    findable = np.floor(np.where(track.pt > 0.8, near, 1.0) * turn)
    crossed = np.floor(np.minimum(findable, alive))
    clusters = rng.binomial(crossed.astype(np.int64), c.efficiency)
    samples = rng.binomial(clusters, c.used)
    beta_gamma = track.beta_gamma
    mean = c.gain * _curve(track, c.curve) * (1 + c.tilt * np.log(beta_gamma))
    width = c.resolution * np.sqrt(c.rows / np.maximum(samples * np.cosh(track.eta), 1))
    dedx = _smeared(mean, width, rng)
    dedx += np.where(rng.random(n) < c.tail, c.gain * rng.exponential(0.4, n), 0.0)
    seen = (samples >= c.samples) & (rng.random(n) >= c.lost)
    columns = {"dedx": dedx, "samples": samples, "clusters": clusters, "crossed": crossed, "findable": findable}
    return columns, seen


def _tof(track: _Track, card: TrackCard, rng: np.random.Generator) -> tuple[dict[str, Array], Mask]:
    c, n = card.tof, len(track.p)
    length = track.length(c.radius)
    time = length / (track.beta * _LIGHT) + c.offset
    time += np.hypot(c.resolution, c.start) * rng.standard_normal(n)
    time = np.where(rng.random(n) < c.mismatched, length / _LIGHT + rng.exponential(8.0, n), time)
    length = length * (1 + c.length * rng.standard_normal(n))
    matched = rng.random(n) < c.plateau * (1 + erf((track.pt - c.threshold) / c.width)) / 2
    seen = matched & track.reaches(c.radius) & (rng.random(n) >= c.lost)
    return {"time": time, "length": length, "beta": length / (np.maximum(time, 0.1) * _LIGHT)}, seen


def _trd(track: _Track, card: TrackCard, rng: np.random.Generator) -> tuple[dict[str, Array], Mask]:
    c, n = card.trd, len(track.p)
    sector = np.floor((track.phi + np.pi) / (2 * np.pi) * _SECTORS).astype(np.int64) % _SECTORS
    layers = rng.binomial(6, c.efficiency, n)
    minimum = float(aleph(torch.logspace(-0.3, 1.5, 200, dtype=torch.float64), c.curve).min())
    mean, relative = _curve(track, c.curve) / minimum, c.resolution / np.sqrt(np.maximum(layers, 1))
    gamma = np.hypot(track.p, track.mass) / track.mass
    photons = rng.poisson(layers * c.photons / (1 + np.exp(-(np.log10(gamma) - c.onset) / c.width)))
    radiation = c.photon * rng.standard_gamma(np.maximum(photons, 1e-9)) / np.maximum(layers, 1)
    # Photons are absorbed where the drift begins, and arrive last: half of them in the last third of the time.
    charge = _smeared(mean, relative, rng)
    late = 0.5 * charge + 0.5 * _smeared(mean, 1.5 * relative, rng) + 1.5 * radiation
    seen = (layers >= c.samples) & np.isin(sector, c.sectors) & (track.pt > c.threshold)
    seen &= track.reaches(c.radius) & (rng.random(n) >= c.lost)
    return {"charge": charge + radiation, "late": late, "layers": layers.astype(np.float64)}, seen
