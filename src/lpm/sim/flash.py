"""A forward spectrometer in detail: from generated particles to tracks with their identification, and to clusters.

Each charged particle flies through material and field (`lpm.sim.flight`), leaves hits of which a Kalman filter makes a
track (`lpm.sim.kalman`), photons in two Cherenkov counters (`lpm.sim.rich`), a shower in a calorimeter (`lpm.sim.lead`)
and hits in muon chambers. It is chance at every step, from a seed, so that the pairs of what was generated and what was
reconstructed teach a flash simulation what a full one would. It is no Geant4: particles do not multiply, tracks are
found by who made the hits, and other particles of the event are a background of uniform density.

Shapes: N particles, G groups of photons.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lpm.data.batch import Batch, Ragged
from lpm.data.flash import OUTCOMES, SPECIES, TRACKS, settled, tell
from lpm.sim.flash_card import FlashCard, Lead, Muon, read_flash_card
from lpm.sim.flight import Flight, Generated, fly, layers
from lpm.sim.kalman import Fitted, fit
from lpm.sim.lead import around, clusters, deposit
from lpm.sim.rich import likelihoods

__all__ = ["generated", "generated_photons", "gun", "neutrals", "particles_of", "photon_gun", "reconstruct"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

CELLS = 16
"""Cells along the side of the window around a group of photons."""

_CELL = 60.0  # mm: side of a cell around groups of photons
_LOCAL = 7
_MOMENTA = (2.0, 150.0)
_ETAS = (1.7, 5.2)


def gun(n: int, rng: np.random.Generator) -> Generated:
    """Charged particles of all species in equal parts: logarithm of momentum and pseudorapidity are flat.

    Origins lie about the beam, half of them displaced as those of decays.

    Args:
        n: Number of particles.
        rng: Source of all chance.
    """
    p = np.exp(rng.uniform(np.log(_MOMENTA[0]), np.log(_MOMENTA[1]), n))
    tangent, phi = 1 / np.sinh(rng.uniform(*_ETAS, n)), rng.uniform(-np.pi, np.pi, n)
    slope = tangent[:, None] * np.stack([np.cos(phi), np.sin(phi)], 1)
    place = np.stack([rng.normal(0, 0.05, n), rng.normal(0, 0.05, n), rng.normal(0, 60.0, n)], 1)
    flight = np.where(rng.random(n) < 0.5, rng.exponential(10.0, n), 0.0)
    place[:, 2] += flight
    place[:, :2] += flight[:, None] * rng.normal(0, 0.06, (n, 2))
    return Generated(place, slope, p, rng.choice([-1.0, 1.0], n), rng.choice(np.array(SPECIES), n))


def particles_of(batch: Batch) -> Generated:
    """The particles of a batch of `lpm.data.flash.TRACKS`.

    Raises:
        ValueError: If a momentum is not positive, or a number is missing.
    """
    c = {f: batch.field(f"particle.{f}").values.double().numpy() for f in
         ("p", "tx", "ty", "x", "y", "z", "charge", "species")}  # fmt: skip
    wrong = [name for name, values in c.items() if not np.isfinite(values).all()]
    if wrong or not (c["p"] > 0).all():
        raise ValueError(f"particle.{wrong[0] if wrong else 'p'}: expected finite numbers and momenta above 0")
    names = np.array(SPECIES)[c["species"].astype(np.int64)]
    return Generated(np.stack([c["x"], c["y"], c["z"]], 1), np.stack([c["tx"], c["ty"]], 1), c["p"], c["charge"], names)


def generated(particles: Generated, event: Index | None = None, mother: Index | None = None) -> Batch:
    """Charged particles that no detector has seen, one an event: what a flash simulation is given.

    Args:
        particles: What was generated.
        event: (N,) number of the collision of each; by default each has its own.
        mother: (N,) PDG number of the decay it was chosen from; 0 by default.
    """
    own = np.arange(len(particles)) if event is None else event
    rows = _particles(particles, own, np.zeros_like(own) if mother is None else mother)
    schema = TRACKS.select([f"particle.{f.name}" for f in TRACKS["particle"].fields if not f.truth])
    return Batch(schema, {"particle": Ragged.single(rows)})


def reconstruct(
    particles: Generated,
    card: FlashCard | str = "forward",
    seed: int = 0,
    event: NDArray[np.int64] | None = None,
    mother: NDArray[np.int64] | None = None,
) -> Batch:
    """What a spectrometer makes of charged particles, one event of `TRACKS` each.

    Args:
        particles: What was generated.
        card: A card, its name, or the path of one.
        seed: The same seed, card and particles give the same tracks.
        event: (N,) number of the collision of each; by default each has its own.
        mother: (N,) PDG number of the decay it was chosen from; 0 by default.

    Example:
        >>> batch = reconstruct(gun(200, np.random.default_rng(1)), seed=1)
        >>> len(batch), 0.4 < float(batch.collections["track"].lengths.float().mean()) < 0.9
        (200, True)
    """
    card = read_flash_card(card) if isinstance(card, str) else card
    rng = np.random.default_rng(seed)
    flight = fly(particles, card, rng)
    z, measures = _places(card)
    front, back = z < 1000.0, z > card.magnet.middle
    enough = [(flight.crossed[:, part & measures].sum(1)) >= least for part, least in
              ((front, card.finding.first), (back, card.finding.last))]  # fmt: skip
    seen = (flight.seen[:, front].sum(1) >= card.finding.first) & (flight.seen[:, back].sum(1) >= card.finding.last)
    tried = np.flatnonzero(seen & (rng.random(len(particles)) >= card.finding.missed))
    fitted = fit(flight.hits[tried], flight.seen[tried], particles.place[tried, 2], card)
    good = (fitted.chi2 / fitted.freedom < card.finding.chi2) & (np.abs(fitted.state[:, 4]) < 2.0)
    kept = tried[good]
    outcome = np.where(enough[0] & enough[1], 1, 0)
    columns = _state(particles.take(kept), _good(fitted, good))
    measured = 1 / np.abs(fitted.state[good, 4])
    columns |= _rings(particles.take(kept), _some(flight, kept), measured, card, rng)
    columns["ep"] = _energy(particles.take(kept), _some(flight, kept), card.calorimeter, rng) / measured
    muon = _muons(particles.take(kept), _some(flight, kept), card.muon, card.calorimeter.z, rng)
    outcome[kept] = np.where(muon, OUTCOMES.index("muon"), OUTCOMES.index("found"))
    found = np.zeros(len(particles), dtype=np.int64)
    found[kept] = 1
    before = generated(particles, event, mother).collections["particle"].values
    rows = torch.cat([before, torch.from_numpy(outcome.astype(np.float32))[:, None]], 1)
    values = settled(_stack(columns, TRACKS["track"].names))
    track = Ragged.from_lengths(values, torch.from_numpy(found))
    return Batch(TRACKS, {"particle": Ragged.single(rows), "track": track})


def photon_gun(n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Array]:
    """Groups of photons: how many each (n,), and (P, 3) energy in GeV, x and y from the corner of the window in mm.

    Each group has one to eight; every other photon comes close to the one before it, as of a neutral pion.

    Args:
        n: Number of groups.
        rng: Source of all chance.
    """
    lengths = np.minimum(1 + rng.poisson(1.6, n), 8)
    total = int(lengths.sum())
    energy = np.exp(rng.uniform(np.log(1.0), np.log(60.0), total))
    middle, side = CELLS * _CELL / 2, 250.0
    place = middle + rng.uniform(-side, side, (total, 2))
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    near = (rng.random(total) < 0.5) & ~np.isin(np.arange(total), first)
    place[near] = place[np.flatnonzero(near) - 1] + rng.normal(0, 60.0, (int(near.sum()), 2))
    return lengths, np.concatenate([energy[:, None], np.clip(place, middle - 330, middle + 330)], 1)


def generated_photons(lengths: Index, photons: Array) -> Batch:
    """Groups of photons that no calorimeter has seen: what a flash simulation is given.

    Args:
        lengths: (G,) photons of each group.
        photons: (P, 3) energy in GeV, x and y from the corner of the window, mm.
    """
    return tell(_grouped(lengths, photons), None, _CELL)


def neutrals(lengths: Index, photons: Array, card: FlashCard | str = "forward", seed: int = 0) -> Batch:
    """Clusters of groups of photons, one event of `NEUTRALS` each, in the frame of the cells.

    Args:
        lengths: (G,) photons of each group.
        photons: (P, 3) energy in GeV, x and y from the corner of the window, mm.
        card: A card, its name, or the path of one.
        seed: The same seed, card and photons give the same clusters.

    Raises:
        ValueError: If there is no such card, or its cells are of another size.
    """
    card = read_flash_card(card) if isinstance(card, str) else card
    if card.calorimeter.cell != _CELL:
        raise ValueError(f"groups of photons lie in a window of cells of {_CELL:g} mm, got {card.calorimeter.cell:g}")
    rng, groups = np.random.default_rng(seed), len(lengths)
    owner = np.repeat(np.arange(groups), lengths)
    grid = deposit(photons[:, 0], photons[:, 1:], owner, groups, CELLS, card.calorimeter, rng)
    grid += rng.normal(0, card.calorimeter.noise, grid.shape)
    at, rows = clusters(grid, card.calorimeter)
    return tell(_grouped(lengths, photons), _grouped(np.bincount(at, minlength=groups), rows), _CELL)


def _grouped(lengths: Index, rows: Array) -> Ragged:
    """Rows of energy, x, y and others in groups, from the middle of the window."""
    middle = np.zeros(rows.shape[1])
    middle[1:3] = CELLS * _CELL / 2
    return Ragged.from_lengths(torch.from_numpy((rows - middle).astype(np.float32)), torch.from_numpy(lengths))


def _places(card: FlashCard) -> tuple[Array, Mask]:
    planes = layers(card)
    return np.array([p.z for p in planes]), np.array([p.plane.efficiency > 0 for p in planes])


def _some(flight: Flight, index: NDArray[np.int64]) -> Flight:
    return Flight(*(value[index] for value in vars(flight).values()))


def _good(fitted: Fitted, index: Mask) -> Fitted:
    return Fitted(*(value[index] for value in vars(fitted).values()))


def _stack(columns: dict[str, Array], names: tuple[str, ...]) -> torch.Tensor:
    return torch.from_numpy(np.stack([columns[n] for n in names], 1).astype(np.float32))


def _particles(g: Generated, event: Index, mother: Index) -> torch.Tensor:
    tangent = np.hypot(g.slope[:, 0], g.slope[:, 1])
    species = np.array([SPECIES.index(s) for s in g.species], dtype=np.float64)
    columns = {
        "p": g.p, "tx": g.slope[:, 0], "ty": g.slope[:, 1], "eta": np.arcsinh(1 / np.maximum(tangent, 1e-4)),
        "x": g.place[:, 0], "y": g.place[:, 1], "z": g.place[:, 2], "charge": g.charge, "species": species,
        "event": event, "mother": mother,
    }  # fmt: skip
    return _stack(columns, tuple(columns))


def _state(g: Generated, found: Fitted) -> dict[str, Array]:
    """What was measured minus what was generated, and what the fit says of it."""
    deviation = np.sqrt(found.covariance[:, range(5), range(5)])

    def rho(i: int, j: int) -> Array:
        return np.asarray(np.clip(found.covariance[:, i, j] / deviation[:, i] / deviation[:, j], -1, 1))

    q = np.abs(found.state[:, 4])
    return {
        "dx": found.state[:, 0] - g.place[:, 0], "dy": found.state[:, 1] - g.place[:, 1],
        "dtx": found.state[:, 2] - g.slope[:, 0], "dty": found.state[:, 3] - g.slope[:, 1],
        "dp": 1 / q / g.p - 1, "err_x": deviation[:, 0], "err_y": deviation[:, 1], "err_tx": deviation[:, 2],
        "err_ty": deviation[:, 3], "err_p": deviation[:, 4] / q, "rho_x_tx": rho(0, 2), "rho_y_ty": rho(1, 3),
        "rho_tx_p": rho(2, 4), "chi2": found.chi2 / found.freedom,
    }  # fmt: skip


def _rings(
    g: Generated, flight: Flight, measured: Array, card: FlashCard, rng: np.random.Generator
) -> dict[str, Array]:
    """Differences of the logarithms of likelihood, all counters together."""
    z, _ = _places(card)
    total, light = np.zeros((len(g), len(SPECIES))), np.zeros(len(g), dtype=bool)
    for counter in card.rich:
        state = flight.states[:, max(int(np.searchsorted(z, counter.entrance)) - 1, 0)]
        slopes = (state[:, 2:4] ** 2).sum(1)
        sine, p = np.sqrt(slopes / (1 + slopes)), 1 / np.abs(state[:, 4])
        found, used = likelihoods(p, g.mass, measured, sine, flight.end > counter.exit, counter, rng)
        total += found
        light |= used
    total -= total[:, [SPECIES.index("pi")]]
    columns = {f"rich_{s}": total[:, SPECIES.index(s)] for s in SPECIES if s != "pi"}
    return {**columns, "light": light.astype(np.float64)}


def _energy(g: Generated, flight: Flight, card: Lead, rng: np.random.Generator) -> Array:
    """(N,) energy in the cells around each track."""
    n, p = len(g), 1 / np.abs(flight.last[:, 4])
    place = flight.last[:, :2]
    size = np.abs(place)
    inside = (size < card.outer).all(1) & (size > card.inner).any(1) & (flight.end > card.z)
    hadron = np.isin(g.species, ("pi", "K", "p"))
    showers = hadron & (rng.random(n) < 1 - np.exp(-card.interaction))
    # What of the energy of a hadron is seen here depends on how deep it interacts, and on its neutral pions.
    share = np.where(g.species == "e", 1.0, np.where(showers, rng.beta(1.1, 1.9, n), 0.0))
    energy = np.where(share > 0, share * p, card.minimum * (0.6 + 0.4 * rng.standard_gamma(1.0, n)))
    local = place % card.cell + (_LOCAL // 2) * card.cell
    hit = np.flatnonzero(inside)
    breadth = np.where(share > 0, np.where(g.species == "e", 1.0, 1.8), 0.2)
    grid = np.zeros((n, _LOCAL, _LOCAL))
    grid[hit] = deposit(energy[hit], local[hit], np.arange(len(hit)), len(hit), _LOCAL, card, rng, breadth[hit])
    grid += rng.normal(0, card.noise, grid.shape)
    return around(grid, local, card)


def _muons(g: Generated, flight: Flight, card: Muon, z: float, rng: np.random.Generator) -> Mask:
    """(N,) whether a track goes on through the muon chambers."""
    n, p = len(g), 1 / np.abs(flight.last[:, 4])
    # A pion or kaon that decays on its way becomes a muon that follows it.
    turned = flight.decayed & (flight.end < z) & np.isin(g.species, ("pi", "K"))
    left = np.where(turned, p * rng.uniform(0.55, 1.0, n), p) - card.absorbed
    real = (((g.species == "mu") & (flight.end > z)) | turned) & (left > 0)
    deep = np.minimum(np.floor(left / 1.5) + 1, card.stations)
    reach = card.punch * np.sqrt(p / 100)
    range_ = np.where(real, deep, np.floor(np.log(rng.random(n)) / np.log(np.minimum(reach, 0.9))))
    random = card.random * np.minimum(3.0 / p, 1.0)
    hits = np.stack(
        [((range_ > i) & (rng.random(n) < card.efficiency)) | (rng.random(n) < random) for i in range(card.stations)], 1
    )
    asked = [hits[:, 0] & hits[:, 1], hits[:, 0] & hits[:, 1] & hits[:, 2:].any(1), hits.all(1)]
    return np.select([p < card.absorbed, p < 6, p < 10], [np.zeros(n, dtype=bool), *asked[:2]], asked[2])
