r"""Observables of the inside of jets: mass, girth, N-subjettiness, energy correlations, soft-drop mass.

With transverse momenta :math:`p_{T,i}`, jet radius :math:`R_0` and axes :math:`a`,

.. math:: \tau_N = \frac{\sum_i p_{T,i} \min_a \Delta R_{i,a}}{R_0 \sum_i p_{T,i}}

(Thaler, Van Tilburg, JHEP 03 (2011) 015, eq. 2.1, with :math:`\beta = 1`). The axes are the N objects left by kT
clustering with the winner-take-all scheme, without further minimisation: the default of FastJet contrib as used in
Delphes. Soft drop (Larkoski et al., JHEP 05 (2014) 146, eq. 1.1) undoes a Cambridge/Aachen clustering until

.. math:: \frac{\min(p_{T,1}, p_{T,2})}{p_{T,1} + p_{T,2}} > z_{cut} \left(\frac{\Delta R_{12}}{R_0}\right)^\beta .

Jets are given flat: N particles one jet after the other, and the (B,) lengths. All results are (B,) float32.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lpm.physics.clustering import Objects, recombine
from lpm.physics.kinematics import cartesian, wrap_phi

__all__ = ["axes", "chunks", "girth", "jet_mass", "observables", "soft_drop_mass", "subjettiness"]

CHUNK = 1024
"""Jets clustered together: enough to hide the cost of a step, few enough to stay in cache."""


def observables(
    pt: Tensor,
    deta: Tensor,
    dphi: Tensor,
    energy: Tensor | None,
    lengths: Tensor,
    eta: Tensor | None = None,
    radius: float = 0.8,
) -> dict[str, Tensor]:
    """All observables of `lpm.data.fields` that follow from the constituents: mass, sdmass, tau1 to tau4.

    Args:
        pt: (N,) transverse momenta in GeV.
        deta: (N,) pseudorapidities relative to the jet.
        dphi: (N,) azimuths in rad relative to the jet.
        energy: (N,) energies in GeV; None for massless particles.
        lengths: (B,) particles in each jet.
        eta: (B,) pseudorapidities of the jets; None for 0, which changes only what depends on particle masses.
        radius: Jet radius.

    Example:
        >>> pt, deta, dphi = torch.tensor([50.0, 50.0]), torch.tensor([-0.1, 0.1]), torch.zeros(2)
        >>> two = observables(pt, deta, dphi, None, torch.tensor([2]))
        >>> {n: round(float(v), 3) for n, v in two.items()}
        {'mass': 10.017, 'sdmass': 10.017, 'tau1': 0.125, 'tau2': 0.0, 'tau3': 0.0, 'tau4': 0.0}
    """
    p4 = _momenta(pt, deta, dphi, energy, lengths, eta)
    out = {"mass": _mass(_sum(p4, lengths)).float(), "sdmass": soft_drop_mass(p4, lengths, radius=radius)}
    tau = subjettiness(pt, deta, dphi, lengths, radius=radius)
    return out | {f"tau{n + 1}": tau[:, n] for n in range(tau.shape[1])}


def jet_mass(p4: Tensor, lengths: Tensor) -> Tensor:
    """(B,) invariant mass in GeV of particles (N, 4) px, py, pz, E."""
    return _mass(_sum(p4.double(), lengths)).float()


def girth(pt: Tensor, deta: Tensor, dphi: Tensor, lengths: Tensor, radius: float = 1.0) -> Tensor:
    """(B,) mean distance from the jet axis, weighted by pt and in units of `radius`.

    Example:
        >>> girth(torch.tensor([3.0, 1.0]), torch.tensor([0.0, 0.4]), torch.zeros(2), torch.tensor([2])).tolist()
        [0.10000000149011612]
    """
    total = _sum(pt[:, None], lengths)[:, 0].clamp_min(1e-30)
    return (_sum((pt * torch.hypot(deta, dphi))[:, None], lengths)[:, 0] / (radius * total)).float()


def subjettiness(
    pt: Tensor, deta: Tensor, dphi: Tensor, lengths: Tensor, n_max: int = 4, radius: float = 0.8
) -> Tensor:
    """N-subjettiness with kT winner-take-all axes.

    Args:
        pt: (N,) transverse momenta in GeV.
        deta: (N,) pseudorapidities, relative to the jet or not.
        dphi: (N,) azimuths in rad.
        lengths: (B,) particles in each jet.
        n_max: Largest number of axes.
        radius: R_0.

    Returns:
        (B, n_max) values for 1 to n_max axes; 0 where a jet has no more particles than axes.
    """
    out = torch.zeros(len(lengths), n_max)
    for rows, index, mask, count in chunks(lengths):
        pt_BT, eta_BT, phi_BT = (torch.where(mask, x.double()[index], 0.0) for x in (pt, deta, dphi))
        total = (pt_BT.sum(1) * radius).clamp_min(1e-30)
        for n, (axis_eta, axis_phi) in axes(Objects(pt_BT, eta_BT, phi_BT), count, n_max).items():
            near = torch.hypot(eta_BT[:, :, None] - axis_eta[:, None], wrap_phi(phi_BT[:, :, None] - axis_phi[:, None]))
            # A jet of fewer particles than axes repeats its first axis in the empty slots, which changes nothing.
            out[rows, n - 1] = ((pt_BT * near.amin(2)).sum(1) / total).float()
    return out


def axes(objects: Objects, lengths: Tensor, n_max: int) -> dict[int, tuple[Tensor, Tensor]]:
    """Directions of the last 1 to n_max objects of kT winner-take-all clustering.

    Args:
        objects: (B, T) particles, left as they are.
        lengths: (B,) numbers of particles, falling.
        n_max: Largest number of axes.

    Returns:
        For each n the (B, n) pseudorapidities and azimuths; missing ones repeat the first.
    """
    state = Objects(objects.pt.clone(), objects.y.clone(), objects.phi.clone())
    out = {}
    for step in recombine(state, lengths, power=1.0):
        if step.count <= n_max:
            out[step.count] = _filled(state, lengths, step.count)
    out[1] = _filled(state, lengths, 1)
    for n in range(1, n_max + 1):
        out.setdefault(n, _filled(objects, lengths, n))
    return out


def _filled(o: Objects, lengths: Tensor, n: int) -> tuple[Tensor, Tensor]:
    slots = torch.arange(n).expand(len(lengths), n)
    slots = torch.where(slots < lengths[:, None], slots, 0)
    return o.y.gather(1, slots), o.phi.gather(1, slots)


def soft_drop_mass(p4: Tensor, lengths: Tensor, z_cut: float = 0.1, beta: float = 0.0, radius: float = 0.8) -> Tensor:
    """Invariant mass of what soft drop leaves of the jet.

    Args:
        p4: (N, 4) px, py, pz, E in GeV.
        lengths: (B,) particles in each jet.
        z_cut: Smallest share of the softer branch.
        beta: Power of the angle; 0 is the modified mass-drop tagger.
        radius: R_0.

    Returns:
        (B,) masses in GeV; that of one particle if no branching passes, 0 for an empty jet.
    """
    out = torch.zeros(len(lengths))
    for rows, index, mask, count in chunks(lengths):
        momenta = torch.where(mask[..., None], p4.double()[index], 0.0)
        out[rows] = _soft_drop(Objects.from_momenta(momenta), count, z_cut, beta, radius).float()
    return out


def _soft_drop(o: Objects, lengths: Tensor, z_cut: float, beta: float, radius: float) -> Tensor:
    """Cluster, keeping both momenta of each pair, then follow the harder branch back from the end."""
    assert o.p4 is not None
    leaf = _mass(o.p4)
    history = []
    for s in recombine(o, lengths, power=0.0):
        row = torch.arange(len(s.first))
        pair = [(o.pt[row, j], o.y[row, j], o.phi[row, j], o.p4[row, j]) for j in (s.first, s.second)]
        history.append((s.count, s.first, s.second, pair))
    size = len(lengths)
    slot, passed, mass = torch.zeros(size, dtype=torch.int64), torch.zeros(size, dtype=torch.bool), torch.zeros(size)
    mass = mass.double()
    for count, first, second, ((pt1, y1, phi1, p1), (pt2, y2, phi2, p2)) in reversed(history):
        k = len(first)
        here = (slot[:k] == first) & ~passed[:k]
        angle = torch.hypot(y1 - y2, wrap_phi(phi1 - phi2)) / radius
        good = here & (torch.minimum(pt1, pt2) > z_cut * angle**beta * (pt1 + pt2))
        mass[:k] = torch.where(good, _mass(p1 + p2), mass[:k])
        passed[:k] |= good
        moved = torch.where(slot[:k] == second, count - 1, slot[:k])
        slot[:k] = torch.where(here, torch.where(pt1 >= pt2, first, second), moved)
    return torch.where(passed, mass, leaf.gather(1, slot[:, None])[:, 0]) if leaf.shape[1] else mass


def chunks(lengths: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Jets by falling size: rows (B,), indices of their particles (B, T), mask (B, T) and lengths (B,)."""
    order = torch.argsort(lengths, descending=True, stable=True)
    start = lengths.cumsum(0) - lengths
    for rows in torch.split(order, CHUNK):
        count = lengths[rows]
        longest = int(count[0]) if len(count) else 0
        if longest:
            position = torch.arange(longest)
            mask = position < count[:, None]
            yield rows, torch.where(mask, start[rows, None] + position, 0), mask, count


def _momenta(
    pt: Tensor, deta: Tensor, dphi: Tensor, energy: Tensor | None, lengths: Tensor, eta: Tensor | None
) -> Tensor:
    """(N, 4) px, py, pz, E in GeV, float64."""
    shift = torch.zeros_like(deta) if eta is None else torch.repeat_interleave(eta, lengths)
    absolute = (deta + shift).double()
    px, py, pz = cartesian(pt.double(), absolute, dphi.double())
    massless = pt.double() * torch.cosh(absolute)
    return torch.stack([px, py, pz, massless if energy is None else torch.maximum(energy.double(), massless)], -1)


def _sum(x: Tensor, lengths: Tensor) -> Tensor:
    """(B, F) sums of the rows (N, F) of each jet."""
    event = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    return x.new_zeros(len(lengths), x.shape[1]).index_add_(0, event, x)


def _mass(p4: Tensor) -> Tensor:
    return (p4[..., 3] ** 2 - (p4[..., :3] ** 2).sum(-1)).clamp_min(0).sqrt()
