"""Generated and reconstructed objects with known efficiencies, scales and tags."""

from __future__ import annotations

import torch

from lpm.data.batch import Batch, Ragged
from lpm.data.matched import JET, KINDS, match

__all__ = ["matched_objects"]


def matched_objects(n: int, seed: int, scale: float = 1.0) -> Batch:
    """One object a collision, four of five found, with responses about the scale.

    Args:
        n: Collisions.
        seed: Equal seeds give equal objects.
        scale: Mean response.
    """
    g = torch.Generator().manual_seed(seed)
    kind = torch.randint(len(KINDS), (n,), generator=g).float()
    pt, eta, phi = (torch.rand(n, generator=g) for _ in range(3))
    pt, eta, phi = 20 + 80 * pt, 4 * eta - 2, 6.28 * phi - 3.14
    mass = torch.where(kind >= JET, 0.2 * pt, 0.0)
    given = torch.stack([pt, eta, phi, mass, kind], 1)
    found = torch.rand(n, generator=g) < 0.8
    d = torch.randn(n, 4, generator=g)
    tag = (torch.rand(n, generator=g) < torch.where(kind == KINDS.index("b_jet"), 0.7, 0.05)).float()
    seen = torch.stack(
        [pt * scale * (1 + 0.1 * d[:, 0]), eta + 0.005 * d[:, 1], phi + 0.005 * d[:, 2], mass * (1 + 0.1 * d[:, 3]),
         kind.clamp_max(JET), 0.1 * torch.rand(n, generator=g), tag], 1,
    )  # fmt: skip
    return match(Ragged.single(given), Ragged.from_lengths(seen[found], found.long()))
