"""Charged particles of proton collisions for a forward spectrometer: of chosen decays, or all that there are.

Pythia decays hadrons by its own tables; a process turns off all channels but one of the hadron that is chosen. A decay
counts if all of its charged particles go forward, into the cone and above the momentum of `FORWARD`.

Shapes: N particles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpm.sim.flight import Generated
from lpm.sim.pythia import start

__all__ = ["FORWARD", "PROCESSES", "Decays", "Process", "decays"]

Index = NDArray[np.int64]

FORWARD = (1.8, 5.0, 2.0)
"""Pseudorapidities, and least momentum in GeV, of particles that are kept."""

_ORIGIN = (400.0, 20.0)
"""Largest |z| and distance from the beam, mm, of where a particle begins: what decays later leaves no long track."""

_PDG = {11: "e", 13: "mu", 211: "pi", 321: "K", 2212: "p"}
_LEPTONS = (11, 13)


@dataclass(frozen=True)
class Process:
    """What is generated.

    Args:
        settings: Lines for Pythia.
        mother: |PDG number| of the hadron whose decay is chosen; 0 for all particles.
        daughters: Charged particles of the decay.
    """

    settings: tuple[str, ...]
    mother: int = 0
    daughters: int = 0


_BEAMS = ("Beams:eCM = 13000.", "PartonLevel:MPI = off")

PROCESSES = {
    "bu2jpsik": Process(
        (*_BEAMS, "HardQCD:hardbbbar = on", "521:onMode = off", "521:onIfMatch = 443 321", "443:onMode = off",
         "443:onIfMatch = 11 -11"), 521, 3,
    ),
    "d02kpi": Process((*_BEAMS, "HardQCD:hardccbar = on", "421:onMode = off", "421:onIfMatch = 321 211"), 421, 2),
    "minbias": Process(("Beams:eCM = 13000.", "SoftQCD:nonDiffractive = on")),
}  # fmt: skip
"""B⁺ → J/ψ(e⁺e⁻) K⁺, D⁰ → K⁻π⁺, and collisions as they come."""


@dataclass(frozen=True)
class Decays:
    """Particles of one batch.

    Args:
        particles: They, one decay after the other.
        event: (N,) number of the decay, or of the collision.
        mother: (N,) PDG number of the hadron, 0 for none.
    """

    particles: Generated
    event: Index
    mother: Index


def decays(process: str, seed: int, batch: int = 500) -> Iterator[Decays]:
    """Batches of particles, without end.

    Args:
        process: Name out of `PROCESSES`.
        seed: 1 to 900,000,000.
        batch: Collisions generated together.

    Raises:
        ValueError: If there is no such process, or Pythia is not installed.
    """
    if process not in PROCESSES:
        raise ValueError(f"process {process!r}: expected one of {', '.join(PROCESSES)}")
    which = PROCESSES[process]
    pythia, done = start(which.settings, seed), 0
    while True:
        out = _chosen(pythia.nextBatch(batch, errorMode="skip"), which)
        yield Decays(out.particles, out.event + done, out.mother)
        done += int(out.event.max()) + 1 if len(out.event) else 0


def _chosen(record: object, which: Process) -> Decays:
    import awkward as ak

    prt = record.prt  # type: ignore[attr-defined]
    counts = ak.to_numpy(ak.num(prt)).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    flat, event = ak.flatten(prt), np.repeat(np.arange(len(counts)), counts)
    pdg_id, status, mother = (np.asarray(flat[n], dtype=np.int64) for n in ("id", "status", "mother1"))
    px, py, pz = (np.asarray(flat.p[f"p{k}"]) for k in "xyz")
    size, p = np.abs(pdg_id), np.sqrt(px**2 + py**2 + pz**2)
    eta = np.arctanh(np.clip(pz / np.maximum(p, 1e-9), -1 + 1e-12, 1 - 1e-12))
    rows = np.flatnonzero((status > 0) & np.isin(size, list(_PDG)))
    place = np.stack([np.asarray(ak.fill_none(flat.vProd[f"p{k}"], 0.0)) for k in "xyz"], 1)
    good = (eta > FORWARD[0]) & (eta < FORWARD[1]) & (p > FORWARD[2])
    good &= (np.abs(place[:, 2]) < _ORIGIN[0]) & (np.hypot(*place[:, :2].T) < _ORIGIN[1])
    if which.mother:
        origin = _ancestors(rows, mother + first[event], size == which.mother)
        rows, origin = rows[origin >= 0], origin[origin >= 0]
        whole = np.bincount(origin, good[rows], len(pdg_id)) == which.daughters
        rows, origin = rows[whole[origin]], origin[whole[origin]]
        order = np.argsort(origin, kind="stable")
        rows, origin = rows[order], origin[order]
        number, kind = np.unique(origin, return_inverse=True)[1], pdg_id[origin]
    else:
        rows = rows[good[rows]]
        number, kind = event[rows], np.zeros(len(rows), dtype=np.int64)
    slope = np.stack([px[rows], py[rows]], 1) / pz[rows, None]
    flip = np.where(np.isin(size[rows], _LEPTONS), -1.0, 1.0)
    names = np.select([size[rows] == k for k in _PDG], [np.array(v) for v in _PDG.values()], "pi")
    return Decays(Generated(place[rows], slope, p[rows], flip * np.sign(pdg_id[rows]), names), number, kind)


def _ancestors(rows: Index, mother: Index, wanted: NDArray[np.bool_]) -> Index:
    """The wanted particle that each row comes from, -1 if from none."""
    out, current = np.full(len(rows), -1, dtype=np.int64), mother[rows]
    for _ in range(4):  # a hadron, a resonance, a lepton
        hit = wanted[current] & (out < 0)
        out[hit] = current[hit]
        current = mother[current]
    return out
