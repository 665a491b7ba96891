r"""Generated objects and what was reconstructed of each: pairs of truth and reconstruction, of any simulation.

Leptons, photons and jets are given as they were generated, one an event; its `object` is there or not, and holds what
the detector and the reconstruction made of it, relative to what was generated. A generated and a reconstructed object
belong together if each is the other's nearest of that kind and they lie within `NEAR` in
:math:`\Delta R=\sqrt{\Delta\eta^2+\Delta\phi^2}`. What is reconstructed of nothing generated is left out.

Shapes: B collisions, N generated objects, M reconstructed ones, L and K the most of either in a collision.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.schema import Collection, Field, Schema
from lpm.physics.kinematics import delta_phi, delta_r

__all__ = ["FATES", "KINDS", "MATCHED", "NEAR", "STEPS", "TAG", "apart", "match", "settled"]

KINDS = ("electron", "muon", "photon", "jet", "c_jet", "b_jet")
"""Kinds of generated objects; jets by the heaviest hadron in them."""

JET = KINDS.index("jet")
"""The first kind of jets; what is reconstructed is of this kind or of one before it."""

FATES = ("missed", "found", "tagged")
"""What becomes of a generated object: nothing is reconstructed of it, something is, or a jet with a b tag."""

TAG = 0.5
"""Score from which a jet has a b tag, where a simulation gives scores."""

NEAR = {"electron": 0.1, "muon": 0.1, "photon": 0.1, "jet": 0.2}
"""Largest distance between what was generated and what is reconstructed of it."""

STEPS = {"deta": 1e-3, "dphi": 1e-3, "iso": 0.01}
"""Steps in which numbers are stored: what is measured exactly, or is nothing, is one number again and again."""

MATCHED = Schema(
    name="matched",
    collections=(
        Collection(
            name="generated",
            single=True,
            fields=(
                Field(name="pt", unit="GeV", low=0.0, text="transverse momentum"),
                Field(name="eta", low=-10.0, high=10.0, text="pseudorapidity"),
                Field(name="phi", unit="rad", kind="angle", low=-3.1416, high=3.1416, text="azimuth"),
                Field(name="mass", unit="GeV", low=0.0, text="mass of a jet; 0 of others"),
                Field(name="near", low=0.0, text="distance to the nearest other generated object; 5 if there is none"),
                Field(name="kind", kind="category", labels=KINDS, text="what it is"),
                Field(name="event", kind="count", low=0.0, text="number of the collision in its file or portion"),
                Field(name="outcome", kind="category", labels=FATES, truth=True, text="what becomes of it"),
            ),
        ),
        Collection(
            name="object",
            fields=(
                Field(name="response", low=0.0, text="transverse momentum over the generated one"),
                Field(name="deta", text="pseudorapidity minus the generated one"),
                Field(name="dphi", unit="rad", text="azimuth minus the generated one"),
                Field(name="mass", unit="GeV", low=0.0, text="mass of a jet; 0 of others"),
                Field(name="iso", low=0.0, text="pt of others around a lepton or photon, over its own; 0 of jets"),
            ),
        ),
    ),
)
"""One generated object an event, and what was reconstructed of it if anything was."""

ALONE = 5.0
"""Distance of the nearest other object, if there is none."""


def match(generated: Ragged, found: Ragged, first: int = 0) -> Batch:
    """Pairs of what was generated and what was reconstructed.

    Args:
        generated: (N, 5) pt, eta, phi, mass and index into `KINDS`, in B collisions.
        found: (M, 7) pt, eta, phi, mass, index into `KINDS` up to `jet`, iso, and score or decision
            of a b tag, in the same collisions.
        first: Number of the first of the collisions.

    Returns:
        N events of `MATCHED`, in order.

    Example:
        >>> muon, jet = float(KINDS.index("muon")), float(KINDS.index("b_jet"))
        >>> g = torch.tensor([[50.0, 0.0, 1.0, 0.0, muon], [40.0, 1.0, 2.0, 6.0, jet]])
        >>> r = torch.tensor([[49.0, 0.01, 1.0, 0.0, muon, 0.1, 0.0]])
        >>> pairs = match(Ragged.from_lengths(g, torch.tensor([2])), Ragged.from_lengths(r, torch.tensor([1])))
        >>> pairs.field("generated.outcome").values.tolist(), pairs.field("object.response").values.tolist()
        ([1.0, 0.0], [0.9800000190734863])
    """
    g, kind = generated.values.float(), generated.values[:, 4].clamp_max(JET).long()
    at = _partners(generated, found)
    seen = at >= 0
    r = found.values.float()[at[seen]]
    fate = seen.long()
    fate[seen] += r[:, 6] > TAG
    columns = [g[:, :4], _alone(generated)[:, None], g[:, 4:], (first + generated.event)[:, None], fate[:, None]]
    mine = g[seen]
    rows = torch.stack(
        [r[:, 0] / mine[:, 0], r[:, 1] - mine[:, 1], delta_phi(r[:, 2], mine[:, 2]), r[:, 3], r[:, 5]], 1
    )
    given = torch.cat([c.to(torch.float32) for c in columns], 1)
    made = Ragged.from_lengths(settled(rows, kind[seen]), seen.long())
    return Batch(MATCHED, {"generated": Ragged.single(given), "object": made})


def settled(rows: Tensor, kind: Tensor) -> Tensor:
    """(N, fields of an object) as they are stored: in steps, and no isolation of jets, no mass of others.

    Args:
        rows: In the order of the fields.
        kind: (N,) indices into `KINDS`.

    Example:
        >>> row = torch.tensor([[1.0, 0.0004, 0.0126, 8.0, 0.104]])
        >>> [round(x, 4) for i in (0, JET) for x in settled(row, torch.tensor([i]))[0].tolist()]
        [1.0, 0.0, 0.013, 0.0, 0.1, 1.0, 0.0, 0.013, 8.0, 0.0]
    """
    is_jet, out = kind >= JET, []
    for name, values in zip(MATCHED["object"].names, rows.unbind(1), strict=True):
        step = STEPS.get(name, 0.0)
        stored = (values / step).round() * step if step else values
        has = ~is_jet if name == "iso" else is_jet if name == "mass" else torch.ones_like(is_jet)
        out.append(torch.where(has, stored, 0.0))
    return torch.stack(out, 1)


def _partners(generated: Ragged, found: Ragged) -> Tensor:
    """(N,) row of what was reconstructed of each generated object, -1 for nothing."""
    g_BL5, real_BL = generated.padded()
    r_BK7, seen_BK = found.padded()
    row_BK = torch.zeros(seen_BK.shape, dtype=torch.int64)
    row_BK[seen_BK] = torch.arange(len(found.values))
    if not r_BK7.shape[1]:
        return torch.full((len(generated.values),), -1)
    kind_BL, of_BK = g_BL5[..., 4].clamp_max(JET).long(), r_BK7[..., 4].long()
    near_BL = torch.tensor([NEAR[KINDS[i]] for i in range(JET + 1)])[kind_BL]
    apart_BLK = apart(g_BL5[..., 1:3], r_BK7[..., 1:3])
    may = (kind_BL[:, :, None] == of_BK[:, None]) & real_BL[:, :, None] & seen_BK[:, None]
    apart_BLK = torch.where(may, apart_BLK, torch.inf)
    best_BL, best_BK = apart_BLK.min(2), apart_BLK.min(1)
    mutual = best_BK.indices.gather(1, best_BL.indices) == torch.arange(g_BL5.shape[1])
    good = mutual & (best_BL.values < near_BL)
    return torch.where(good, row_BK.gather(1, best_BL.indices), -1)[real_BL]


def _alone(generated: Ragged) -> Tensor:
    """(N,) distance of each generated object to the nearest other."""
    g_BL5, real_BL = generated.padded()
    apart_BLL = apart(g_BL5[..., 1:3], g_BL5[..., 1:3])
    other = real_BL[:, None] & ~torch.eye(g_BL5.shape[1], dtype=torch.bool)
    least_BL = torch.where(other, apart_BLL, ALONE).amin(2) if g_BL5.shape[1] else g_BL5[..., 0]
    return least_BL.clamp_max(ALONE)[real_BL].float()


def apart(a_BL2: Tensor, b_BK2: Tensor) -> Tensor:
    """(B, L, K) distances ΔR of points (B, L, 2) and (B, K, 2), each of pseudorapidity and azimuth."""
    a, b = a_BL2[:, :, None], b_BK2[:, None]
    return delta_r(a[..., 0] - b[..., 0], delta_phi(a[..., 1], b[..., 1]))
