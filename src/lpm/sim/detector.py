r"""Parametrised particle-flow detector: from stable particles to what an experiment would reconstruct.

The chain is that of the public fast simulation Delphes (de Favereau et al., JHEP 02 (2014) 057, arXiv 1307.6346):

1. Particles follow a helix (charged) or a line (neutral) in a solenoid to the face of the calorimeter.
2. Charged particles become tracks with an efficiency in bins of :math:`(|\eta|, p_T)`; their :math:`p_T` is smeared
   log-normally with :math:`\sigma/p_T = a \oplus b\,p_T`, their impact parameters with a Gaussian of
   :math:`\sigma = a \oplus b/p_T`. Tracks are taken as massless.
3. Energy is summed in towers, electromagnetic and hadronic ones apart, and smeared log-normally with
   :math:`\sigma^2 = (cE)^2 + s^2 E + n^2`.
4. Energy flow: where a tower holds significantly more than its tracks, the excess becomes a photon (electromagnetic)
   or a neutral hadron; otherwise the momenta of its tracks are scaled to the weighted mean of both measurements.

All numbers lie in detector cards, `cards/detector/*.toml`. Everything is vectorised over the particles of all events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpm.data.fields import PARTICLE_TYPES
from lpm.sim.card import Calorimeter, Detector, Region, Tracker
from lpm.sim.pythia import Particles, totals

__all__ = ["Objects", "reconstruct"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

CURVATURE = 0.299792458e-3
"""Curvature in 1/mm of unit charge and transverse momentum of 1 GeV in 1 T."""

TYPE = {name: i for i, name in enumerate(PARTICLE_TYPES)}


@dataclass(frozen=True, kw_only=True)
class Objects:
    """Reconstructed particles of several events, sorted by event; all are massless.

    Args:
        event: (N,) event of each object.
        pt: (N,) transverse momentum in GeV.
        eta: (N,) pseudorapidity.
        phi: (N,) azimuth in rad.
        charge: (N,) in e.
        type: (N,) index into `lpm.data.fields.PARTICLE_TYPES`.
        pdg_id: (N,) |PDG id| of the particle that left the track, which a perfect identification tells; 0 without one.
        d0: (N,) transverse impact parameter in mm, 0 for neutrals; likewise `dz` and the uncertainties of both.
        energy: (N,) in GeV.
        d0_err: (N,) in mm.
        dz: (N,) in mm.
        dz_err: (N,) in mm.
    """

    event: Index
    pt: Array
    eta: Array
    phi: Array
    energy: Array
    charge: Array
    type: Index
    pdg_id: Index
    d0: Array
    d0_err: Array
    dz: Array
    dz_err: Array

    def __len__(self) -> int:
        return len(self.pt)

    def take(self, index: Index | NDArray[np.bool_]) -> Objects:
        """The objects at the given rows."""
        return Objects(**{name: value[index] for name, value in vars(self).items()})


def reconstruct(particles: Particles, detector: Detector | None, rng: np.random.Generator) -> Objects:
    """What the detector sees of the stable particles.

    Args:
        particles: Stable particles of several events.
        detector: The detector card, or None for perfect measurement of all visible particles.
        rng: Source of randomness.

    Returns:
        Charged hadrons, electrons and muons from tracks; photons and neutral hadrons from calorimeter towers.
    """
    particles = particles.take(particles.visible)
    if detector is None:
        return _perfect(particles)
    face = _propagate(particles, detector)
    hits = _Hits(
        event=particles.event, eta=face.eta, phi=face.phi, energy=particles.energy, pdg=np.abs(particles.pdg_id)
    ).take(face.reached)
    seen, pt, spread = _track(particles, face, detector.tracker, rng)
    eta, phi = particles.eta[seen], particles.phi[seen]
    pdg = np.abs(particles.pdg_id[seen])
    tracks = _Hits(
        event=particles.event[seen], eta=face.eta[seen], phi=face.phi[seen], energy=pt * np.cosh(eta), pdg=pdg
    )
    salt = rng.integers(1 << 62, size=2)
    photons, em = _energy_flow(hits, tracks, spread, _ecal_fraction, detector.ecal, detector.absorb, int(salt[0]), rng)
    # Towers of both calorimeters in one place report one position; otherwise the positions are independent.
    place = int(salt[0 if detector.shared_towers else 1])
    neutrals, had = _energy_flow(hits, tracks, spread, _hcal_fraction, detector.hcal, detector.absorb, place, rng)
    kept = np.flatnonzero(em * had > 0)
    seen, tracks, pdg, eta, phi = seen[kept], tracks.take(kept), pdg[kept], eta[kept], phi[kept]
    pt = (pt * em * had)[kept]
    d0_err, dz_err = detector.tracker.d0.at(pt, eta), detector.tracker.dz.at(pt, eta)
    measured = Objects(
        event=tracks.event, pt=pt, eta=eta, phi=phi, energy=pt * np.cosh(eta),
        charge=particles.charge[seen], type=_track_type(pdg), pdg_id=pdg,
        d0=rng.normal(face.d0[seen], d0_err), d0_err=d0_err, dz=rng.normal(face.dz[seen], dz_err), dz_err=dz_err,
    )  # fmt: skip
    return _merge([measured, _neutral(photons, "photon"), _neutral(neutrals, "neutral_hadron")])


@dataclass(frozen=True, kw_only=True)
class _Face:
    """Where particles meet the calorimeter, and their impact parameters in mm."""

    eta: Array
    phi: Array
    d0: Array
    dz: Array
    reached: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class _Hits:
    """Energy in GeV arriving at (eta, phi) on the face of the calorimeter."""

    event: Index
    eta: Array
    phi: Array
    energy: Array
    pdg: Index

    def take(self, index: Index | NDArray[np.bool_]) -> _Hits:
        return _Hits(**{name: value[index] for name, value in vars(self).items()})


def _propagate(p: Particles, detector: Detector) -> _Face:
    """Follow helices and lines from the production vertex to the cylinder of the calorimeter face."""
    pt, phi, slope = p.pt, p.phi, p.pz / np.maximum(p.pt, 1e-12)
    kappa = CURVATURE * detector.field * p.charge / np.maximum(pt, 1e-12)
    straight = kappa == 0
    # A line is a helix of curvature so small that it bends by less than a micrometre.
    kappa = np.where(straight, 1e-15, kappa)
    centre_x, centre_y = p.x + np.sin(phi) / kappa, p.y - np.cos(phi) / kappa
    reach = _path_to_radius(p, phi, kappa, straight, detector.radius)
    with np.errstate(divide="ignore", invalid="ignore"):
        end = (np.sign(p.pz) * detector.half_length - p.z) / slope
    path = np.minimum(reach, np.where(p.pz == 0, np.inf, end))
    inside = (np.hypot(p.x, p.y) < detector.radius) & (np.abs(p.z) < detector.half_length)
    reached = inside & np.isfinite(path) & (path > 0) & (pt > 0)
    path = np.where(reached, path, 0.0)
    bent = phi - kappa * path
    x = np.where(straight, p.x + path * np.cos(phi), centre_x - np.sin(bent) / kappa)
    y = np.where(straight, p.y + path * np.sin(phi), centre_y + np.cos(bent) / kappa)
    z = p.z + path * slope
    d0 = np.where(
        straight,
        p.x * np.sin(phi) - p.y * np.cos(phi),
        np.sign(kappa) * (np.hypot(centre_x, centre_y) - 1 / np.abs(kappa)),
    )
    closest = -(p.x * np.cos(phi) + p.y * np.sin(phi))
    return _Face(
        eta=np.arcsinh(z / np.maximum(np.hypot(x, y), 1e-12)),
        phi=np.arctan2(y, x),
        d0=d0,
        dz=p.z + closest * slope,
        reached=reached,
    )


def _path_to_radius(p: Particles, phi: Array, kappa: Array, straight: NDArray[np.bool_], radius: float) -> Array:
    """Transverse path in mm to a cylinder; infinite for a helix that curls up inside."""
    along, inside = p.x * np.cos(phi) + p.y * np.sin(phi), radius**2 - p.x**2 - p.y**2
    line = -along + np.sqrt(np.maximum(along**2 + inside, 0.0))
    centre_x, centre_y = p.x + np.sin(phi) / kappa, p.y - np.cos(phi) / kappa
    distance = np.hypot(centre_x, centre_y)
    # On the helix r² = d² + 1/κ² + (2 d/κ) sin(a - φ) with the centre at distance d and azimuth a; solve r = R for φ.
    sine = kappa * (radius**2 - distance**2 - 1 / kappa**2) / (2 * distance)
    azimuth = np.arctan2(centre_y, centre_x)
    turn = np.arcsin(np.clip(sine, -1, 1))
    period = 2 * np.pi / np.abs(kappa)
    first = np.mod((phi - azimuth + turn) / kappa, period)
    second = np.mod((phi - azimuth + np.pi - turn) / kappa, period)
    helix = np.where(np.abs(sine) < 1, np.minimum(first, second), np.inf)
    return np.where(straight, line, helix)


def _track(p: Particles, face: _Face, tracker: Tracker, rng: np.random.Generator) -> tuple[Index, Array, Array]:
    """Rows of the particles with a track, their smeared pt in GeV and its relative uncertainty."""
    # As in Delphes, acceptance and resolution depend on where the particle leaves the tracker: those that curl up
    # and leave near the beam are not seen.
    pt, eta, pdg = p.pt, face.eta, np.abs(p.pdg_id)
    inside = (p.charge != 0) & face.reached & (pt > tracker.pt_min) & (np.abs(eta) < tracker.eta_max)
    found = np.zeros(len(p))
    spread = np.zeros(len(p))
    for species, chosen in (
        (tracker.electron, pdg == 11),
        (tracker.muon, pdg == 13),
        (tracker.hadron, ~np.isin(pdg, (11, 13))),
    ):
        rows = np.flatnonzero(inside & chosen)
        found[rows] = species.efficiency.at(pt[rows], eta[rows])
        spread[rows] = species.resolution.at(pt[rows], eta[rows])
    seen = np.flatnonzero(rng.random(len(p)) < found)
    return seen, _log_normal(pt[seen], spread[seen] * pt[seen], rng), spread[seen]


def _log_normal(mean: Array, sigma: Array, rng: np.random.Generator) -> Array:
    """Positive numbers of the given mean and standard deviation; 0 where the mean is 0."""
    safe = np.maximum(mean, 1e-12)
    width = np.sqrt(np.log1p((sigma / safe) ** 2))
    value = safe * np.exp(width * rng.normal(size=len(mean)) - 0.5 * width**2)
    return np.where(mean > 0, value, 0.0)


def _ecal_fraction(pdg: Index) -> Array:
    """Share of the energy of stable particles that the electromagnetic calorimeter absorbs."""
    share = np.isin(pdg, (11, 22, 111)).astype(np.float64)
    return np.where(np.isin(pdg, (310, 3122)), 0.3, share)


def _hcal_fraction(pdg: Index) -> Array:
    """Share that the hadronic calorimeter absorbs; muons leave nothing."""
    return np.where(pdg == 13, 0.0, 1.0 - _ecal_fraction(pdg))


def _edges(regions: tuple[Region, ...]) -> tuple[Array, Index]:
    """Tower edges in |eta| from 0 outwards, and the number of towers around the beam of each ring."""
    edges, towers = [0.0], []
    for region in regions:
        rings = max(round((region.eta_max - edges[-1]) / region.step), 1)
        start = edges[-1]
        edges += [start + (region.eta_max - start) * (i + 1) / rings for i in range(rings)]
        towers += [region.towers] * rings
    return np.asarray(edges), np.asarray(towers, dtype=np.int64)


def _energy_flow(
    hits: _Hits,
    tracks: _Hits,
    spread: Array,
    fraction: Callable[[Index], Array],
    card: Calorimeter,
    absorb: bool,
    salt: int,
    rng: np.random.Generator,
) -> tuple[_Hits, Array]:
    """Neutral excess of the towers of one calorimeter, and the factor by which to scale each track.

    Args:
        hits: What arrives at the calorimeter.
        tracks: The tracks, with their smeared energies.
        spread: Relative uncertainty of the energy of each track.
        fraction: Share of the energy that this calorimeter absorbs, for each |PDG id|.
        card: The calorimeter.
        absorb: Which energy flow, see `lpm.sim.card.Detector`.
        salt: Decides the position that each tower reports.
        rng: Source of randomness.
    """
    edges, towers = _edges(card.granularity)
    hits = hits.take((fraction(hits.pdg) > 0) & (np.abs(hits.eta) < edges[-1]))
    mine = np.flatnonzero((fraction(tracks.pdg) > 0) & (np.abs(tracks.eta) < edges[-1]))
    own = tracks.take(mine)
    # One number a tower: event, side, ring and sector.
    key = np.concatenate([_tower(hits, edges, towers), _tower(own, edges, towers)])
    cells, where = np.unique(key, return_inverse=True)
    n, in_tower, of_track = len(cells), where[: len(hits.eta)], where[len(hits.eta) :]
    event, side, ring, sector = _address(cells, towers)
    centre = side * 0.5 * (edges[ring] + edges[ring + 1])

    true = totals(in_tower, hits.energy * fraction(hits.pdg), n)
    energy = _log_normal(true, card.resolution.at(true, centre), rng)
    sigma = card.resolution.at(energy, centre)
    energy = np.where((energy < card.energy_min) | (energy < card.significance_min * sigma), 0.0, energy)

    share = own.energy * fraction(own.pdg)
    split = _absorb if absorb else _compare
    excess, factor = split(_Towers(energy, sigma, centre), of_track, share, own.energy, spread[mine], card)
    scale = np.ones(len(tracks.eta))
    scale[mine] = factor

    rows = np.flatnonzero(excess)
    u, v = _hash(cells[rows], salt), _hash(cells[rows], salt + 1)
    eta = side[rows] * (edges[ring[rows]] + u * (edges[ring[rows] + 1] - edges[ring[rows]]))
    phi = (sector[rows] + v) / towers[ring[rows]] * 2 * np.pi - np.pi
    return _Hits(event=event[rows], eta=eta, phi=phi, energy=excess[rows], pdg=np.zeros(len(rows), np.int64)), scale


def _hash(key: Index, salt: int) -> Array:
    """Numbers in [0, 1) that look random and depend only on key and salt (SplitMix64: Steele, Lea, Flood, 2014)."""
    x = key.astype(np.uint64) + np.uint64(salt * 0x9E3779B97F4A7C15 % (1 << 64))
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))).astype(np.float64) / 2.0**64


@dataclass(frozen=True)
class _Towers:
    """Measured energy of each tower, its uncertainty, and the pseudorapidity of its centre."""

    energy: Array
    sigma: Array
    eta: Array


def _compare(
    towers: _Towers, tower: Index, share: Array, energy: Array, spread: Array, card: Calorimeter
) -> tuple[Array, Array]:
    """Neutral excess of each tower, and a factor for each track: energy flow since Delphes 3.4.1.

    A significant excess is neutral; without one the tracks take the weighted mean of tower and tracks.
    """
    n = len(towers.energy)
    charged = totals(tower, share, n)
    charged_sigma = np.sqrt(totals(tower, (spread * energy) ** 2, n))
    excess = np.maximum(towers.energy - charged, 0.0)
    total = np.hypot(charged_sigma, towers.sigma)
    neutral = (excess > card.energy_min) & (excess > card.significance_min * total)
    w_track = np.where(charged_sigma > 0, 1 / np.maximum(charged_sigma, 1e-12) ** 2, 0.0)
    w_tower = np.where(towers.sigma > 0, 1 / np.maximum(towers.sigma, 1e-12) ** 2, 0.0)
    best = (w_track * charged + w_tower * towers.energy) / np.maximum(w_track + w_tower, 1e-300)
    factor = np.where(neutral | (charged == 0), 1.0, best / np.maximum(charged, 1e-12))
    return np.where(neutral, excess, 0.0), factor[tower]


def _absorb(
    towers: _Towers, tower: Index, share: Array, energy: Array, spread: Array, card: Calorimeter
) -> tuple[Array, Array]:
    """As `_compare`, but the energy flow of Delphes 3.3 and 3.4.0.

    Tracks with a worse resolution than the calorimeter take all energy that the others leave; only towers without such
    tracks have neutral objects.
    """
    n = len(towers.energy)
    poor = card.resolution.at(energy, towers.eta[tower]) < spread * energy
    rest = towers.energy - totals(tower, np.where(poor, 0.0, share), n)
    charged = totals(tower, np.where(poor, share, 0.0), n)
    neutral = (charged == 0) & (rest > card.energy_min) & (rest > card.significance_min * towers.sigma)
    factor = np.maximum(rest, 0.0) / np.maximum(charged, 1e-12)
    return np.where(neutral, rest, 0.0), np.where(poor, factor[tower], 1.0)


SECTORS = 1 << 12
RINGS = 1 << 12


def _tower(hits: _Hits, edges: Array, towers: Index) -> Index:
    """One integer a tower: ((event * 2 + side) * RINGS + ring) * SECTORS + sector."""
    ring = np.minimum(np.searchsorted(edges, np.abs(hits.eta), side="right") - 1, len(towers) - 1)
    sector = np.floor((hits.phi + np.pi) / (2 * np.pi) * towers[ring]).astype(np.int64) % towers[ring]
    return ((hits.event * 2 + (hits.eta >= 0)) * RINGS + ring) * SECTORS + sector


def _address(key: Index, towers: Index) -> tuple[Index, Index, Index, Index]:
    """Event, side (-1 or 1), ring and sector of each tower."""
    rest, sector = np.divmod(key, SECTORS)
    rest, ring = np.divmod(rest, RINGS)
    event, side = np.divmod(rest, 2)
    return event, 2 * side - 1, ring, sector


def _track_type(pdg: Index) -> Index:
    return np.select([pdg == 11, pdg == 13], [TYPE["electron"], TYPE["muon"]], TYPE["charged_hadron"]).astype(np.int64)


def _neutral(found: _Hits, name: str) -> Objects:
    """Massless objects from the origin."""
    zero = np.zeros(len(found.eta))
    kind = np.full(len(zero), TYPE[name], dtype=np.int64)
    return Objects(
        event=found.event, pt=found.energy / np.cosh(found.eta), eta=found.eta, phi=found.phi, energy=found.energy,
        charge=zero, type=kind, pdg_id=np.zeros(len(zero), np.int64), d0=zero, d0_err=zero, dz=zero, dz_err=zero,
    )  # fmt: skip


def _perfect(p: Particles) -> Objects:
    """All visible particles with their true momenta and energies."""
    zero, pdg = np.zeros(len(p)), np.abs(p.pdg_id)
    neutral = np.where(np.isin(pdg, (22, 111)), TYPE["photon"], TYPE["neutral_hadron"])
    return Objects(
        event=p.event, pt=p.pt, eta=p.eta, phi=p.phi, energy=p.energy, charge=p.charge,
        type=np.where(p.charge != 0, _track_type(pdg), neutral), pdg_id=np.where(p.charge != 0, pdg, 0),
        d0=zero, d0_err=zero, dz=zero, dz_err=zero,
    )  # fmt: skip


def _merge(parts: list[Objects]) -> Objects:
    """All objects of all parts, sorted by event and falling pt."""
    joined = Objects(**{name: np.concatenate([vars(p)[name] for p in parts]) for name in vars(parts[0])})
    return joined.take(np.lexsort((-joined.pt, joined.event)))
