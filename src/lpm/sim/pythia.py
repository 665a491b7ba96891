"""The only door to the event generator Pythia 8 (Bierlich et al., arXiv 2203.11601).

`Generator` yields events in batches as flat columns: the stable particles, and the hard partons with the resonance
each of them comes from. Units: GeV and mm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpm.physics.pdg import has_quark

__all__ = [
    "NEUTRINOS", "RESONANCES", "Events", "Particles", "Partons", "Taus", "generate", "start", "totals"
]  # fmt: skip

Array = NDArray[np.float64]
Index = NDArray[np.int64]

NEUTRINOS = (12, 14, 16)
RESONANCES = (6, 23, 24, 25)
"""|PDG id| of the particles whose decays are matched to jets: t, Z, W, H."""

CHARGED = (11, 13, 15, 211, 321, 2212, 3112, 3222, 3312, 3334)
"""|PDG id| of charged particles that may be stable."""


@dataclass(frozen=True, kw_only=True)
class Particles:
    """Stable particles of several events, sorted by event: (N,) columns in GeV and mm."""

    event: Index
    pdg_id: Index
    px: Array
    py: Array
    pz: Array
    energy: Array
    x: Array
    y: Array
    z: Array

    def __len__(self) -> int:
        return len(self.px)

    def take(self, index: Index | NDArray[np.bool_]) -> Particles:
        """The particles at the given rows."""
        return Particles(**{name: value[index] for name, value in vars(self).items()})

    @property
    def pt(self) -> Array:
        """(N,) transverse momentum in GeV."""
        return np.hypot(self.px, self.py)

    @property
    def eta(self) -> Array:
        """(N,) pseudorapidity."""
        return np.arcsinh(self.pz / np.maximum(self.pt, 1e-12))

    @property
    def phi(self) -> Array:
        """(N,) azimuth in rad."""
        return np.arctan2(self.py, self.px)

    @property
    def charge(self) -> Array:
        """(N,) electric charge in e. Negative for leptons and antihadrons of positive PDG number."""
        size, sign = np.abs(self.pdg_id), np.sign(self.pdg_id)
        flip = np.isin(size, (11, 13, 15, 3112, 3312, 3334))
        return np.where(np.isin(size, CHARGED), np.where(flip, -sign, sign), 0).astype(np.float64)

    @property
    def visible(self) -> NDArray[np.bool_]:
        """(N,) whether it is no neutrino."""
        return ~np.isin(np.abs(self.pdg_id), NEUTRINOS)


@dataclass(frozen=True, kw_only=True)
class Partons:
    """Outgoing particles of the hard process and of the decays of its resonances, before they radiate.

    Args:
        event: (P,) event of each.
        pdg_id: (P,) PDG number.
        px: (P,) in GeV; likewise `py`, `pz`, `energy`.
        py: (P,) in GeV.
        pz: (P,) in GeV.
        energy: (P,) in GeV.
        root: (P,) number of the resonance it comes from within its event, -1 if from none.
        root_id: (P,) PDG number of that resonance, 0 if none.
    """

    event: Index
    pdg_id: Index
    px: Array
    py: Array
    pz: Array
    energy: Array
    root: Index
    root_id: Index

    def take(self, index: Index | NDArray[np.bool_]) -> Partons:
        """The partons at the given rows."""
        return Partons(**{name: value[index] for name, value in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Taus:
    """Tau leptons of several events and what they decayed to, sorted by event.

    Args:
        event: (N,) event of each.
        pdg_id: (N,) PDG number.
        px: (N,) momentum of all decay products but neutrinos, in GeV; likewise `py`, `pz`, `energy`.
        py: (N,) in GeV.
        pz: (N,) in GeV.
        energy: (N,) in GeV.
        leptons: (N,) electrons and muons among the products.
        hadrons: (N,) charged pions and kaons among them.
        pions: (N,) neutral pions among them.
    """

    event: Index
    pdg_id: Index
    px: Array
    py: Array
    pz: Array
    energy: Array
    leptons: Index
    hadrons: Index
    pions: Index

    def take(self, index: Index | NDArray[np.bool_]) -> Taus:
        """The taus at the given rows."""
        return Taus(**{name: value[index] for name, value in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Events:
    """B events.

    Args:
        size: B.
        particles: Stable particles.
        partons: Hard partons.
        heavy: Hadrons with a bottom or charm quark that decayed.
        tau_leptons: Electrons and muons from decays of τ leptons.
        taus: All tau leptons and what they decayed to.
    """

    size: int
    particles: Particles
    partons: Partons
    heavy: Particles
    tau_leptons: Particles
    taus: Taus


def totals(group: Index, weight: Array | NDArray[np.bool_], size: int) -> Array:
    """(size,) sums of weights by group.

    Example:
        >>> totals(np.array([0, 2, 2]), np.array([1.0, 2.0, 3.0]), 3).tolist()
        [1.0, 0.0, 5.0]
    """
    return np.bincount(group, weight, size).astype(np.float64)


def generate(settings: Sequence[str], seed: int, batch: int) -> Iterator[Events]:
    """Batches of events, without end unless they come from a file of hard events.

    Args:
        settings: Lines as in the Pythia manual, `HardQCD:all = on`.
        seed: 1 to 900,000,000; equal seeds give equal events.
        batch: Events a batch. About 170 kB of memory each.

    Raises:
        ValueError: If the `sim` extra is not installed, or Pythia refuses a line or the settings together.

    Example:
        >>> events = next(generate(["WeakSingleBoson:ffbar2gmZ = on", "Beams:eCM = 13000."], seed=1, batch=2))
        >>> events.size
        2
    """
    pythia = start(settings, seed)
    while not pythia.infoPython().atEndOfFile():
        record = pythia.nextBatch(batch, errorMode="skip")
        if len(record):
            yield _flatten(record)


def start(settings: Sequence[str], seed: int) -> Any:
    """A generator that is ready.

    Args:
        settings: Lines as in the Pythia manual.
        seed: 1 to 900,000,000.

    Raises:
        ValueError: If the `sim` extra is not installed, or Pythia refuses a line or the settings together.
    """
    try:
        import pythia8mc
    except ImportError:
        raise ValueError("simulation needs the generator Pythia 8: pip install 'lpm[sim]'") from None
    pythia = pythia8mc.Pythia("", False)
    for line in ("Print:quiet = on", *settings, "Random:setSeed = on", f"Random:seed = {seed}"):
        if not pythia.readString(line):
            raise ValueError(f"Pythia does not know the setting {line!r}: compare its manual, pythia.org")
    if not pythia.init():
        raise ValueError(f"Pythia cannot start with {', '.join(settings)}: compare its manual, pythia.org")
    return pythia


def _flatten(record: Any) -> Events:
    """Flat columns from the awkward record of a batch."""
    import awkward as ak

    prt = record.prt
    counts = ak.to_numpy(ak.num(prt)).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    flat = ak.flatten(prt)
    event = np.repeat(np.arange(len(counts)), counts)
    pdg_id, status, mother = (np.asarray(flat[n], dtype=np.int64) for n in ("id", "status", "mother1"))
    momentum = {n: np.asarray(flat.p[m]) for n, m in (("px", "px"), ("py", "py"), ("pz", "pz"), ("energy", "e"))}

    stable = np.flatnonzero(status > 0)
    vertex = flat.vProd[stable]
    place = {n: np.asarray(ak.fill_none(vertex[f"p{n}"], 0.0)) for n in "xyz"}
    particles = Particles(
        event=event[stable], pdg_id=pdg_id[stable], **{n: v[stable] for n, v in momentum.items()}, **place
    )

    hard = np.flatnonzero(np.abs(status) == 23)
    root = _roots(hard, mother + first[event], pdg_id)
    partons = Partons(
        event=event[hard],
        pdg_id=pdg_id[hard],
        **{n: v[hard] for n, v in momentum.items()},
        root=np.where(root >= 0, root - first[event[hard]], -1),
        root_id=np.where(root >= 0, pdg_id[root], 0),
    )
    decayed = np.flatnonzero((status < 0) & (has_quark(pdg_id, 5) | has_quark(pdg_id, 4)))
    zero = np.zeros(len(decayed))
    heavy = Particles(
        event=event[decayed], pdg_id=pdg_id[decayed], **{n: v[decayed] for n, v in momentum.items()},
        x=zero, y=zero, z=zero,
    )  # fmt: skip
    parent = pdg_id[mother[stable] + first[event[stable]]]
    of_tau = (np.abs(parent) == 15) & np.isin(np.abs(particles.pdg_id), (11, 13))
    return Events(
        size=len(counts), particles=particles, partons=partons, heavy=heavy, tau_leptons=particles.take(of_tau),
        taus=_taus(event, pdg_id, status, mother + first[event], momentum),
    )  # fmt: skip


def _taus(event: Index, pdg_id: Index, status: Index, mother: Index, momentum: dict[str, Array]) -> Taus:
    """Taus and what becomes of them. `mother` is a row of the same columns."""
    size = np.abs(pdg_id)
    rows = np.flatnonzero((size == 15) & (size[mother] != 15))
    own = np.full(len(pdg_id), -1, dtype=np.int64)
    own[rows] = np.arange(len(rows))
    # Generation by generation: a row belongs to the tau of its mother.
    while len(grown := np.flatnonzero((own < 0) & (own[mother] >= 0))):
        own[grown] = own[mother[grown]]
    last = (own >= 0) & (status > 0)
    seen = np.flatnonzero(last & ~np.isin(size, NEUTRINOS))

    def count(chosen: NDArray[np.bool_]) -> Index:
        return np.bincount(own[chosen], minlength=len(rows))

    return Taus(
        event=event[rows], pdg_id=pdg_id[rows],
        **{n: totals(own[seen], v[seen], len(rows)) for n, v in momentum.items()},
        leptons=count(last & np.isin(size, (11, 13))),
        hadrons=count(last & np.isin(size, (211, 321))),
        pions=count((own >= 0) & (pdg_id == 111)),
    )  # fmt: skip


def _roots(start: Index, mother: Index, pdg_id: Index) -> Index:
    """Row of the first resonance in the ancestry of each row, its earliest copy; -1 if there is none."""
    root = np.full(len(start), -1, dtype=np.int64)
    current, alive = mother[start], np.arange(len(start))
    while len(alive):
        resonant = np.isin(np.abs(pdg_id[current]), RESONANCES)
        current, alive = current[resonant], alive[resonant]
        root[alive] = current
        current = mother[current]
    return root
