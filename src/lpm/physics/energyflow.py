r"""Energy flow polynomials and ratios of energy correlation functions, on padded tensors.

With momentum fractions :math:`z_i = p_{T,i} / \sum_j p_{T,j}` and distances :math:`\theta_{ij} = \Delta R_{ij}^\beta`,
a multigraph G on the points 1 … n gives the polynomial

.. math:: \mathrm{EFP}_G = \sum_{i_1} \cdots \sum_{i_n} z_{i_1} \cdots z_{i_n} \prod_{(k,l) \in G} \theta_{i_k i_l}

(Komiske, Metodiev, Thaler, JHEP 04 (2018) 013, eq. 1.1). A graph is a tuple of edges; an edge may repeat. The energy
correlation functions are the complete graphs, :math:`e_2` on two and :math:`e_3` on three points without repeated
pairs of particles, and

.. math:: C_2 = e_3 / e_2^2, \qquad D_2 = e_3 / e_2^3

(Larkoski, Salam, Thaler, JHEP 06 (2013) 108; Larkoski, Moult, Neill, JHEP 12 (2014) 009).

Shapes: B jets, T particles of the longest jet of a chunk.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lpm.physics.kinematics import wrap_phi

__all__ = ["PRIME_D3", "PRIME_N4_D4", "correlations", "energy_flow"]

Graph = tuple[tuple[int, int], ...]

PRIME_D3: dict[str, Graph] = {
    "line": ((0, 1),),
    "line2": ((0, 1), (0, 1)),
    "wedge": ((0, 1), (0, 2)),
    "line3": ((0, 1), (0, 1), (0, 1)),
    "wedge2": ((0, 1), (0, 1), (0, 2)),
    "triangle": ((0, 1), (0, 2), (1, 2)),
    "path": ((0, 1), (1, 2), (2, 3)),
    "star": ((0, 1), (0, 2), (0, 3)),
}
"""All connected multigraphs of one to three edges."""

PRIME_N4_D4: dict[str, Graph] = {
    "path_end2": ((0, 1), (0, 1), (1, 2), (2, 3)),
    "path_middle2": ((0, 1), (1, 2), (1, 2), (2, 3)),
    "star2": ((0, 1), (0, 1), (0, 2), (0, 3)),
    "paw": ((0, 1), (0, 2), (1, 2), (0, 3)),
    "square": ((0, 1), (1, 2), (2, 3), (0, 3)),
}
"""All five connected multigraphs of four points and four edges: those of the W1-EFP score of JetNet (Kansal et al.,
arXiv 2106.11535)."""

MEMORY = 1 << 24
"""Largest number of pairs of particles held at once."""


def energy_flow(
    pt: Tensor, eta: Tensor, phi: Tensor, mask: Tensor, graphs: dict[str, Graph] | None = None, beta: float = 1.0
) -> dict[str, Tensor]:
    """Energy flow polynomials of jets.

    Args:
        pt: (B, T) transverse momenta in GeV.
        eta: (B, T) pseudorapidities, relative to the jet or not.
        phi: (B, T) azimuths in rad.
        mask: (B, T) True where there is a particle.
        graphs: Edges by name; None for `PRIME_D3`.
        beta: Power of the distance.

    Returns:
        (B,) float64 values by name.

    Raises:
        ValueError: If a graph has more than 26 points or an edge from a point to itself.

    Example:
        >>> two = (torch.tensor([[3.0, 1.0]]), torch.tensor([[0.0, 0.5]]), torch.zeros(1, 2), torch.ones(1, 2).bool())
        >>> round(energy_flow(*two, {"line": ((0, 1),)})["line"].item(), 6)
        0.1875
    """
    graphs = PRIME_D3 if graphs is None else graphs
    plans = {name: _plan(name, graph) for name, graph in graphs.items()}
    size = max(1, MEMORY // max(pt.shape[1] ** 2, 1))
    parts: dict[str, list[Tensor]] = {name: [] for name in graphs}
    for rows in torch.split(torch.arange(len(pt)), size):
        z, theta = _fractions(pt[rows], eta[rows], phi[rows], mask[rows], beta)
        powers = {1: theta}
        for name, (scopes, multiplicities, points) in plans.items():
            edges = [powers.setdefault(m, theta**m) for m in multiplicities]
            factors = [*((p, z) for p in points), *zip(scopes, edges, strict=True)]
            parts[name].append(_contract(factors, points))
    return {name: torch.cat(p) if p else pt.new_zeros(0).double() for name, p in parts.items()}


def correlations(pt: Tensor, eta: Tensor, phi: Tensor, mask: Tensor, beta: float = 1.0) -> dict[str, Tensor]:
    """Energy correlation functions and their ratios.

    Args:
        pt: (B, T) transverse momenta in GeV.
        eta: (B, T) pseudorapidities.
        phi: (B, T) azimuths in rad.
        mask: (B, T) True where there is a particle.
        beta: Power of the distance.

    Returns:
        (B,) float64 `e2`, `e3`, `c2` and `d2`; the ratios are 0 for jets of fewer than two particles.

    Example:
        >>> pt, phi = torch.ones(1, 3), torch.zeros(1, 3)
        >>> line = correlations(pt, torch.tensor([[0.0, 0.1, 0.2]]), phi, torch.ones(1, 3).bool())
        >>> {n: round(v.item(), 6) for n, v in line.items()}
        {'e2': 0.044444, 'e3': 7.4e-05, 'c2': 0.0375, 'd2': 0.84375}
    """
    found = energy_flow(pt, eta, phi, mask, {"e2": PRIME_D3["line"], "e3": PRIME_D3["triangle"]}, beta)
    # The sums run over ordered tuples: 2 and 6 times the pairs and triples.
    e2, e3 = found["e2"] / 2, found["e3"] / 6
    safe = torch.where(e2 > 0, e2, 1.0)
    c2, d2 = (torch.where(e2 > 0, e3 / safe**power, 0.0) for power in (2, 3))
    return {"e2": e2, "e3": e3, "c2": c2, "d2": d2}


def _contract(factors: list[tuple[str, Tensor]], points: str) -> Tensor:
    """(B,) sum over all points of the product of factors, given with their points.

    Points are summed out one by one, those with the fewest neighbours first: a tree of any size never needs more than
    pairs of particles, where one sum over all points would hold every tuple of them.
    """
    left = set(points)
    while left:
        scope = {p: set("".join(s for s, _ in factors if p in s)) for p in left}
        point = min(sorted(left), key=lambda p: len(scope[p]))
        touching = [f for f in factors if point in f[0]]
        rest = "".join(sorted(scope[point] - {point}))
        equation = ",".join(f"Z{s}" for s, _ in touching) + f"->Z{rest}"
        made = torch.einsum(equation, *(t for _, t in touching))
        factors = [(rest, made), *(f for f in factors if point not in f[0])]
        left.remove(point)
    return torch.stack([t for _, t in factors]).prod(0)


def _plan(name: str, graph: Graph) -> tuple[tuple[str, ...], tuple[int, ...], str]:
    """The two points of each different edge of a graph, how often the edge occurs, and all points, as letters."""
    edges = [tuple(sorted(e)) for e in graph]
    points = sorted({p for e in edges for p in e})
    if len(points) > 26 or any(a == b for a, b in edges):
        raise ValueError(f"graph {name}: expected edges between two of at most 26 points, got {graph}")
    letter = {p: chr(ord("a") + i) for i, p in enumerate(points)}
    unique = sorted(set(edges))
    scopes = tuple(letter[a] + letter[b] for a, b in unique)
    return scopes, tuple(edges.count(e) for e in unique), "".join(letter[p] for p in points)


def _fractions(pt: Tensor, eta: Tensor, phi: Tensor, mask: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """(B, T) momentum fractions, 0 where masked, and (B, T, T) powers of distances."""
    z = torch.where(mask, pt.double(), 0.0)
    z = z / z.sum(1, keepdim=True).clamp_min(1e-30)
    eta, phi = eta.double(), phi.double()
    r2 = (eta[:, :, None] - eta[:, None]) ** 2 + wrap_phi(phi[:, :, None] - phi[:, None]) ** 2
    return z, r2 ** (beta / 2)
