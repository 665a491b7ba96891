"""Jets from reconstructed particles: anti-kT clustering with FastJet, labels from the hard process, observables.

A jet carries the label of its class only if the resonance and all its visible decay products lie within the radius of
the jet, as in the JetClass and top-tagging samples; other jets of such events are dropped. QCD jets are all kept.
FastJet: Cacciari, Salam, Soyez, arXiv 1111.6097. Anti-kT: the same authors, arXiv 0802.1189.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lpm.data.batch import Batch
from lpm.data.fields import JET, JETCLASS, jets_schema
from lpm.data.schema import Schema
from lpm.physics.substructure import observables
from lpm.sim.detector import Objects
from lpm.sim.pythia import NEUTRINOS, Partons, totals

__all__ = [
    "DECAYS",
    "SCHEMA",
    "Jets",
    "Selection",
    "cluster",
    "find_jets",
    "in_event",
    "match",
    "nearest",
    "print_banner",
    "wrap",
]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

DECAYS = {
    "QCD": (0, 0),
    "Hbb": (25, 2),
    "Hcc": (25, 2),
    "Hgg": (25, 2),
    "H4q": (25, 4),
    "Hqql": (25, 3),
    "Zqq": (23, 2),
    "Wqq": (24, 2),
    "Tbqq": (6, 3),
    "Tbl": (6, 2),
}
"""For each class: |PDG id| of the resonance and the number of its visible decay products; zeros if there is none."""

PARTICLE_FIELDS = ("pt", "deta", "dphi", "energy", "charge", "type", "d0", "d0_err", "dz", "dz_err")
JET_FIELDS = ("pt", "eta", "phi", "mass", "energy", "sdmass", "tau1", "tau2", "tau3", "tau4", "parton", "parton_pt")

SCHEMA: Schema = jets_schema(PARTICLE_FIELDS, JET_FIELDS, JETCLASS)
"""Schema of simulated jets."""

FLAVOURS = (1, 2, 3, 4, 5, 6, 21)
"""|PDG id| in the order of the categories of `jet.parton`."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which jets to keep: anti-kT radius, range of pt in GeV, largest |pseudorapidity| (or |rapidity|)."""

    radius: float
    pt: tuple[float, float]
    eta_max: float
    rapidity: bool = False


@dataclass(frozen=True, kw_only=True)
class Jets:
    """J jets: their momenta, and the rows of their constituents one jet after the other."""

    event: Index
    px: Array
    py: Array
    pz: Array
    energy: Array
    rows: Index
    lengths: Index

    @property
    def pt(self) -> Array:
        """(J,) transverse momentum in GeV."""
        return np.hypot(self.px, self.py)

    @property
    def eta(self) -> Array:
        """(J,) pseudorapidity."""
        return np.arcsinh(self.pz / np.maximum(self.pt, 1e-12))

    @property
    def phi(self) -> Array:
        """(J,) azimuth in rad."""
        return np.arctan2(self.py, self.px)

    def take(self, index: NDArray[np.bool_]) -> Jets:
        """The jets at the given rows."""
        keep = np.repeat(index, self.lengths)
        columns = {n: vars(self)[n][index] for n in ("event", "px", "py", "pz", "energy", "lengths")}
        return Jets(**columns, rows=self.rows[keep])


def find_jets(objects: Objects, partons: Partons, size: int, label: str, selection: Selection) -> Batch:
    """Labelled jets of one class with all their observables.

    Args:
        objects: Reconstructed particles, sorted by event.
        partons: Hard partons of the same events.
        size: Number of events.
        label: Class of the events, one of `DECAYS`.
        selection: Cuts.

    Returns:
        Jets of the schema `SCHEMA`, constituents by falling pt.
    """
    jets = cluster(objects, size, selection)
    keep, flavour, parton_pt = match(jets.event, jets.eta, jets.phi, partons, label, selection.radius)
    jets, flavour, parton_pt = jets.take(keep), flavour[keep], parton_pt[keep]
    parts = objects.take(jets.rows)
    of_jet = np.repeat(np.arange(len(jets.pt)), jets.lengths)
    columns = {f"particle.{n}": vars(parts)[n] for n in PARTICLE_FIELDS if n not in ("deta", "dphi")}
    columns["particle.deta"] = parts.eta - jets.eta[of_jet]
    columns["particle.dphi"] = wrap(parts.phi - jets.phi[of_jet])
    columns |= {f"jet.{n}": getattr(jets, n) for n in ("pt", "eta", "phi", "energy")}
    columns |= {"jet.parton": flavour, "jet.parton_pt": parton_pt}
    columns["jet.label"] = np.full(len(jets.pt), float(JETCLASS.index(label)))
    lengths = torch.from_numpy(jets.lengths)
    tensors = {n: torch.from_numpy(np.ascontiguousarray(v)) for n, v in columns.items()}
    found = observables(
        tensors["particle.pt"], tensors["particle.deta"], tensors["particle.dphi"], tensors["particle.energy"],
        lengths, eta=tensors["jet.eta"], radius=selection.radius,
    )  # fmt: skip
    tensors |= {f"jet.{n}": v for n, v in found.items() if n in JET}
    return Batch.build(SCHEMA, tensors, {"particle": lengths})


def cluster(objects: Objects, size: int, selection: Selection) -> Jets:
    """Anti-kT jets that pass the cuts.

    Raises:
        ValueError: If the `sim` extra is not installed.
    """
    try:
        import awkward as ak
        import fastjet
    except ImportError:
        raise ValueError("clustering needs FastJet: pip install 'lpm[sim]'") from None
    px, py = objects.pt * np.cos(objects.phi), objects.pt * np.sin(objects.phi)
    pz = objects.pt * np.sinh(objects.eta)
    counts = np.bincount(objects.event, minlength=size)
    flat = ak.zip({"px": px, "py": py, "pz": pz, "E": objects.energy}, with_name="Momentum4D")
    print_banner()
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, selection.radius)
    # Below half the cut no jet can be of interest; FastJet needs some cut to return few jets.
    index = fastjet.ClusterSequence(ak.unflatten(flat, counts), definition).constituent_index(0.5 * selection.pt[0])
    number = ak.to_numpy(ak.num(index))
    event = np.repeat(np.arange(size), number)
    inner = ak.flatten(index)
    lengths = ak.to_numpy(ak.num(inner)).astype(np.int64)
    start = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rows = ak.to_numpy(ak.flatten(inner)).astype(np.int64) + np.repeat(start[event], lengths)
    of_jet = np.repeat(np.arange(len(event)), lengths)
    rows = rows[np.lexsort((-objects.pt[rows], of_jet))]
    total = {n: totals(of_jet, v[rows], len(event)) for n, v in (("px", px), ("py", py), ("pz", pz))}
    energy = totals(of_jet, objects.energy[rows], len(event))
    jets = Jets(event=event, **total, energy=energy, rows=rows, lengths=lengths)
    position = jets.eta
    if selection.rapidity:
        position = np.arctanh(np.clip(jets.pz / np.maximum(jets.energy, 1e-12), -1 + 1e-12, 1 - 1e-12))
    low, high = selection.pt
    return jets.take((jets.pt > low) & (jets.pt < high) & (np.abs(position) < selection.eta_max))


@functools.cache
def print_banner() -> None:
    """Let FastJet print its banner, once a process, to standard error: standard output is for results."""
    import fastjet

    saved = os.dup(1)
    try:
        os.dup2(2, 1)
        one = fastjet.PseudoJet(1.0, 0.0, 0.0, 1.0)
        fastjet.ClusterSequence([one], fastjet.JetDefinition(fastjet.antikt_algorithm, 1.0))
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def match(
    event: Index, eta: Array, phi: Array, partons: Partons, label: str, radius: float
) -> tuple[NDArray[np.bool_], Array, Array]:
    """Which jets earn the label, and the hard parton of each.

    Args:
        event: (J,) event of each jet.
        eta: (J,) pseudorapidity.
        phi: (J,) azimuth in rad.
        partons: Hard partons of the same events.
        label: One of `DECAYS`.
        radius: Largest distance of a match.

    Returns:
        (J,) whether the jet is kept; (J,) its parton as category of `jet.parton`, NaN if none;
        (J,) transverse momentum in GeV of the matched parton or resonance, NaN if none.
    """
    resonance, products = DECAYS[label]
    if not resonance:
        hard = partons.take((partons.root < 0) & np.isin(np.abs(partons.pdg_id), FLAVOURS))
        near, row = nearest(event, eta, phi, hard, radius)
        flavour = np.searchsorted(FLAVOURS, np.abs(hard.pdg_id)).astype(np.float64)
        pt = np.hypot(hard.px, hard.py)
        none = np.full(len(event), np.nan)
        if not len(pt):
            return np.ones(len(event), bool), none, none
        return np.ones(len(event), bool), np.where(near, flavour[row], np.nan), np.where(near, pt[row], np.nan)
    parent, complete = _parents(partons.take(np.abs(partons.root_id) == resonance), products)
    near, row = nearest(event, eta, phi, parent, radius)
    none = np.full(len(event), np.nan)
    if not len(parent.event):
        return np.zeros(len(event), bool), none, none
    leaves = partons.take((np.abs(partons.root_id) == resonance) & ~np.isin(np.abs(partons.pdg_id), NEUTRINOS))
    kept = near & complete[row] & _contains(eta, phi, parent.event[row], parent.root[row], leaves, radius)
    flavour = np.where(kept & (resonance == 6), float(FLAVOURS.index(6)), np.nan)
    return kept, flavour, np.where(kept, np.hypot(parent.px, parent.py)[row], np.nan)


def _parents(leaves: Partons, products: int) -> tuple[Partons, NDArray[np.bool_]]:
    """Resonances as the sums of their decay products, and whether each has the right number of visible ones."""
    key = leaves.event * (1 << 32) + leaves.root
    unique, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    total = {n: totals(inverse, vars(leaves)[n], len(unique)) for n in ("px", "py", "pz", "energy")}
    visible = totals(inverse, ~np.isin(np.abs(leaves.pdg_id), NEUTRINOS), len(unique))
    head = leaves.take(first)
    parents = Partons(event=head.event, pdg_id=head.root_id, root=head.root, root_id=head.root_id, **total)
    return parents, visible == products


def _direction(p: Partons) -> tuple[Array, Array]:
    return np.arcsinh(p.pz / np.maximum(np.hypot(p.px, p.py), 1e-12)), np.arctan2(p.py, p.px)


def nearest(event: Index, eta: Array, phi: Array, partons: Partons, radius: float) -> tuple[NDArray[np.bool_], Index]:
    """Whether a parton of the same event lies within the radius of each jet, and the row of the nearest.

    Args:
        event: (J,) event of each jet.
        eta: (J,) pseudorapidity.
        phi: (J,) azimuth in rad.
        partons: Sorted by event.
        radius: Largest distance.
    """
    jet, row = in_event(event, partons.event)
    parton_eta, parton_phi = _direction(partons)
    distance = np.hypot(eta[jet] - parton_eta[row], wrap(phi[jet] - parton_phi[row]))
    best = np.full(len(event), np.inf)
    np.minimum.at(best, jet, distance)
    nearest = np.zeros(len(event), dtype=np.int64)
    hit = distance == best[jet]
    nearest[jet[hit]] = row[hit]
    return best < radius, nearest


def _contains(eta: Array, phi: Array, event: Index, root: Index, leaves: Partons, radius: float) -> NDArray[np.bool_]:
    """Whether all decay products of the resonance matched to each jet lie within its radius."""
    jet, row = in_event(event, leaves.event)
    leaf_eta, leaf_phi = _direction(leaves)
    outside = np.hypot(eta[jet] - leaf_eta[row], wrap(phi[jet] - leaf_phi[row])) >= radius
    lost = totals(jet, outside & (leaves.root[row] == root[jet]), len(eta))
    return np.asarray(lost == 0)


def in_event(left: Index, right: Index) -> tuple[Index, Index]:
    """All pairs of rows with equal values; `right` is sorted."""
    low, high = np.searchsorted(right, left), np.searchsorted(right, left, side="right")
    counts = high - low
    i = np.repeat(np.arange(len(left)), counts)
    inside = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return i, low[i] + inside


def wrap(angle: Array) -> Array:
    """Angle in rad brought into [-π, π)."""
    return np.mod(angle + np.pi, 2 * np.pi) - np.pi
