r"""Rows that hear of their pairs: a network of edges whose mean over all partners is added to each row.

A bias of attention (`lpm.model.pairs`) decides whom a row looks at; what it then sees are the partners by themselves,
whatever the pair is like. Here the pair has a say: with terms :math:`u_{ij}` of the pair (distance, mass, …),

.. math:: x_i' = x_i + W\, \frac{1}{n-1} \sum_{j \ne i} h\big(A \hat x_i + B \hat x_j + C u_{ij}\big)

where h are GELUs with linear layers between them, and the hat is a norm. This is an edge convolution (Wang et al.,
arXiv 1801.07829; ParticleNet, arXiv 1902.08570) over all pairs, without batch norms, so that events stay independent;
terms are standardised by numbers found once in the data, as features are by their tokenizer.

Shapes: G events of one length group, L its longest, S packed positions, D width, K terms of a pair, E width of edges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lpm.model.attention import Plan
from lpm.model.layers import from_places, to_places, zero_linear

__all__ = ["Edges", "EdgesConfig"]


@dataclass(frozen=True, kw_only=True)
class EdgesConfig:
    """Size of the network of edges.

    Args:
        width: E.
        layers: Linear layers of an edge, the first one included.

    Raises:
        ValueError: If either is less than one.
    """

    width: int = 64
    layers: int = 3

    def __post_init__(self) -> None:
        if self.width < 1 or self.layers < 1:
            raise ValueError(f"expected edges of width and layers of at least 1, got {self.width} and {self.layers}")


class Edges(nn.Module):
    """The network of edges; its last layer starts at zero, so that added to a trained body it changes nothing at first.

    Args:
        config: Its size.
        width: D.
        terms: K.
    """

    def __init__(self, config: EdgesConfig, width: int, terms: int) -> None:
        super().__init__()
        e = config.width
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(terms))
        self.register_buffer("std", torch.ones(terms))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.own, self.other = nn.Linear(width, e), nn.Linear(width, e, bias=False)
        self.pair = nn.Linear(terms, e, bias=False)
        self.layers = nn.ModuleList(nn.Linear(e, e) for _ in range(config.layers - 1))
        self.out = zero_linear(e, width)

    @torch.no_grad()
    def fit(self, terms: Iterable[Float[Tensor, "_ K"]]) -> Edges:
        """Learn how to standardise terms from those of many pairs, given in any number of portions.

        Args:
            terms: (P, K) terms of pairs of different rows.
        """
        count, total = 0, torch.zeros_like(self.mean, dtype=torch.float64)
        square = torch.zeros_like(total)
        for part_PK in terms:
            part_PK = part_PK.double()
            count, total = count + len(part_PK), total + part_PK.sum(0)
            square = square + part_PK.square().sum(0)
        if count:
            mean = total / count
            self.mean.copy_(mean)
            self.std.copy_((square / count - mean**2).clamp_min(0).sqrt())
            self.std[self.std < 1e-6] = 1.0  # a term that is the same for all pairs
        return self

    def heard(
        self, x_GLD: Float[Tensor, "G L D"], terms_GLLK: Float[Tensor, "G L L K"], real_GL: Bool[Tensor, "G L"]
    ) -> Float[Tensor, "G L D"]:
        """What is added to each row of padded events; zero where there is none.

        Args:
            x_GLD: The rows.
            terms_GLLK: Terms of all pairs; anything finite where one of the two is not real.
            real_GL: True where a row exists and may be seen.
        """
        z_GLD, u_GLLK = self.norm(x_GLD), (terms_GLLK - self.mean) / self.std
        h_GLLE = F.gelu(self.own(z_GLD)[:, :, None] + self.other(z_GLD)[:, None] + self.pair(u_GLLK))
        for layer in self.layers:
            h_GLLE = F.gelu(layer(h_GLLE))
        itself_LL = torch.eye(x_GLD.shape[1], dtype=torch.bool, device=x_GLD.device)
        weight_GLL = (real_GL[:, :, None] & real_GL[:, None] & ~itself_LL).to(h_GLLE.dtype)
        weight_GLL = weight_GLL / weight_GLL.sum(2, keepdim=True).clamp_min(1)
        # As a product of matrices: no tensor of the size of all edges is made for the mean.
        mean_GLE = (weight_GLL[:, :, None] @ h_GLLE).squeeze(2)
        out: Tensor = self.out(mean_GLE) * real_GL[..., None]
        return out

    def forward(
        self,
        x_SD: Float[Tensor, "S D"],
        terms: Callable[[Tensor], Tensor],
        real_S: Bool[Tensor, " S"],
        plan: Plan,
    ) -> Float[Tensor, "S D"]:
        """The packed rows with what they hear added.

        Args:
            x_SD: The rows.
            terms: From the positions (G, L) of a group to its terms (G, L, L, K).
            real_S: True where a position is a row that may be seen.
            plan: A plan with groups.
        """
        if not plan.groups:  # no events
            return x_SD
        assert plan.places is not None
        groups = [part for g in plan.groups for part in g.parts()]
        sizes = [g.valid.numel() for g in groups]
        padded = torch.split(to_places(x_SD, plan.places, sum(sizes)), sizes)
        parts = [
            self.heard(x.view(*g.valid.shape, -1), terms(g.index), real_S[g.index] & g.valid).flatten(0, 1)
            for g, x in zip(groups, padded, strict=True)
        ]
        return x_SD + from_places(torch.cat(parts), plan.places).to(x_SD.dtype)
