r"""Energies that add up: how the energy of a shower is shared among layers, and a layer's among its cells.

The first share is that of the incident energy which all :math:`L` layers see together, share :math:`i` the part of what
is left that lies in layer :math:`i - 1`,

.. math:: u_0 = \sum_l E_l / E_\mathrm{inc}, \qquad u_i = E_{i-1} \Big/ \sum_{l \ge i-1} E_l,

so that any shares between 0 and 1 are energies that add up (CaloFlow, arXiv 2106.05285, eq. 2.3; CaloDREAM, arXiv
2405.09629, eq. 2). Shapes: B showers, L layers, V cells of one layer.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["energies_of", "settled", "shares_of"]


def shares_of(energy: Tensor, incident: Tensor) -> Tensor:
    """(B, L) shares of the energies (B, L) of layers and the incident energy (B,), in GeV.

    Example:
        >>> shares_of(torch.tensor([[1.0, 3.0, 0.0]]), torch.tensor([5.0])).tolist()
        [[0.800000011920929, 0.25, 1.0]]
    """
    # Added up from the end, so that the last layer with energy has the share 1 exactly.
    left = energy.flip(1).cumsum(1).flip(1)
    part = torch.where(left > 0, energy / left.clamp_min(torch.finfo(energy.dtype).tiny), 0)
    return torch.cat([left[:, :1] / incident[:, None], part[:, :-1]], 1)


def energies_of(share: Tensor, incident: Tensor) -> Tensor:
    """(B, L) energies of layers in GeV: inverse of `shares_of`.

    Example:
        >>> energies_of(torch.tensor([[0.75, 0.25, 1.0]]), torch.tensor([4.0])).tolist()
        [[0.75, 2.25, 0.0]]
    """
    left, out = share[:, 0].clamp_min(0) * incident, []
    for i in range(1, share.shape[1]):
        out.append(left * share[:, i].clamp(0, 1))
        left = left - out[-1]
    return torch.stack([*out, left], 1)


def settled(cells: Tensor, energy: Tensor, threshold: float) -> Tensor:
    """(B, V) cells of one layer scaled to its energies (B,), all of them zero or above the threshold; GeV.

    If no cell would be above it, the largest takes all; a layer whose energy is below the threshold is empty.

    Example:
        >>> settled(torch.tensor([[3.0, 1.0, 0.2]]), torch.tensor([8.0]), 0.5).tolist()
        [[6.0, 2.0, 0.0]]
    """
    whole = cells.sum(1, keepdim=True)
    cells = torch.where(whole > 0, cells / whole.clamp_min(1e-300) * energy[:, None], cells)
    kept = torch.where(cells >= threshold, cells, 0)
    none = kept.sum(1, keepdim=True) == 0
    largest = torch.zeros_like(cells).scatter_(1, cells.argmax(1, keepdim=True), energy[:, None])
    kept = torch.where(none, largest, kept * (energy[:, None] / kept.sum(1, keepdim=True).clamp_min(1e-300)))
    return torch.where((energy >= threshold)[:, None], kept, 0)
