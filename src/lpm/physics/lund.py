r"""The Lund jet plane of subjets: where quarks and gluons radiate, splitting by splitting.

A jet is first resolved into as many subjets as it has prongs, by exclusive kT clustering (Catani et al., Nucl. Phys. B
406 (1993) 187). The particles of each subjet are clustered anew with Cambridge/Aachen, and the clustering is followed
back along the harder branch (Dreyer, Salam, Soyez, JHEP 12 (2018) 064, section 2). Each splitting into a harder branch
1 and a softer branch 2 is a point of the primary Lund plane,

.. math:: \Delta = \Delta R_{12}, \qquad k_T = p_{T,2}\,\Delta .

Shapes: B jets, N particles, Q subjets, S splittings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lpm.physics.clustering import Objects, recombine
from lpm.physics.kinematics import wrap_phi
from lpm.physics.substructure import chunks

__all__ = ["Splittings", "Subjets", "exclusive", "lund_plane"]


@dataclass(frozen=True, eq=False)
class Subjets:
    """The prongs into which jets are resolved.

    Args:
        jet: (Q,) jet of each, rising.
        pt: (Q,) transverse momentum in GeV; those of a jet fall.
        y: (Q,) rapidity.
        phi: (Q,) azimuth in rad.
        of: (N,) subjet of each particle.
    """

    jet: Tensor
    pt: Tensor
    y: Tensor
    phi: Tensor
    of: Tensor

    def __len__(self) -> int:
        return len(self.jet)


@dataclass(frozen=True, eq=False)
class Splittings:
    """Points of the primary Lund planes.

    Args:
        subjet: (S,) subjet of each.
        delta: (S,) distance of the two branches in rapidity and azimuth.
        kt: (S,) transverse momentum of the softer branch times the distance, in GeV.
    """

    subjet: Tensor
    delta: Tensor
    kt: Tensor

    def __len__(self) -> int:
        return len(self.subjet)


def exclusive(p4: Tensor, lengths: Tensor, prongs: Tensor) -> Subjets:
    """Resolve each jet into subjets by kT clustering.

    Args:
        p4: (N, 4) px, py, pz, E of the particles in GeV.
        lengths: (B,) particles in each jet.
        prongs: (B,) subjets wanted, at least 1; a jet of fewer particles has one of each.

    Raises:
        ValueError: If no subjet is wanted of some jet.

    Example:
        >>> p4 = torch.tensor([[100.0, 10, 0, 101], [50.0, -20, 0, 54], [48.0, -21, 1, 53]])
        >>> two = exclusive(p4, torch.tensor([3]), torch.tensor([2]))
        >>> two.of.tolist(), two.pt.round().tolist()
        ([1, 0, 0], [106.0, 100.0])
    """
    if bool((prongs < 1).any()):
        raise ValueError(f"exclusive: expected at least one subjet a jet, got {int(prongs.min())}")
    slot = torch.zeros(len(p4), dtype=torch.int64)
    wanted = torch.minimum(prongs, lengths)
    for rows, index, mask, count in chunks(lengths):
        o = Objects.from_momenta(torch.where(mask[..., None], p4.double()[index], 0.0))
        own = torch.arange(mask.shape[1]).expand(mask.shape).clone()
        for step in recombine(o, count, power=1.0):
            # Where as few are left as wanted, later merges no longer count.
            k = int((count >= step.count).sum())
            merges = wanted[rows[:k]] < step.count
            first, second, now = step.first[:, None], step.second[:, None], own[:k]
            moved = torch.where(now == second, first, torch.where(now == step.count - 1, second, now))
            own[:k] = torch.where(merges[:, None], moved, now)
        slot[index[mask]] = own[mask]
    return _gathered(p4.double(), lengths, slot)


def _gathered(p4: Tensor, lengths: Tensor, slot: Tensor) -> Subjets:
    """Momenta of the subjets, the hardest of each jet first."""
    jet = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    widest = int(lengths.max()) if len(lengths) else 1
    key, of = torch.unique(jet * max(widest, 1) + slot, return_inverse=True)
    total = p4.new_zeros(len(key), 4).index_add_(0, of, p4)
    found = Objects.from_momenta(total)
    at = key // max(widest, 1)
    order = torch.argsort(found.pt, descending=True, stable=True)
    order = order[torch.argsort(at[order], stable=True)]
    place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
    return Subjets(at[order], found.pt[order], found.y[order], found.phi[order], place[of])


def lund_plane(p4: Tensor, subjets: Subjets, pt_min: float = 1.0) -> Splittings:
    """The primary Lund plane of each subjet.

    Args:
        p4: (N, 4) px, py, pz, E of the particles in GeV.
        subjets: Of these particles.
        pt_min: Least transverse momentum of a particle in GeV; softer ones are measured poorly and left out.

    Example:
        >>> p4 = torch.tensor([[100.0, 0, 0, 100], [10.0, 1.0, 0, 10.05]])
        >>> one = lund_plane(p4, exclusive(p4, torch.tensor([2]), torch.tensor([1])))
        >>> one.subjet.tolist(), one.delta.round(decimals=3).tolist(), one.kt.round(decimals=2).tolist()
        ([0], [0.1], [1.0])
    """
    kept = torch.hypot(p4[:, 0], p4[:, 1]) >= pt_min
    order = torch.argsort(subjets.of[kept], stable=True)
    momenta = p4.double()[kept][order]
    lengths = torch.bincount(subjets.of[kept], minlength=len(subjets))
    parts = []
    for rows, index, mask, count in chunks(lengths):
        o = Objects.from_momenta(torch.where(mask[..., None], momenta[index], 0.0))
        parts += [(rows[row], delta, kt) for row, delta, kt in _primary(o, count)]
    if not parts:
        none = torch.zeros(0, dtype=torch.float64)
        return Splittings(torch.zeros(0, dtype=torch.int64), none, none)
    subjet, delta, kt = (torch.cat(x) for x in zip(*parts, strict=True))
    order = torch.argsort(subjet, stable=True)
    return Splittings(subjet[order], delta[order], kt[order])


def _primary(o: Objects, lengths: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Rows, distances and kT of the splittings along the harder branches, in the order of falling distance."""
    history = []
    for s in recombine(o, lengths, power=0.0):
        row = torch.arange(len(s.first))
        pair = [(o.pt[row, j], o.y[row, j], o.phi[row, j]) for j in (s.first, s.second)]
        history.append((s.count, s.first, s.second, pair))
    slot, out = torch.zeros(len(lengths), dtype=torch.int64), []
    for count, first, second, ((pt1, y1, phi1), (pt2, y2, phi2)) in reversed(history):
        k = len(first)
        here = slot[:k] == first
        delta = torch.hypot(y1 - y2, wrap_phi(phi1 - phi2))
        at = here.nonzero()[:, 0]
        out.append((at, delta[at], (torch.minimum(pt1, pt2) * delta)[at]))
        moved = torch.where(slot[:k] == second, count - 1, slot[:k])
        slot[:k] = torch.where(here, torch.where(pt1 >= pt2, first, second), moved)
    return out
