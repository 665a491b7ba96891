"""The standard fields of flash simulation: what was generated, and what was reconstructed of it.

For charged particles one event is one particle, and its `track` is there or not. For photons one event is a group of
them and the `cluster`s of energy found around them, each told to one photon. Tracks and clusters hold what is measured
relative to what was generated, since that is what a detector adds; `lpm.tasks.flash.states` puts both together.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.schema import Collection, Field, Schema

__all__ = ["NEUTRALS", "NUMBERS", "OUTCOMES", "RINGS", "SPECIES", "STEP", "TRACKS", "settled", "tell"]

SPECIES = ("e", "mu", "pi", "K", "p")
"""Kinds of charged particles, antiparticles alike."""

OUTCOMES = ("outside", "missed", "found", "muon")
"""What becomes of a charged particle: it leaves the acceptance; crosses it and gives no track; gives one; gives one
that goes on through the muon chambers."""

NUMBERS = ("0", "1", "2", "3")
"""Numbers of clusters of a photon told apart; the last stands for more, too."""

RINGS = ("rich_e", "rich_mu", "rich_K", "rich_p")
"""Fields of a track: differences of the logarithm of likelihood of rings of light."""

STEP = 0.05
"""They are stored in such steps."""

_PARTICLE = (
    Field(name="p", unit="GeV", low=0.0, text="momentum"),
    Field(name="tx", text="slope dx/dz"),
    Field(name="ty", text="slope dy/dz"),
    Field(name="eta", low=-10.0, high=10.0, text="pseudorapidity"),
    Field(name="x", unit="mm", text="origin"),
    Field(name="y", unit="mm", text="origin"),
    Field(name="z", unit="mm", text="origin"),
    Field(name="charge", unit="e", low=-1.0, high=1.0, text="electric charge"),
    Field(name="species", kind="category", labels=SPECIES, text="kind of particle"),
    Field(name="event", kind="count", low=0.0, text="number of the collision it comes from"),
    Field(name="mother", kind="count", text="PDG number of the decay it was chosen from; 0 if none"),
)

_OUTCOME = Field(name="outcome", kind="category", labels=OUTCOMES, truth=True, text="what becomes of it")

_TRACK = (
    Field(name="dx", unit="mm", text="x at the plane z of the origin, measured minus generated"),
    Field(name="dy", unit="mm", text="the same of y"),
    Field(name="dtx", text="the same of the slope dx/dz"),
    Field(name="dty", text="the same of the slope dy/dz"),
    Field(name="dp", text="the same of the momentum, over the generated"),
    Field(name="err_x", unit="mm", low=0.0, text="uncertainty of x, from the fit"),
    Field(name="err_y", unit="mm", low=0.0, text="uncertainty of y"),
    Field(name="err_tx", low=0.0, text="uncertainty of dx/dz"),
    Field(name="err_ty", low=0.0, text="uncertainty of dy/dz"),
    Field(name="err_p", low=0.0, text="relative uncertainty of the momentum"),
    Field(name="rho_x_tx", low=-1.0, high=1.0, text="correlation of x and dx/dz, from the fit"),
    Field(name="rho_y_ty", low=-1.0, high=1.0, text="correlation of y and dy/dz"),
    Field(name="rho_tx_p", low=-1.0, high=1.0, text="correlation of dx/dz and charge over momentum"),
    Field(name="chi2", low=0.0, text="χ² of the fit over its degrees of freedom"),
    Field(name="light", kind="flag", low=0.0, high=1.0, text="whether it went through a Cherenkov counter"),
    Field(name="rich_e", text="ln L(e) − ln L(π) of the rings of Cherenkov light"),
    Field(name="rich_mu", text="the same of μ"),
    Field(name="rich_K", text="the same of K"),
    Field(name="rich_p", text="the same of p"),
    Field(name="ep", text="energy in the calorimeter around the track, over its momentum"),
)

TRACKS = Schema(
    name="flash",
    collections=(
        Collection(name="particle", fields=(*_PARTICLE, _OUTCOME), single=True),
        Collection(name="track", fields=_TRACK),
    ),
)
"""One charged particle an event, and its track if there is one."""

_PHOTON = (
    Field(name="energy", unit="GeV", low=0.0, text="energy"),
    Field(name="x", unit="mm", text="where it meets the calorimeter, from the middle of its group"),
    Field(name="y", unit="mm", text="where it meets the calorimeter, from the middle of its group"),
    Field(name="u", low=-0.5, high=0.5, text="x from the middle of its cell, over the side of a cell"),
    Field(name="v", low=-0.5, high=0.5, text="y from the middle of its cell, over the side of a cell"),
)

_CLUSTERS = Field(name="clusters", kind="category", labels=NUMBERS, truth=True, text="clusters told to it")

NEUTRALS = Schema(
    name="neutrals",
    collections=(
        Collection(name="photon", fields=(*_PHOTON, _CLUSTERS)),
        Collection(
            name="told", fields=(*_PHOTON, Field(name="clusters", kind="count", low=0.0, text="clusters told to it"))
        ),
        Collection(
            name="cluster",
            fields=(
                Field(name="photon", kind="count", low=0.0, text="number of its photon in the group, from 0"),
                Field(name="response", low=0.0, text="energy over that of its photon"),
                Field(name="dx", unit="mm", text="x minus that of its photon"),
                Field(name="dy", unit="mm", text="y minus that of its photon"),
                Field(name="width", unit="mm", low=0.0, text="root of the mean square distance of its energy"),
            ),
        ),
    ),
)
"""Photons that meet the calorimeter near each other, and their clusters. `told` are the photons once more, when it is
known how many clusters each has: what is measured of them is asked then."""


def tell(photons: Ragged, clusters: Ragged | None, cell: float) -> Batch:
    r"""Groups of photons, and clusters that were found around them, as events of `NEUTRALS`.

    A cluster is told to the photon with the largest :math:`\ln E - (d / a)^4`, d being how far it lies from the cluster
    and a the side of a cell: to the one that it is of where they are apart, and to the strongest where they merge.

    Args:
        photons: Energy in GeV, x and y in mm of each, in groups. Corners of cells lie at multiples of their side.
        clusters: Energy in GeV, x, y and width in mm of each, in the same groups; None if there are none yet.
        cell: Side of a cell, mm.

    Example:
        >>> photons = Ragged.from_lengths(torch.tensor([[9.0, 0.0, 0.0], [3.0, 30.0, 0.0]]), torch.tensor([2]))
        >>> clusters = Ragged.from_lengths(torch.tensor([[12.0, 8.0, 0.0, 25.0]]), torch.tensor([1]))
        >>> batch = tell(photons, clusters, 60.0)
        >>> batch.field("photon.clusters").values.tolist(), batch.field("photon.u").values.tolist()
        ([1.0, 0.0], [-0.5, 0.0])
        >>> batch.field("cluster.photon").values.tolist(), batch.field("cluster.dx").values.tolist()
        ([0.0], [8.0])
    """
    place = photons.values[:, 1:] / cell
    given = torch.cat([photons.values, place - place.floor() - 0.5], 1)
    if clusters is None:
        schema = NEUTRALS.select([f"photon.{f.name}" for f in _PHOTON])
        return Batch(schema, {"photon": photons.with_values(given)})
    rows, of = clusters.values, _strongest(photons, clusters, cell)
    order = of.argsort(stable=True)
    rows, of = rows[order], of[order]
    number = torch.bincount(of, minlength=len(given))[:, None].to(given.dtype)
    at = (of - photons.offsets[:-1][photons.event[of]])[:, None].to(given.dtype)
    added = [at, rows[:, :1] / given[of, :1], rows[:, 1:3] - given[of, 1:3], rows[:, 3:]]
    collections = {
        "photon": photons.with_values(torch.cat([given, number.clamp_max(len(NUMBERS) - 1)], 1)),
        "told": photons.with_values(torch.cat([given, number], 1)),
        "cluster": clusters.with_values(torch.cat(added, 1)),
    }
    return Batch(NEUTRALS, collections)


def _strongest(photons: Ragged, clusters: Ragged, cell: float) -> Tensor:
    """(K,) the photon that each cluster is told to."""
    many = photons.lengths[clusters.event]
    one = torch.repeat_interleave(torch.arange(len(many)), many)
    step = torch.arange(len(one)) - torch.repeat_interleave(many.cumsum(0) - many, many)
    other = photons.offsets[:-1][clusters.event][one] + step
    apart = (clusters.values[one, 1:3] - photons.values[other, 1:]).norm(dim=1)
    pull = photons.values[other, 0].log() - (apart / cell) ** 4
    most = torch.full((len(many),), -torch.inf).scatter_reduce(0, one, pull, "amax")
    best = pull == most[one]
    return torch.zeros(len(many), dtype=torch.long).scatter(0, one[best], other[best])


def settled(rows: Tensor) -> Tensor:
    """(N, fields of a track) as they are stored: flags whole, likelihoods in steps, and none without a counter.

    Args:
        rows: In the order of the fields of `track`.

    Example:
        >>> import torch
        >>> names = TRACKS["track"].names
        >>> row = torch.full((1, len(names)), 0.98)
        >>> done = settled(row)[0]
        >>> [round(float(done[names.index(n)]), 2) for n in ("light", "rich_K", "ep")]
        [1.0, 1.0, 0.98]
    """
    names, out = TRACKS["track"].names, rows.clone()
    light = (rows[:, names.index("light")] > 0.5).to(rows.dtype)
    out[:, names.index("light")] = light
    for name in RINGS:
        out[:, names.index(name)] = (rows[:, names.index(name)] / STEP).round() * STEP * light
    return out
