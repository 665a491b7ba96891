"""Flash simulation: are reconstructed objects distributed as those of the detailed simulation?

Every observable is compared by χ² over its degrees of freedom (`lpm.metrics.chi_square`), in all and for each species:
shares of outcomes in cells of momentum and pseudorapidity, and each number of the tracks or objects; for photons the
number of clusters, each of their numbers, what they are together, and how far they lie from photons. The two samples
should be of different particles of one distribution: of the same ones χ² comes out too small. What a sample has none
of, such as species that no decay gives, and what is always the same are left out.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lpm.data.batch import Batch
from lpm.data.flash import NEUTRALS, OUTCOMES, SPECIES, TRACKS
from lpm.data.matched import FATES, KINDS, MATCHED
from lpm.data.schema import Field
from lpm.metrics.chi_square import ChiSquare, compared, degrees, homogeneity
from lpm.metrics.estimate import Estimate
from lpm.physics.energyloss import MASS
from lpm.physics.kinematics import wrap_phi
from lpm.tasks.base import Task

__all__ = ["BOUND", "FLASH", "comparisons", "masses", "states"]

Array = NDArray[np.float64]

BOUND = 2.0
"""χ² over degrees of freedom that a flash simulation must not pass, for samples of about 20,000 on both sides."""

MOMENTA = (0.0, 4.0, 8.0, 16.0, 32.0, 64.0, np.inf)
"""Edges in GeV of the cells in which outcomes are compared."""

ETAS = (-np.inf, 2.0, 2.6, 3.2, 3.8, 4.4, 4.8, np.inf)
"""Edges in pseudorapidity of the same."""

_FEWEST = 1000
_FEWEST_OF_KIND = 10
_MANY = 10_000  # events from which outcomes are compared in cells
_SPECIES_BINS = 20

_PT_EDGES, _ETA_EDGES = (20.0, 30.0, 50.0, 100.0), (0.8, 1.5, 2.2)
_CELLS = (len(_PT_EDGES) + 1) * (len(_ETA_EDGES) + 1)
"""Cells of transverse momentum in GeV and |pseudorapidity| in which found objects are counted."""


def states(batch: Batch) -> Batch:
    """Tracks with `p`, `tx`, `ty`, `x`, `y`, clusters with `energy`, `x`, `y`, objects with `pt`, `eta`, `phi`.

    What is measured is what was generated plus what the detector added. Tracks get the `species` that was generated.

    Example:
        >>> from lpm.sim.flash_production import simulate
        >>> made = states(simulate(50, seed=1))
        >>> "track.p" in made.schema
        True
    """
    if "cluster" in batch.schema:
        return _clusters_measured(batch)
    if "object" in batch.schema:
        return _objects_measured(batch)
    rows = batch.collections["track"]
    of = {f: batch.field(f"particle.{f}").values[rows.event] for f in ("p", "tx", "ty", "x", "y", "charge", "species")}
    d = {f: batch.field(f"track.{f}").values for f in ("dp", "dtx", "dty", "dx", "dy")}
    made = {"p": of["p"] * (1 + d["dp"]), **{n: of[n] + d[f"d{n}"] for n in ("tx", "ty", "x", "y")}}
    for name, values in made.items():
        field = TRACKS["particle"][name]
        batch = batch.with_field("track", Field(name=name, unit=field.unit, text=f"measured {field.text}"), values)
    label = Field(name="species", kind="category", labels=SPECIES, truth=True, text="kind of particle")
    return batch.with_field("track", label, of["species"])


def _objects_measured(batch: Batch) -> Batch:
    event = batch.collections["object"].event
    of = {f: batch.field(f"generated.{f}").values[event] for f in ("pt", "eta", "phi")}
    d = {f: batch.field(f"object.{f}").values for f in ("response", "deta", "dphi")}
    made = {"pt": of["pt"] * d["response"], "eta": of["eta"] + d["deta"], "phi": wrap_phi(of["phi"] + d["dphi"])}
    for name, values in made.items():
        field = MATCHED["generated"][name]
        batch = batch.with_field("object", replace(field, text=f"measured {field.text}"), values)
    return batch


def _clusters_measured(batch: Batch) -> Batch:
    rows, photons = batch.collections["cluster"], batch.collections["photon"]
    d = {f: batch.field(f"cluster.{f}").values for f in ("photon", "response", "dx", "dy")}
    at = photons.offsets[:-1][rows.event] + d["photon"].long()
    of = {f: batch.field(f"photon.{f}").values[at] for f in ("energy", "x", "y")}
    made = {"energy": of["energy"] * d["response"], "x": of["x"] + d["dx"], "y": of["y"] + d["dy"]}
    for name, values in made.items():
        field = Field(name=name, unit="GeV" if name == "energy" else "mm", text=f"measured {name}")
        batch = batch.with_field("cluster", field, values)
    return batch


def masses(batch: Batch, daughters: int, smeared: bool = True) -> Array:
    """Invariant masses in GeV of decays all of whose charged particles have a track.

    Args:
        batch: Events of `TRACKS`, of `lpm simulate flash --process` and a decay.
        daughters: How many charged particles the decay has.
        smeared: From what is measured; else from what was generated, of the same decays.
    """
    made = states(batch)
    rows, event = made.collections["track"], batch.field("particle.event").values
    source = "track" if smeared else "particle"
    c = [made.field(f"{source}.{f}").values.double() for f in ("p", "tx", "ty", "species")]
    if not smeared:
        c = [x[rows.event] for x in c]
    p, tx, ty, species = (x.numpy() for x in c)
    mass = np.array([MASS[s] for s in SPECIES])[species.astype(np.int64)]
    along = p / np.sqrt(1 + tx**2 + ty**2)
    four = np.stack([np.hypot(p, mass), along * tx, along * ty, along], 1)
    decay, at = np.unique(event[rows.event].numpy(), return_inverse=True)
    total = np.zeros((len(decay), 4))
    np.add.at(total, at, four)
    whole = np.bincount(at, minlength=len(decay)) == daughters
    square = total[:, 0] ** 2 - (total[:, 1:] ** 2).sum(1)
    return np.asarray(np.sqrt(np.maximum(square[whole], 0.0)))


def comparisons(generated: Batch, reference: Batch, seed: int = 0) -> dict[str, ChiSquare]:
    """χ² of every observable of two samples of `TRACKS`, of `NEUTRALS`, or of `lpm.data.matched.MATCHED`.

    Raises:
        ValueError: If the samples are of different kinds, too small, or have nothing that can be compared.
    """
    kinds = {next((n for n in _KINDS if n in b.schema.names), "") for b in (generated, reference)}
    if len(kinds) > 1 or kinds == {""}:
        raise ValueError(
            "expected two samples of tracks, of clusters, or of matched objects, as lpm simulate makes them"
        )
    if min(len(generated), len(reference)) < _FEWEST:
        raise ValueError(f"expected at least {_FEWEST} events on both sides, got {len(generated)} and {len(reference)}")
    found = _KINDS[kinds.pop()](generated, reference, seed)
    if not found:
        raise ValueError("nothing to compare: all that was found is alike, and of no kind are there ten on both sides")
    return found


def _tracks(generated: Batch, reference: Batch, seed: int) -> dict[str, ChiSquare]:
    sides, out = (generated, reference), {}
    tables = [_outcomes(b) for b in sides]
    if min(map(len, sides)) < _MANY:
        tables = [t.sum((1, 2), keepdims=True) for t in tables]
    for i, name in enumerate(SPECIES):
        counts = [t[i].reshape(-1, len(OUTCOMES)) for t in tables]
        if min(int(c.sum()) for c in counts) >= _FEWEST_OF_KIND and degrees(*counts):
            out[f"outcome[{name}]"] = homogeneity(*counts, seed=seed)
    kinds = [b.field("particle.species").values[b.collections["track"].event].numpy() for b in sides]
    for field in TRACKS["track"].names:
        values = [b.field(f"track.{field}").values.numpy() for b in sides]
        if _varies(*values):
            out[field] = compared(*values, seed=seed)
        for i, name in enumerate(SPECIES):
            of_one = [v[k == i] for v, k in zip(values, kinds, strict=True)]
            if min(map(len, of_one)) >= 10 * _SPECIES_BINS and _varies(*of_one):
                out[f"{field}[{name}]"] = compared(*of_one, seed=seed, bins=_SPECIES_BINS)
    return out


def _outcomes(batch: Batch) -> NDArray[np.int64]:
    """(species, momenta, etas, outcomes) numbers of particles."""
    f = {n: batch.field(f"particle.{n}").values.numpy() for n in ("species", "p", "eta", "outcome")}
    place = [f["species"], np.digitize(f["p"], MOMENTA) - 1, np.digitize(f["eta"], ETAS) - 1, f["outcome"]]
    shape = (len(SPECIES), len(MOMENTA) - 1, len(ETAS) - 1, len(OUTCOMES))
    flat = np.ravel_multi_index([x.astype(np.int64) for x in place], shape)
    return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)


def _clusters(generated: Batch, reference: Batch, seed: int) -> dict[str, ChiSquare]:
    sides = tuple(b if "cluster.energy" in b.schema else states(b) for b in (generated, reference))
    photons = [b.collections["photon"].lengths for b in sides]
    most = int(max(p.max() for p in photons)) + 1
    tables = []
    for b, p in zip(sides, photons, strict=True):
        number = b.collections["cluster"].lengths.clamp_max(12)
        tables.append(torch.bincount(p * 13 + number, minlength=most * 13).view(most, 13).numpy())
    out = {"clusters a photon": homogeneity(*tables, seed=seed)} if degrees(*tables) else {}
    names = ("energy", "x", "y", *NEUTRALS["cluster"].names[1:])
    values = {name: [b.field(f"cluster.{name}").values.numpy() for b in sides] for name in names}
    groups = zip(*(_groups(b) for b in sides), strict=True)
    together = ("total energy", "energy a photon", "distance of clusters", "distance to a photon", "mass")
    values |= {name: list(both) for name, both in zip(together, groups, strict=True)}
    return out | {name: compared(*both, seed=seed) for name, both in values.items() if _varies(*both)}


def _groups(batch: Batch) -> tuple[Array, Array, Array, Array, Array]:
    """What clusters are together: sums, ratios, least distances, and masses of pairs 12 m from where they began."""
    photons, clusters = (
        batch.collections[name].with_values(
            torch.stack([batch.field(f"{name}.{f}").values for f in ("energy", "x", "y")], 1).double()
        )
        for name in ("photon", "cluster")
    )
    given, total = (r.with_values(r.values[:, :1]).sum()[:, 0].numpy() for r in (photons, clusters))
    between, nearest, mass = [], [], []
    for c, p in zip(clusters, photons, strict=True):
        x = c.numpy()
        for i, j in combinations(range(len(x)), 2):
            d = float(np.hypot(*(x[i, 1:] - x[j, 1:])))
            between.append(d)
            mass.append(np.sqrt(x[i, 0] * x[j, 0]) * d / 12_490.0)
        if len(x):
            apart = np.hypot(*(x[:, None, 1:] - p[None, :, 1:].numpy()).transpose(2, 0, 1))
            nearest += apart.min(1).tolist()
    return total, total / given, np.array(between), np.array(nearest), np.array(mass)


def _objects(generated: Batch, reference: Batch, seed: int) -> dict[str, ChiSquare]:
    """Of each kind: how many are found and tagged in cells of pt and pseudorapidity, and each number of those."""
    sides, out = (generated, reference), {}
    of = [b.field("generated.kind").values for b in sides]
    cells = [_cells(b) for b in sides]
    for i, name in enumerate(KINDS):
        tables = [
            torch.bincount(
                (len(FATES) * c + b.field("generated.outcome").values.long())[k == i], minlength=len(FATES) * _CELLS
            )
            for c, b, k in zip(cells, sides, of, strict=True)
        ]
        counts = [t.view(_CELLS, len(FATES)).numpy() for t in tables]
        if min(int(c.sum()) for c in counts) >= 10 * _CELLS and degrees(*counts):
            out[f"outcome[{name}]"] = homogeneity(*counts, seed=seed)
    kinds = [k[b.collections["object"].event] for k, b in zip(of, sides, strict=True)]
    for field in MATCHED["object"].names:
        values = [b.field(f"object.{field}").values for b in sides]
        for i, name in enumerate(KINDS):
            of_one = [v[k == i] for v, k in zip(values, kinds, strict=True)]
            if min(map(len, of_one)) >= 10 * _SPECIES_BINS and _varies(*(v.numpy() for v in of_one)):
                out[f"{field}[{name}]"] = compared(*of_one, seed=seed, bins=_SPECIES_BINS)
    if not out:
        raise ValueError(f"expected at least {10 * _SPECIES_BINS} found objects of one kind on both sides, got fewer")
    return out


def _varies(*sides: NDArray[np.floating[Any]]) -> bool:
    """Whether enough values are other than the most frequent one, and enough of those on one side of it for a bin.

    What is always the same, or all but always, as the mass of an electron, is no observable.
    """
    values = np.concatenate(sides)
    if not len(values):
        return False
    found, times = np.unique(values, return_counts=True)
    usual = found[times.argmax()]
    largest = max(int(some.sum()) for some in (values < usual, values > usual, ~np.isfinite(values)))
    return len(values) - int(times.max()) > 10 and largest >= 10


def _cells(batch: Batch) -> torch.Tensor:
    """(N,) cell of pt and |pseudorapidity| of each generated object."""
    pt, eta = (batch.field(f"generated.{n}").values.contiguous() for n in ("pt", "eta"))
    at = torch.bucketize(pt, torch.tensor(_PT_EDGES)), torch.bucketize(eta.abs(), torch.tensor(_ETA_EDGES))
    return at[0] * (len(_ETA_EDGES) + 1) + at[1]


_KINDS = {"cluster": _clusters, "track": _tracks, "object": _objects}


def _evaluate(predicted: Batch, truth: Batch | None, seed: int) -> dict[str, Estimate]:
    """χ² over degrees of freedom of every observable, and the largest of them."""
    if truth is None:
        raise ValueError("expected a second file: events of the detailed simulation to compare with")
    found = comparisons(predicted, truth, seed)
    worst = max(found.values(), key=lambda c: c.estimate.value)
    return {f"chi2[{name}]": c.estimate for name, c in found.items()} | {"largest": worst.estimate}


FLASH = Task(
    name="flash",
    text="Are reconstructed objects distributed as those of the detailed simulation?",
    prepare=lambda batch: states(batch) if {"track", "cluster", "object"} & set(batch.schema.names) else batch,
    evaluate=_evaluate,
)
