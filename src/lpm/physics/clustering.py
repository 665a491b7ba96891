r"""Sequential recombination of the particles of jets, many jets at once, without FastJet.

The pair of objects with the smallest distance

.. math:: d_{ij} = \min(p_{T,i}^{2p},\, p_{T,j}^{2p})\,\Delta R_{ij}^2

becomes one object until one is left. p = 1 is kT (Catani et al., Nucl. Phys. B 406 (1993) 187), p = 0 Cambridge/Aachen
(Dokshitzer et al., JHEP 08 (1997) 001). There is no beam distance: every jet ends as one object, as with a FastJet
radius larger than the jet. Distances are between rapidities with the scheme `momentum`, which adds four-momenta, and
between the given pseudorapidities with the scheme `winner`, in which the sum of transverse momenta takes the direction
of the harder one (winner takes all: Bertolini, Chan, Thaler, arXiv 1310.7584).

Shapes: B jets, T particles of the largest jet, K jets that still have two objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lpm.physics.kinematics import wrap_phi

__all__ = ["Objects", "Step", "recombine"]


@dataclass(frozen=True, eq=False)
class Objects:
    """What is being clustered, B jets sorted by falling number of objects, each filled from slot 0.

    Args:
        pt: (B, T) transverse momentum in GeV.
        y: (B, T) pseudorapidity or rapidity.
        phi: (B, T) azimuth in rad.
        p4: (B, T, 4) px, py, pz, E in GeV with the scheme `momentum`, else None.
    """

    pt: Tensor
    y: Tensor
    phi: Tensor
    p4: Tensor | None = None

    @classmethod
    def from_momenta(cls, p4: Tensor) -> Objects:
        """From (B, T, 4) px, py, pz, E in GeV. Energies below the momentum are raised to it."""
        px, py, pz, e = p4.unbind(-1)
        pt2 = px**2 + py**2
        e = torch.maximum(e, (pt2 + pz**2).sqrt())
        # y = ln((E + |pz|) / mT) keeps its precision for fast massless particles, unlike atanh(pz / E).
        mt = (e**2 - pz**2).clamp_min(torch.finfo(e.dtype).tiny).maximum(pt2).sqrt().clamp_min(1e-30)
        y = torch.log((e + pz.abs()) / mt).copysign(pz)
        return cls(pt2.sqrt(), y, torch.atan2(py, px), torch.stack([px, py, pz, e], -1))


@dataclass(frozen=True, eq=False)
class Step:
    """The state before one merge of the first K jets.

    After it the sum lies in slot `first`, the object of slot `count` - 1 in slot `second`, and `count` falls by one.

    Args:
        count: Objects in each of the first K jets; the other jets have fewer.
        objects: All objects; a view that the next step changes.
        first: (K,) slot of one object of the pair.
        second: (K,) slot of the other.
    """

    count: int
    objects: Objects
    first: Tensor
    second: Tensor


def recombine(objects: Objects, lengths: Tensor, power: float) -> Iterator[Step]:
    """Merge pairs until each jet is one object; all jets end with the same step.

    Args:
        objects: The particles, which are changed in place.
        lengths: (B,) number of particles, falling.
        power: p of the distance.

    Yields:
        One step for each number of objects, from T down to 2.

    Raises:
        ValueError: If the lengths do not fall.

    Example:
        >>> o = Objects(torch.tensor([[9.0, 2.0, 1.0]]), torch.tensor([[0.0, 0.1, 0.9]]), torch.zeros(1, 3))
        >>> [(s.count, s.first.item(), s.second.item()) for s in recombine(o, torch.tensor([3]), power=1.0)]
        [(3, 0, 1), (2, 0, 1)]
    """
    if bool((lengths.diff() > 0).any()):
        raise ValueError("recombine: expected jets sorted by falling number of particles")
    longest = int(lengths[0]) if len(lengths) else 0
    near, index = _all_neighbours(objects, lengths, power)
    for count in range(longest, 1, -1):
        k = int((lengths >= count).sum())
        row = torch.arange(k)
        a = near[:k, :count].argmin(1)
        b = index[row, a]
        first, second = torch.minimum(a, b), torch.maximum(a, b)
        yield Step(count, objects, first, second)
        _merge(objects, row, first, second, count)
        _update(objects, near, index, row, first, second, count, power)


def _distance(o: Objects, row: Tensor, slot: Tensor, count: int, power: float) -> Tensor:
    """(M, count) distances of the objects at (row, slot) to all objects of their jets; infinite to themselves."""
    r2 = (o.y[row, slot, None] - o.y[row, :count]) ** 2
    r2 = r2 + wrap_phi(o.phi[row, slot, None] - o.phi[row, :count]) ** 2
    if power:
        scale = o.pt[row, :count] if power > 0 else o.pt[row, :count].clamp_min(1e-30)
        r2 = r2 * torch.minimum(scale ** (2 * power), o.pt[row, slot, None].clamp_min(1e-30) ** (2 * power))
    r2[torch.arange(len(row)), slot] = torch.inf
    return r2


def _all_neighbours(o: Objects, lengths: Tensor, power: float) -> tuple[Tensor, Tensor]:
    """(B, T) smallest distance of each object and the slot of its partner."""
    size = o.pt.shape[1]
    exists = torch.arange(size) < lengths[:, None]
    near = torch.full_like(o.pt, torch.inf)
    index = torch.zeros_like(o.pt, dtype=torch.int64)
    for slot in range(size):
        rows = torch.nonzero(lengths > slot)[:, 0]
        d = _distance(o, rows, torch.full_like(rows, slot), size, power).masked_fill(~exists[rows], torch.inf)
        near[rows, slot], index[rows, slot] = d.min(1)
    return near, index


def _merge(o: Objects, row: Tensor, first: Tensor, second: Tensor, count: int) -> None:
    """Put the sum into `first` and the last object into `second`."""
    if o.p4 is None:
        wins = o.pt[row, second] > o.pt[row, first]
        for x in (o.y, o.phi):
            x[row, first] = torch.where(wins, x[row, second], x[row, first])
        o.pt[row, first] += o.pt[row, second]
    else:
        total = Objects.from_momenta(o.p4[row, first] + o.p4[row, second])
        o.p4[row, first] = o.p4[row, first] + o.p4[row, second]
        for x, value in ((o.pt, total.pt), (o.y, total.y), (o.phi, total.phi)):
            x[row, first] = value
        o.p4[row, second] = o.p4[row, count - 1]
    for x in (o.pt, o.y, o.phi):
        x[row, second] = x[row, count - 1]


def _update(
    o: Objects, near: Tensor, index: Tensor, row: Tensor, first: Tensor, second: Tensor, count: int, power: float
) -> None:
    """Bring nearest neighbours up to date after a merge; only those that pointed at the pair are searched anew."""
    k, left = len(row), count - 1
    near[row, second], index[row, second] = near[row, left], index[row, left]
    if left < 2:
        return
    own = index[:k, :left]
    stale = (own == first[:, None]) | (own == second[:, None])
    # The partner that lay in the last slot now lies in `second`.
    own[own == left] = second[:, None].expand(k, left)[own == left]
    d = _distance(o, row, first, left, power)
    closer = d < near[:k, :left]
    near[:k, :left] = torch.where(closer, d, near[:k, :left])
    own[closer] = first[:, None].expand(k, left)[closer]
    stale = stale & ~closer
    stale[row, first] = True
    jets, slots = torch.nonzero(stale, as_tuple=True)
    near[jets, slots], index[jets, slots] = _distance(o, jets, slots, left, power).min(1)
