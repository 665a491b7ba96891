"""Events as sets of objects: jets with b tags, isolated electrons, muons and photons, missing transverse momentum.

As in Delphes (arXiv 1307.6346): a lepton or photon is isolated if the others around it carry little of its transverse
momentum; what is isolated does not enter jets; a jet is tagged by chance, with a probability that depends on the
hadrons it holds and on its transverse momentum. All numbers lie in the section `objects` of the detector card.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lpm.data.batch import Batch
from lpm.data.fields import FOUR_TOPS, OBJECT_TYPES, events_schema
from lpm.data.schema import Schema
from lpm.physics.pdg import has_quark
from lpm.sim.card import Isolated, Reconstruction
from lpm.sim.detector import TYPE, Objects
from lpm.sim.jets import Jets, Selection, cluster, in_event, wrap
from lpm.sim.pythia import Particles, totals

__all__ = ["SCHEMA", "find_objects", "flavoured", "isolated", "jets_of", "leptons_and_photons", "tagged"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

COUNTS = ("jets", "b_jets", "leptons", "photons")

SCHEMA: Schema = events_schema(("weight", "ht", "met", *COUNTS), FOUR_TOPS)
"""Schema of events as sets of objects."""

KIND = {name: i for i, name in enumerate(OBJECT_TYPES)}

SIGNS = {"electron": ("electron", "positron"), "muon": ("muon", "antimuon")}
"""Kinds of negative and positive leptons."""


def find_objects(
    objects: Objects, heavy: Particles, size: int, label: str, card: Reconstruction, rng: np.random.Generator
) -> Batch:
    """The objects of each event, in no particular order.

    Args:
        objects: Reconstructed particles, sorted by event.
        heavy: Hadrons with a bottom or charm quark, sorted by event.
        size: Number of events.
        label: Class of the events, one of `FOUR_TOPS`.
        card: Cuts, isolation and tagging.
        rng: Source of randomness.

    Returns:
        All events, of the schema `SCHEMA`; each has a `met`.
    """
    parts: list[tuple[Index, Array, Array, Array, Array, Index]] = []  # event, pt, eta, phi, energy, kind
    alone, free = leptons_and_photons(objects, card, rng)
    for name, (row, _) in alone.items():
        kind = np.full(len(row), KIND[SIGNS[name][0]] if name in SIGNS else KIND[name])
        if name in SIGNS:
            kind[objects.charge[row] > 0] = KIND[SIGNS[name][1]]
        one = objects.take(row)
        parts.append((one.event, one.pt, one.eta, one.phi, one.energy, kind))
    jets = jets_of(objects.take(free), size, card)
    b = tagged(jets.event, jets.pt, jets.eta, jets.phi, heavy, card, rng)
    parts.append((jets.event, jets.pt, jets.eta, jets.phi, jets.energy, np.where(b, KIND["b_jet"], KIND["jet"])))
    lost_x = -totals(objects.event, objects.pt * np.cos(objects.phi), size)
    lost_y = -totals(objects.event, objects.pt * np.sin(objects.phi), size)
    met = np.hypot(lost_x, lost_y)
    parts.append((
        np.arange(size), met, np.zeros(size), np.arctan2(lost_y, lost_x), met, np.full(size, KIND["met"])
    ))  # fmt: skip
    event, pt, eta, phi, energy, kind = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((rng.random(len(event)), event))
    columns = {"pt": pt, "eta": eta, "phi": phi, "energy": energy, "type": kind}
    tensors = {f"object.{n}": torch.from_numpy(v[order].astype(np.float64)) for n, v in columns.items()}
    tensors |= {f"event.{n}": torch.from_numpy(v) for n, v in _event(event, pt, kind, met).items()}
    tensors["event.label"] = torch.full((size,), float(FOUR_TOPS.index(label)))
    return Batch.build(SCHEMA, tensors, {"object": torch.from_numpy(np.bincount(event, minlength=size))})


def _event(event: Index, pt: Array, kind: Index, met: Array) -> dict[str, Array]:
    """Observables of whole events."""

    def count(*names: str) -> Array:
        return totals(event, np.isin(kind, [KIND[n] for n in names]), len(met))

    in_jet = np.isin(kind, [KIND["jet"], KIND["b_jet"]])
    return {
        "weight": np.ones(len(met)), "ht": totals(event, pt * in_jet, len(met)), "met": met,
        "jets": count("jet", "b_jet"), "b_jets": count("b_jet"),
        "leptons": count("electron", "positron", "muon", "antimuon"), "photons": count("photon"),
    }  # fmt: skip


def leptons_and_photons(
    objects: Objects, card: Reconstruction, rng: np.random.Generator
) -> tuple[dict[str, tuple[Index, Array]], NDArray[np.bool_]]:
    """Isolated electrons, muons and photons that are identified, and what is left for jets.

    Args:
        objects: Reconstructed particles, sorted by event.
        card: Cuts and isolation.
        rng: Decides what is identified.

    Returns:
        {kind: rows, and the transverse momentum around each over its own}, and (N,) whether an object is none of them.
    """
    free, out = np.ones(len(objects), dtype=bool), {}
    for name, cuts in (("electron", card.electron), ("muon", card.muon), ("photon", card.photon)):
        row, around = isolated(objects, TYPE[name], cuts)
        known = rng.random(len(row)) < cuts.efficiency
        out[name] = row[known], around[known]
        free[row[known]] = False
    return out, free


def jets_of(objects: Objects, size: int, card: Reconstruction) -> Jets:
    """Anti-kT jets of the objects, with the cuts of the card."""
    return cluster(objects, size, Selection(radius=card.radius, pt=(card.pt_min, np.inf), eta_max=card.eta_max))


def isolated(objects: Objects, kind: int, cuts: Isolated) -> tuple[Index, Array]:
    """Rows of the objects of a kind that pass the cuts and stand alone.

    Args:
        objects: Reconstructed particles, sorted by event.
        kind: Index into `PARTICLE_TYPES`.
        cuts: Cuts and isolation.

    Returns:
        The rows, and the transverse momentum around each over its own.
    """
    row = np.flatnonzero((objects.type == kind) & (objects.pt > cuts.pt_min) & (np.abs(objects.eta) < cuts.eta_max))
    mine, other = in_event(objects.event[row], objects.event)
    distance = np.hypot(objects.eta[row][mine] - objects.eta[other], wrap(objects.phi[row][mine] - objects.phi[other]))
    near = (distance < cuts.cone) & (other != row[mine])
    around = totals(mine[near], objects.pt[other[near]], len(row)) / objects.pt[row]
    alone = around < cuts.share
    return row[alone], around[alone]


def tagged(
    event: Index, pt: Array, eta: Array, phi: Array, heavy: Particles, card: Reconstruction, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """(J,) whether each jet gets a b tag.

    Args:
        event: (J,) event of each jet.
        pt: (J,) in GeV.
        eta: (J,) pseudorapidity.
        phi: (J,) azimuth in rad.
        heavy: Hadrons with a bottom or charm quark, sorted by event.
        card: Radius and probabilities.
        rng: Source of randomness.
    """
    with_b, with_c = flavoured(event, eta, phi, heavy, card.radius)
    probability = np.select([with_b, with_c], [card.b.at(pt), card.c.at(pt)], card.light.at(pt))
    return np.asarray(rng.random(len(event)) < probability)


def flavoured(
    event: Index, eta: Array, phi: Array, heavy: Particles, radius: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(J,) whether each jet holds a hadron with a bottom quark, and one with a charm quark; as for `tagged`."""
    jet, hadron = in_event(event, heavy.event)
    near = np.hypot(eta[jet] - heavy.eta[hadron], wrap(phi[jet] - heavy.phi[hadron])) < radius
    bottom, charm = (has_quark(heavy.pdg_id[hadron], quark) & near for quark in (5, 4))
    with_b, with_c = (totals(jet, found, len(event)) > 0 for found in (bottom, charm))
    return with_b, with_c
