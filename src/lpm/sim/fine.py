"""Jets with fine labels: what decayed, how much of it lies in the jet, and of which flavours.

The classes are those of `lpm.data.fine.FINE`. A jet is matched to the nearest resonance of the hard process within its
radius; the decay products that lie within the radius are its prongs, and they decide its class. A top quark without its
b quark, a τ pair without a hadronic τ, and any decay of which too little lies in the jet, are no class and are dropped.
Jets of quarks and gluons are told apart by the weakly decaying hadrons with bottom or charm within the radius, as jets
with ghost hadrons are (Cacciari, Salam, Soyez, JHEP 04 (2008) 005, would cluster them; here a distance does).

What the mass of a jet should be, `jet.target_mass`, is the mass of the resonance, also where a part of it is outside;
of jets of quarks and gluons, the soft-drop mass of the nearest jet of all visible generated particles.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lpm.data.batch import Batch, Ragged
from lpm.data.fields import jets_schema
from lpm.data.fine import FINE, MASS, PRONG, PRONGS, with_prongs
from lpm.data.schema import Collection, Schema
from lpm.physics.substructure import observables, soft_drop_mass
from lpm.sim.detector import Objects, reconstruct
from lpm.sim.jets import JET_FIELDS, PARTICLE_FIELDS, Jets, Selection, cluster, in_event, wrap
from lpm.sim.pythia import Events, Particles, totals

__all__ = ["PROCESSES", "SCHEMA", "Decay", "find_fine", "leaf", "qcd_leaf"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

PROCESSES = {"Hff": 25, "HWW": 25, "top": 6, "W": 24, "Z": 23, "QCD": 0}
"""What an event is made of, and |PDG id| of the resonance that decays. Decides which events are made; each jet is
labelled by what lies in it."""

_OBSERVED = tuple(n for n in JET_FIELDS if not n.startswith("parton"))


def _schema() -> Schema:
    jets = jets_schema(PARTICLE_FIELDS, _OBSERVED, FINE.leaves)
    jet = jets["jet"]
    return with_prongs(
        jets.replace(Collection(name="jet", fields=(*jet.fields[:-1], *MASS.values(), jet.fields[-1]), single=True))
    )


SCHEMA = _schema()
"""Schema of jets with fine labels and their prongs."""

_BOTTOM = (511, 521, 531, 541, 5122, 5132, 5232, 5332)
_CHARM = (411, 421, 431, 4122, 4132, 4232, 4332)
"""|PDG id| of hadrons that decay weakly: each bottom or charm quark becomes one of them, once."""

_KIND = {1: "d", 2: "u", 3: "s", 4: "c", 5: "b", 21: "g", 11: "e", 13: "mu", 15: "tau"}
_PAIR = {"b": "bb", "c": "cc", "s": "ss", "d": "qq", "u": "qq", "g": "gg"}


@dataclass(frozen=True, slots=True)
class Decay:
    """A resonance and what of its decay lies in a jet.

    Args:
        inside: Kinds of the visible products within the radius, out of `PRONGS`.
        whole: Kinds of all visible products.
        taus: How each τ within the radius decays: `e`, `m` or `h`.
    """

    inside: tuple[str, ...]
    whole: tuple[str, ...]
    taus: tuple[str, ...] = ()


def leaf(process: str, decay: Decay) -> str | None:
    """The fine class of a jet, None if too little of the decay lies in it.

    Args:
        process: One of `PROCESSES` with a resonance.
        decay: What lies in the jet.

    Example:
        >>> leaf("top", Decay(("b", "c"), ("b", "c", "s"))), leaf("top", Decay(("c", "s"), ("b", "c", "s")))
        ('top_bq1c', None)
        >>> leaf("Hff", Decay(("tau", "tau"), ("tau", "tau"), ("m", "h")))
        'H_tauhtaum'
    """
    inside, complete = Counter(decay.inside), len(decay.inside) == len(decay.whole)
    if process in ("Hff", "Z", "W"):
        return _pair(process, inside, decay.taus) if complete and len(decay.whole) == 2 else None
    leptons = [k for k in decay.whole if k in ("e", "mu", "tau")]
    charms, quarks = inside["c"], sum(inside[k] for k in "duscb")
    if process == "HWW":
        if len(decay.whole) == 4 and not leptons:
            return f"H_WW_{quarks}q{charms}c" if quarks in (3, 4) else None
        return f"H_WW_{_lepton(leptons, decay.taus, charms)}" if complete and len(leptons) == 1 else None
    if not inside["b"]:
        return None
    if leptons:
        return f"top_b{_lepton(leptons, decay.taus, None)}" if complete else None
    return {2: f"top_bq{charms}c", 3: f"top_bqq{charms}c"}.get(quarks)


def _pair(process: str, inside: Counter[str], taus: tuple[str, ...]) -> str | None:
    if process == "W":
        return f"W_{inside['c']}c"
    if inside["tau"]:
        ways = "".join(sorted(taus, key="hem".index))
        return f"H_tauhtau{ways[1]}" if len(ways) == 2 and ways[0] == "h" else None
    pair = _PAIR.get(next(iter(inside)), "")
    name = f"{process[0]}_{pair}"
    return name if name in FINE.leaves else None


def _lepton(leptons: list[str], taus: tuple[str, ...], charms: int | None) -> str:
    """`evqq1c`, `tauevqq` for a Higgs boson; `ev`, `tauev` for a top quark, with `charms` None."""
    name = {"e": "e", "mu": "m"}.get(leptons[0]) or f"tau{''.join(taus)}"
    if charms is None:
        return f"{name}v"
    return f"{name}vqq" if name in ("taue", "taum") else f"{name}vqq{charms}c"


def qcd_leaf(bottoms: int, charms: int) -> str:
    """The fine class of a jet of quarks and gluons with so many weakly decaying hadrons of either kind.

    Example:
        >>> qcd_leaf(1, 3), qcd_leaf(0, 2), qcd_leaf(0, 0)
        ('QCD_b', 'QCD_cc', 'QCD_others')
    """
    if bottoms:
        return "QCD_bb" if bottoms > 1 else "QCD_b"
    return "QCD_others" if not charms else "QCD_cc" if charms > 1 else "QCD_c"


def find_fine(objects: Objects, events: Events, process: str, selection: Selection) -> Batch:
    """Jets with fine labels of one process, with all their observables and prongs.

    Args:
        objects: Reconstructed particles, sorted by event.
        events: What was generated.
        process: One of `PROCESSES`.
        selection: Cuts.

    Returns:
        Jets of the schema `SCHEMA`, constituents and prongs by falling pt.
    """
    jets = cluster(objects, events.size, selection)
    p = events.partons
    rooted = np.abs(p.root_id) == PROCESSES[process] if PROCESSES[process] else p.root < 0
    hard = p.take(rooted)
    jet, row = in_event(jets.event, hard.event)
    eta, phi = np.arcsinh(hard.pz / np.maximum(np.hypot(hard.px, hard.py), 1e-12)), np.arctan2(hard.py, hard.px)
    deta, dphi = eta[row] - jets.eta[jet], wrap(phi[row] - jets.phi[jet])
    visible = np.isin(np.abs(hard.pdg_id[row]), list(_KIND))
    near = visible & (np.hypot(deta, dphi) < selection.radius)
    if PROCESSES[process]:
        mass, root = _resonances(jets.event, jets.eta, jets.phi, events, PROCESSES[process], selection.radius)
        own = hard.root[row] == root[jet]
        names = _labels(process, len(jets.event), jet[own & visible], hard.pdg_id[row][own & visible],
                        near[own & visible], jets.event, events)  # fmt: skip
        near &= own
    else:
        seen = reconstruct(events.particles, None, np.random.default_rng(0))
        mass = _groomed(jets.event, jets.eta, jets.phi, seen, events.size, selection)
        counts = [_count(jets.event, jets.eta, jets.phi, events.heavy, ids, selection.radius)
                  for ids in (_BOTTOM, _CHARM)]  # fmt: skip
        names = [qcd_leaf(int(b), int(c)) for b, c in zip(*counts, strict=True)]
    label = np.array([FINE.leaves.index(n) if n in FINE.leaves else -1 for n in names], dtype=np.int64)
    kept = label >= 0
    pt = np.hypot(hard.px, hard.py)[row]
    kind = np.array([PRONGS.index(_KIND.get(abs(int(k)), "g")) for k in hard.pdg_id[row]], dtype=np.float64)
    table = np.stack([pt, deta, dphi, kind], 1)[near]
    order = np.lexsort((-table[:, 0], jet[near]))
    prongs = Ragged.from_lengths(
        torch.from_numpy(table[order].reshape(-1, len(PRONG))).float(),
        torch.from_numpy(np.bincount(jet[near], minlength=len(kept))),
    )
    found = _described(objects, jets, label, mass, selection.radius)
    whole = Batch(SCHEMA, {**found, "prong": prongs})
    return whole[torch.from_numpy(kept)]


def _described(objects: Objects, jets: Jets, label: Index, mass: Array, radius: float) -> dict[str, Ragged]:
    """Collections `particle` and `jet` of the schema."""
    parts = objects.take(jets.rows)
    of_jet = np.repeat(np.arange(len(jets.pt)), jets.lengths)
    columns = {f"particle.{n}": vars(parts)[n] for n in PARTICLE_FIELDS if n not in ("deta", "dphi")}
    columns["particle.deta"] = parts.eta - jets.eta[of_jet]
    columns["particle.dphi"] = wrap(parts.phi - jets.phi[of_jet])
    columns |= {f"jet.{n}": getattr(jets, n) for n in ("pt", "eta", "phi", "energy")}
    columns |= {"jet.label": label.astype(np.float64), "jet.target_mass": mass}
    lengths = torch.from_numpy(jets.lengths)
    tensors = {n: torch.from_numpy(np.ascontiguousarray(v)) for n, v in columns.items()}
    seen = observables(
        tensors["particle.pt"], tensors["particle.deta"], tensors["particle.dphi"], tensors["particle.energy"],
        lengths, eta=tensors["jet.eta"], radius=radius,
    )  # fmt: skip
    tensors |= {f"jet.{n}": v for n, v in seen.items() if n in _OBSERVED}
    tensors["jet.mass_factor"] = tensors["jet.target_mass"] / tensors["jet.mass"].clamp_min(1e-3)
    made = Batch.build(SCHEMA.select(["particle", "jet"]), tensors, {"particle": lengths})
    return dict(made.collections)


def _resonances(
    event: Index, eta: Array, phi: Array, events: Events, pdg_id: int, radius: float
) -> tuple[Array, Index]:
    """(J,) mass in GeV and number of the nearest resonance within the radius of each jet; NaN and -2 if none."""
    leaves = events.partons.take(np.abs(events.partons.root_id) == pdg_id)
    _, first, inverse = np.unique(leaves.event * (1 << 32) + leaves.root, return_index=True, return_inverse=True)
    px, py, pz, e = (totals(inverse, vars(leaves)[n], len(first)) for n in ("px", "py", "pz", "energy"))
    mass = np.sqrt(np.maximum(e**2 - px**2 - py**2 - pz**2, 0.0))
    jet, row = in_event(event, leaves.event[first])
    distance = np.hypot(
        eta[jet] - np.arcsinh(pz / np.maximum(np.hypot(px, py), 1e-12))[row], wrap(phi[jet] - np.arctan2(py, px)[row])
    )
    order = np.argsort(-distance, kind="stable")
    order = order[distance[order] < radius]
    out, root = np.full(len(event), np.nan), np.full(len(event), -2, dtype=np.int64)
    # The nearest is written last.
    out[jet[order]], root[jet[order]] = mass[row[order]], leaves.root[first][row[order]]
    return out, root


def _labels(
    process: str, size: int, jet: Index, pdg_id: Index, near: NDArray[np.bool_], event: Index, events: Events
) -> list[str | None]:
    """The class of each jet from the visible products (rows) of its resonance."""
    whole: list[list[str]] = [[] for _ in range(size)]
    inside: list[list[str]] = [[] for _ in range(size)]
    taus: list[list[str]] = [[] for _ in range(size)]
    light = {(int(e), int(np.sign(k))): "e" if abs(int(k)) == 11 else "m"
             for e, k in zip(events.tau_leptons.event, events.tau_leptons.pdg_id, strict=True)}  # fmt: skip
    for j, k, there in zip(jet.tolist(), pdg_id.tolist(), near.tolist(), strict=True):
        whole[j].append(_KIND[abs(k)])
        if there:
            inside[j].append(_KIND[abs(k)])
            if abs(k) == 15:
                taus[j].append(light.get((int(event[j]), 1 if k > 0 else -1), "h"))
    return [
        leaf(process, Decay(tuple(i), tuple(w), tuple(t))) if i else None
        for i, w, t in zip(inside, whole, taus, strict=True)
    ]


def _count(event: Index, eta: Array, phi: Array, heavy: Particles, ids: tuple[int, ...], radius: float) -> Index:
    """(J,) hadrons of the given kinds within the radius of each jet."""
    some = heavy.take(np.isin(np.abs(heavy.pdg_id), ids))
    jet, row = in_event(event, some.event)
    near = np.hypot(eta[jet] - some.eta[row], wrap(phi[jet] - some.phi[row])) < radius
    return np.bincount(jet[near], minlength=len(event))


def _groomed(event: Index, eta: Array, phi: Array, seen: Objects, size: int, selection: Selection) -> Array:
    """(J,) soft-drop mass in GeV of the generated jet nearest to each jet, NaN if none is within half the radius."""
    wide = Selection(radius=selection.radius, pt=(0.5 * selection.pt[0], 1e6), eta_max=selection.eta_max + 1)
    true = cluster(seen, size, wide)
    parts = seen.take(true.rows)
    p4 = np.stack([parts.pt * np.cos(parts.phi), parts.pt * np.sin(parts.phi), parts.pt * np.sinh(parts.eta),
                   parts.energy], 1)  # fmt: skip
    mass = soft_drop_mass(torch.from_numpy(p4), torch.from_numpy(true.lengths), radius=selection.radius).numpy()
    jet, row = in_event(event, true.event)
    distance = np.hypot(eta[jet] - true.eta[row], wrap(phi[jet] - true.phi[row]))
    order = np.argsort(-distance, kind="stable")
    order = order[distance[order] < 0.5 * selection.radius]
    out = np.full(len(event), np.nan)
    out[jet[order]] = mass[row[order]]
    return out
