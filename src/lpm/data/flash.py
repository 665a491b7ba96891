"""The standard fields of flash simulation: what was generated, and what was reconstructed of it.

For charged particles one event is one particle, and its `track` is there or not. For photons one event is a group of
them and the `cluster`s of energy found around them, which are fewer or more. A track holds what is measured relative to
what was generated, since that is what a detector adds; `lpm.tasks.flash.states` puts both together.
"""

from __future__ import annotations

from torch import Tensor

from lpm.data.schema import Collection, Field, Schema

__all__ = ["NEUTRALS", "NUMBERS", "OUTCOMES", "RINGS", "SPECIES", "STEP", "TRACKS", "settled"]

SPECIES = ("e", "mu", "pi", "K", "p")
"""Kinds of charged particles, antiparticles alike."""

OUTCOMES = ("outside", "missed", "found", "muon")
"""What becomes of a charged particle: it leaves the acceptance; crosses it and gives no track; gives one; gives one
that goes on through the muon chambers."""

NUMBERS = tuple(str(n) for n in range(13))
"""Numbers of clusters told apart; the last stands for more, too."""

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

NEUTRALS = Schema(
    name="neutrals",
    collections=(
        Collection(
            name="photon",
            fields=(
                Field(name="energy", unit="GeV", low=0.0, text="energy"),
                Field(name="x", unit="mm", text="where it meets the calorimeter, from the middle of its group"),
                Field(name="y", unit="mm", text="where it meets the calorimeter, from the middle of its group"),
            ),
        ),
        Collection(
            name="cluster",
            fields=(
                Field(name="energy", unit="GeV", low=0.0, text="energy"),
                Field(name="x", unit="mm", text="middle, from that of the group of photons"),
                Field(name="y", unit="mm", text="middle, from that of the group of photons"),
                Field(name="width", unit="mm", low=0.0, text="root of the mean square distance of its energy"),
            ),
        ),
        Collection(
            name="group",
            fields=(
                Field(name="photons", kind="count", low=0.0, text="photons of the group"),
                Field(name="clusters", kind="category", labels=NUMBERS, truth=True, text="clusters that were found"),
            ),
            single=True,
        ),
    ),
)
"""Photons that meet the calorimeter near each other, and the clusters that are found."""


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
