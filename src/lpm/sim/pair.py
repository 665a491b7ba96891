r"""The two jets of an :math:`e^+e^-` collision: exclusive Durham clustering, origins from the primary partons.

Durham: Catani et al., Phys. Lett. B 269 (1991) 432, as `ee_kt_algorithm` of FastJet (arXiv 1111.6097). Each jet takes
the label of one of the two primary partons, so that the angles between jets and their partons are smallest.

A jet at rest in no particular direction is the same jet in every direction. So that a model need not learn that, the
momenta of its particles are given after the jet is turned, within the plane of beam and jet, to a right angle with the
beam: `particle.pt`, `deta` and `dphi` are those of the turned jet, whose own pseudorapidity is 0. Impact parameters,
which the beam does distinguish, are as measured. Their signs come in two forms: geometric (`d0`, `dz`) and that of the
lifetime (`d0_sig`, `dz_sig`), positive for a track that meets the jet axis ahead of the collision.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from lpm.data.batch import Batch
from lpm.data.fields import ORIGINS, SPECIES, jets_schema
from lpm.data.schema import Schema
from lpm.sim.detector import TYPE, Objects
from lpm.sim.jets import print_banner
from lpm.sim.pythia import Partons, totals

__all__ = ["CLASSES", "SCHEMA", "find_pair", "origins", "turned"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

CLASSES = ("bb", "cc", "ss", "uu", "dd", "gg")
"""What an event decays to; decides which events are made, while each jet is labelled by its own parton."""

PARTICLE_FIELDS = (
    "pt", "deta", "dphi", "energy", "charge", "type", "species", "d0", "d0_err", "dz", "dz_err", "d0_sig", "dz_sig",
)  # fmt: skip

SCHEMA: Schema = jets_schema(PARTICLE_FIELDS, ("pt", "eta", "phi", "mass", "energy"), ORIGINS)
"""Schema of jets of electron-positron collisions."""

QUARKS = {5: 0, 4: 2, 3: 4, 2: 6, 1: 8}
"""Place of each quark in `ORIGINS`; its antiquark comes next."""

HADRONS = {211: "pion", 321: "kaon", 2212: "proton"}


def find_pair(objects: Objects, partons: Partons, size: int) -> Batch:
    """The two jets of each event.

    Args:
        objects: Reconstructed particles, sorted by event.
        partons: Hard partons of the same events.
        size: Number of events.

    Returns:
        Jets of the schema `SCHEMA`, constituents by falling energy; the two of an event follow one another. Events with
        other than two primary partons, or fewer than two particles, are left out.
    """
    primary = partons.take(np.isin(np.abs(partons.pdg_id), (*QUARKS, 21)))
    two = (np.bincount(primary.event, minlength=size) == 2) & (np.bincount(objects.event, minlength=size) >= 2)
    objects, primary = objects.take(two[objects.event]), primary.take(two[primary.event])
    jet = cluster(objects, int(two.sum()))
    order = np.lexsort((-objects.energy, jet))
    objects, jet = objects.take(order), jet[order]
    px, py = objects.pt * np.cos(objects.phi), objects.pt * np.sin(objects.phi)
    pz, count = objects.pt * np.sinh(objects.eta), 2 * int(two.sum())
    total = np.stack([totals(jet, v, count) for v in (px, py, pz, objects.energy)], 1)
    axis = total[:, :3] / np.linalg.norm(total[:, :3], axis=1, keepdims=True)
    columns = _particles(objects, np.stack([px, py, pz], 1), axis, jet)
    columns |= _jets(total)
    columns["jet.label"] = origins(axis, primary).astype(np.float64)
    tensors = {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in columns.items()}
    return Batch.build(SCHEMA, tensors, {"particle": torch.from_numpy(np.bincount(jet, minlength=count))})


def cluster(objects: Objects, events: int) -> Index:
    """(N,) jet of each object, 2 e and 2 e + 1 for the e-th event, the more energetic jet first.

    Args:
        objects: At least two an event, sorted by event.
        events: Number of events.

    Raises:
        ValueError: If the `sim` extra is not installed.
    """
    try:
        import awkward as ak
        import fastjet
    except ImportError:
        raise ValueError("clustering needs FastJet: pip install 'lpm[sim]'") from None
    if not events:
        return np.zeros(0, dtype=np.int64)
    print_banner()
    _, counts = np.unique(objects.event, return_counts=True)
    px, py = objects.pt * np.cos(objects.phi), objects.pt * np.sin(objects.phi)
    pz = objects.pt * np.sinh(objects.eta)
    flat = ak.zip({"px": px, "py": py, "pz": pz, "E": objects.energy}, with_name="Momentum4D")
    sequence = fastjet.ClusterSequence(ak.unflatten(flat, counts), fastjet.JetDefinition0Param(fastjet.ee_kt_algorithm))
    index = sequence.exclusive_jets_constituent_index(2)
    inner = ak.flatten(index)
    lengths = ak.to_numpy(ak.num(inner)).astype(np.int64)
    start = np.cumsum(counts) - counts
    rows = ak.to_numpy(ak.flatten(inner)).astype(np.int64) + np.repeat(np.repeat(start, 2), lengths)
    number = np.repeat(np.arange(2 * events), lengths)
    energy = totals(number, objects.energy[rows], 2 * events)
    swap = np.repeat(energy[1::2] > energy[::2], 2)
    jet = np.zeros(len(objects), dtype=np.int64)
    jet[rows] = np.where(swap[number], number ^ 1, number)
    return jet


def turned(p: Array, axis: Array) -> tuple[Array, Array, Array]:
    """Transverse momentum, pseudorapidity and azimuth after the axis is turned to a right angle with the beam.

    Args:
        p: (N, 3) momenta in GeV.
        axis: (N, 3) unit vectors.

    Returns:
        (N,) each; a momentum along the axis has pseudorapidity and azimuth 0.

    Example:
        >>> axis = np.array([[0.6, 0.0, 0.8]])
        >>> [round(abs(float(x[0])), 6) for x in turned(5 * axis, axis)]
        [5.0, 0.0, 0.0]
    """
    across = np.hypot(axis[:, 0], axis[:, 1])
    cos, sin = axis[:, 0] / np.maximum(across, 1e-12), axis[:, 1] / np.maximum(across, 1e-12)
    outward = p[:, 0] * cos + p[:, 1] * sin
    x = outward * across + p[:, 2] * axis[:, 2]
    y = p[:, 1] * cos - p[:, 0] * sin
    z = p[:, 2] * across - outward * axis[:, 2]
    pt = np.hypot(x, y)
    return pt, np.arcsinh(z / np.maximum(pt, 1e-9)), np.arctan2(y, x)


def origins(axis: Array, primary: Partons) -> Index:
    """(2 E,) place in `ORIGINS` of each jet.

    Args:
        axis: (2 E, 3) unit vectors of the jets, two an event.
        primary: 2 E partons, two an event, in the same order of events.
    """
    p = np.stack([primary.px, primary.py, primary.pz], 1)
    p = (p / np.linalg.norm(p, axis=1, keepdims=True)).reshape(-1, 2, 3)
    cos = np.einsum("ejk,epk->ejp", axis.reshape(-1, 2, 3), p)
    crossed = cos[:, 0, 1] + cos[:, 1, 0] > cos[:, 0, 0] + cos[:, 1, 1]
    own = primary.pdg_id.reshape(-1, 2)
    pdg = np.where(crossed[:, None], own[:, ::-1], own).reshape(-1)
    place = np.full(len(pdg), ORIGINS.index("g"), dtype=np.int64)
    for quark, first in QUARKS.items():
        place[pdg == quark], place[pdg == -quark] = first, first + 1
    return place


def _particles(objects: Objects, p: Array, axis: Array, jet: Index) -> dict[str, Array]:
    pt, deta, dphi = turned(p, axis[jet])
    eta = np.arcsinh(axis[:, 2] / np.maximum(np.hypot(axis[:, 0], axis[:, 1]), 1e-12))[jet]
    phi = np.arctan2(axis[:, 1], axis[:, 0])[jet]
    # A track from a point on the axis at distance L has d0 = L sin(theta) sin(phi - phi_jet) and
    # dz = L sin(theta) (sinh(eta_jet) - sinh(eta)).
    ahead_d0, ahead_dz = np.sign(np.sin(objects.phi - phi)), np.sign(eta - objects.eta)
    own = {n: vars(objects)[n] for n in ("energy", "charge", "type", "d0", "d0_err", "dz", "dz_err")}
    found = {
        "pt": pt, "deta": deta, "dphi": dphi, "species": _species(objects),
        "d0_sig": objects.d0 * ahead_d0 / np.maximum(objects.d0_err, 1e-6),
        "dz_sig": objects.dz * ahead_dz / np.maximum(objects.dz_err, 1e-6),
    }  # fmt: skip
    return {f"particle.{n}": v.astype(np.float64) for n, v in (own | found).items()}


def _species(objects: Objects) -> Index:
    """(N,) place in `SPECIES`; a charged hadron that is none of those counts as a pion."""
    named: Sequence[str] = [n for n in TYPE if n in SPECIES]
    place = np.full(len(objects), SPECIES.index("pion"), dtype=np.int64)
    for name in named:
        place[objects.type == TYPE[name]] = SPECIES.index(name)
    for pdg, name in HADRONS.items():
        place[(objects.type == TYPE["charged_hadron"]) & (objects.pdg_id == pdg)] = SPECIES.index(name)
    return place


def _jets(total: Array) -> dict[str, Array]:
    px, py, pz, energy = total.T
    pt = np.hypot(px, py)
    return {
        "jet.pt": pt, "jet.eta": np.arcsinh(pz / np.maximum(pt, 1e-9)), "jet.phi": np.arctan2(py, px),
        "jet.energy": energy, "jet.mass": np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0.0)),
    }  # fmt: skip
