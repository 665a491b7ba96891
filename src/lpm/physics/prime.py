r"""The energy flow polynomials of one to three edges, by products of matrices.

With momentum fractions :math:`z_i` and distances :math:`\theta_{ij}` (see `lpm.physics.energyflow`, which evaluates any
graph), let :math:`u_i = \sum_j \theta_{ij} z_j` and :math:`v_i = \sum_j \theta_{ij}^2 z_j`. A point with a single
neighbour enters a sum only through u or v, so that

.. math:: \mathrm{line} = \sum_i z_i u_i, \quad \mathrm{wedge} = \sum_i z_i u_i^2, \quad
          \mathrm{star} = \sum_i z_i u_i^3, \quad \mathrm{path} = \sum_{ij} z_i u_i \theta_{ij} u_j z_j,

and so on: all but the triangle cost :math:`T^2` operations a jet, and none needs more memory than the distances.
(Komiske, Metodiev, Thaler, JHEP 04 (2018) 013, eliminate points one by one in the same way.)

Shapes: N particles of all jets, B jets, T particles of the longest jet of a chunk.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lpm.physics.kinematics import wrap_phi

__all__ = ["PRIMES", "prime_flow"]

PRIMES = ("line", "line2", "wedge", "line3", "wedge2", "triangle", "path", "star")
"""Names of the graphs, as in `lpm.physics.energyflow.PRIME_D3`."""

PAIRS = 1 << 21
"""Pairs of particles held at once: 16 MB a matrix."""


def prime_flow(pt: Tensor, deta: Tensor, dphi: Tensor, lengths: Tensor) -> dict[str, Tensor]:
    """All connected energy flow polynomials of one to three edges, with the angular power β = 1.

    Args:
        pt: (N,) transverse momenta in GeV, one jet after the other.
        deta: (N,) pseudorapidities, relative to the jet or not.
        dphi: (N,) azimuths in rad.
        lengths: (B,) particles in each jet.

    Returns:
        (B,) float64 by the names of `PRIMES`; 0 for jets without particles.

    Raises:
        ValueError: If the lengths do not add up to N.

    Example:
        >>> two = torch.tensor([3.0, 1.0]), torch.tensor([0.0, 0.5]), torch.zeros(2), torch.tensor([2])
        >>> round(prime_flow(*two)["line"].item(), 6)  # 2 · 3/4 · 1/4 · 0.5
        0.1875
    """
    if int(lengths.sum()) != len(pt):
        raise ValueError(f"expected lengths that add up to {len(pt)} particles, got {int(lengths.sum())}")
    out = torch.zeros(len(PRIMES), len(lengths), dtype=torch.float64)
    starts = lengths.cumsum(0) - lengths
    rows = torch.stack([pt, deta, dphi], 1).double()
    # Jets of similar length together: little of a padded matrix is empty.
    order = lengths.argsort(descending=True)
    while len(order) and (size := int(lengths[order[0]])):
        chosen, order = order.tensor_split([max(1, PAIRS // size**2)])
        at = torch.arange(size)
        inside = at < lengths[chosen, None]
        x = rows[(starts[chosen, None] + at).clamp_max(len(rows) - 1)]
        z = torch.where(inside, x[..., 0], 0.0)
        z = z / z.sum(1, keepdim=True).clamp_min(1e-30)
        out[:, chosen] = _primes(z, x[..., 1], x[..., 2])
    return dict(zip(PRIMES, out, strict=True))


def _primes(z: Tensor, eta: Tensor, phi: Tensor) -> Tensor:
    """(8, B) from (B, T) fractions, 0 where there is no particle, and directions."""
    square = (eta[:, :, None] - eta[:, None]) ** 2 + wrap_phi(phi[:, :, None] - phi[:, None]) ** 2
    theta = square.sqrt()
    u, v = ((m @ z[..., None])[..., 0] for m in (theta, square))
    w = ((square * theta) @ z[..., None])[..., 0]
    loop = theta * z[:, None]
    zu = z * u
    path = (zu * (theta @ zu[..., None])[..., 0]).sum(1)
    triangle = ((loop @ loop) * loop.transpose(1, 2)).sum((1, 2))
    sums = [(z * term).sum(1) for term in (u, v, u * u, w, u * v)]
    return torch.stack([*sums, triangle, path, (z * u**3).sum(1)])
