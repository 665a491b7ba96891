"""What was generated of leptons, photons and jets, and what the detector makes of it: pairs to learn from.

Generated objects are found among the stable particles as reconstructed ones are among what the detector sees: leptons
and photons that stand alone, and anti-kT jets of the rest. They may be a little softer and further forward, so that
what falls below a cut of the reconstruction, or outside of the detector, is there to be missed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from lpm.data.batch import Batch, Ragged
from lpm.data.matched import KINDS, match
from lpm.physics.kinematics import mass
from lpm.sim.card import Reconstruction
from lpm.sim.detector import Objects, reconstruct
from lpm.sim.objects import flavoured, jets_of, leptons_and_photons, tagged
from lpm.sim.pythia import Events

__all__ = ["find_matched"]

Array = NDArray[np.float64]

SOFTER, FURTHER = 0.6, 1.2
"""Cuts of what was generated, over those of the reconstruction: on transverse momentum and on pseudorapidity."""


def find_matched(objects: Objects, events: Events, card: Reconstruction, rng: np.random.Generator) -> Batch:
    """Pairs of what was generated and what was reconstructed.

    Args:
        objects: Reconstructed particles, sorted by event.
        events: What was generated.
        card: Cuts, isolation and tagging of the reconstruction.
        rng: Source of randomness.

    Returns:
        One generated object an event, of the schema `lpm.data.matched.MATCHED`.
    """
    perfect = reconstruct(events.particles, None, rng)
    given, jets, at = _found(perfect, events.size, _wider(card), rng)
    with_b, with_c = flavoured(*jets, events.heavy, card.radius)
    kind = np.select([with_b, with_c], [KINDS.index("b_jet"), KINDS.index("c_jet")], KINDS.index("jet"))
    given[at, 5] = kind
    seen, jets, at = _found(objects, events.size, card, rng)
    seen[at, 7] = tagged(jets[0], seen[at, 1], jets[1], jets[2], events.heavy, card, rng)
    return match(_ragged(given, events.size, 6), _ragged(seen, events.size, 8))


def _wider(card: Reconstruction) -> Reconstruction:
    """Cuts of what was generated: all is identified."""

    def wide(name: str) -> object:
        cuts = getattr(card, name)
        return replace(cuts, pt_min=SOFTER * cuts.pt_min, eta_max=FURTHER * cuts.eta_max, efficiency=1.0)

    leptons = {name: wide(name) for name in ("electron", "muon", "photon")}
    return replace(card, pt_min=SOFTER * card.pt_min, eta_max=FURTHER * card.eta_max, **leptons)  # type: ignore[arg-type]


def _found(
    objects: Objects, size: int, card: Reconstruction, rng: np.random.Generator
) -> tuple[Array, tuple[NDArray[np.int64], Array, Array], slice]:
    """(M, 8) event, pt, eta, phi, mass, kind, iso, btag; event, eta and phi of the jets; and the rows of these."""
    alone, free = leptons_and_photons(objects, card, rng)
    parts = []
    for name, (row, around) in alone.items():
        one, none = objects.take(row), np.zeros(len(row))
        parts.append(np.stack([one.event, one.pt, one.eta, one.phi, none, none + KINDS.index(name), around, none], 1))
    jets = jets_of(objects.take(free), size, card)
    p4 = (torch.from_numpy(x) for x in (jets.px, jets.py, jets.pz, jets.energy))
    none = np.zeros(len(jets.pt))
    numbers = [jets.event, jets.pt, jets.eta, jets.phi, mass(*p4).numpy(), none + KINDS.index("jet"), none, none]
    before = sum(map(len, parts))
    whole = np.concatenate([*parts, np.stack(numbers, 1)])
    return whole, (jets.event, jets.eta, jets.phi), slice(before, len(whole))


def _ragged(rows: Array, size: int, columns: int) -> Ragged:
    """Rows by event, the hardest first, without the event."""
    order = np.lexsort((-rows[:, 1], rows[:, 0]))
    lengths = np.bincount(rows[:, 0].astype(np.int64), minlength=size)
    return Ragged.from_lengths(torch.from_numpy(rows[order, 1:columns]), torch.from_numpy(lengths))
