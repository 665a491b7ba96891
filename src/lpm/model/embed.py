"""Tokens to vectors of the backbone's width.

Shapes: T tokens of one collection, F features, K code columns, D width, B events, P prefix tokens, W waves.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lpm.tokens import Tokens

__all__ = ["Condition", "Embed", "Time"]

RANKS = 512
"""Ranks told apart for hidden tokens; later ones share the last."""

WAVES = 16
"""Half waves over the time of a flow, from one to this many: enough to tell a hundred steps apart."""


class Embed(nn.Module):
    """Embedding of one collection.

    Continuous features pass a two-layer network; without features, the vectors of the codes of all columns are added.
    A hidden token keeps only its rank in the event, so that its content can be asked for.

    Args:
        width: D.
        features: F, or 0.
        vocab: Size of each code column; used if there are no features.
        known: Number of features that are known of a row before it is generated.
        places: Number of fixed places at which rows lie; 0 for sets.
    """

    def __init__(self, width: int, features: int, vocab: tuple[int, ...], *, known: int = 0, places: int = 0) -> None:
        super().__init__()
        self.continuous = features > 0
        if self.continuous:
            self.net = nn.Sequential(nn.Linear(features, width), nn.GELU(), nn.Linear(width, width))
        else:
            self.table = nn.Embedding(sum(vocab), width)
            starts = torch.tensor([0, *vocab[:-1]]).cumsum(0)
            self.register_buffer("starts", starts, persistent=False)
            nn.init.normal_(self.table.weight, std=len(vocab) ** -0.5)
        self.rank = nn.Embedding(RANKS, width)
        self.kind = nn.Parameter(torch.zeros(width))
        nn.init.normal_(self.rank.weight, std=0.5)
        self.known = nn.Sequential(nn.Linear(known, width), nn.GELU(), nn.Linear(width, width)) if known else None
        self.place = nn.Embedding(places, width) if places else None
        if self.place is not None:
            nn.init.normal_(self.place.weight, std=0.5)

    def content(self, features: Float[Tensor, "T F"] | None, codes: Int[Tensor, "T K"] | None) -> Float[Tensor, "T D"]:
        """(T, D) vectors of visible tokens."""
        if self.continuous:
            x_TD: Tensor = self.net(features)
        else:
            assert codes is not None
            assert isinstance(self.starts, Tensor)
            x_TD = self.table(codes + self.starts).sum(1)
        return x_TD + self.kind

    def forward(self, tokens: Tokens) -> Float[Tensor, "T D"]:
        """(T, D) vectors of all tokens."""
        x_TD = self.content(tokens.features, tokens.codes)
        if self.known is not None:
            x_TD = x_TD + self.known(tokens.known)
        if self.place is not None:
            x_TD = x_TD + self.place(tokens.place)
        if tokens.hidden is None:
            return x_TD
        rank_TD = self.rank(tokens.ragged.position.clamp_max(RANKS - 1)) + self.kind
        return torch.where(tokens.hidden[:, None], rank_TD, x_TD)


class Condition(nn.Module):
    """Vector of a class to generate, added to the event token. Index 0 stands for «not said».

    Args:
        width: D.
        classes: Number of classes.
        drop: Probability, in training, that the class is not said, so that the model also generates without one.
    """

    def __init__(self, width: int, classes: int, drop: float) -> None:
        super().__init__()
        self.table, self.drop = nn.Embedding(classes + 1, width), drop
        nn.init.normal_(self.table.weight, std=0.5)

    def forward(self, classes_B: Float[Tensor, " B"]) -> Float[Tensor, "B D"]:
        """(B, D) vectors of class indices, NaN or negative where not known."""
        index_B = torch.where(classes_B.isfinite() & (classes_B >= 0), classes_B + 1, 0).long()
        if self.training and self.drop:
            index_B = torch.where(torch.rand(index_B.shape, device=index_B.device) < self.drop, 0, index_B)
        out: Tensor = self.table(index_B)
        return out


class Time(nn.Module):
    """Vector of the time of a flow, 0 at noise and 1 at data, added to the rows that it moves.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2 * WAVES, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, time_B: Float[Tensor, " B"]) -> Float[Tensor, "B D"]:
        """(B, D) vectors of times between 0 and 1."""
        angle_BW = time_B[:, None] * torch.arange(1, WAVES + 1, device=time_B.device) * math.pi
        out: Tensor = self.net(torch.cat([angle_BW.cos(), angle_BW.sin()], 1))
        return out
