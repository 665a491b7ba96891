r"""Codes of several columns, predicted one after the other.

The joint probability of the codes :math:`c_1 \dots c_K` of a token is the chain

.. math:: p(c_1 \dots c_K | h) = \prod_k p(c_k | h, c_1 \dots c_{k-1}),

so that a token of three fields with 128 bins each has the resolution of two million joint codes at the cost of 384
outputs, and correlations within a token are kept, which independent outputs would lose.

Shapes: T tokens, D width, K code columns, V vocabulary of a column.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from lpm.model.layers import zero_linear

__all__ = ["CodeChain"]


class CodeChain(nn.Module):
    """Distribution of K codes given a hidden state.

    Args:
        width: D.
        vocab: Size of each column.
    """

    def __init__(self, width: int, vocab: tuple[int, ...]) -> None:
        super().__init__()
        self.vocab = vocab
        self.tables = nn.ModuleList(_table(v, width) for v in vocab[:-1])
        self.mixes = nn.ModuleList(
            nn.Sequential(
                nn.RMSNorm(width, eps=1e-6), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
            )
            for _ in vocab[1:]
        )
        self.norms = nn.ModuleList(nn.RMSNorm(width, eps=1e-6) for _ in vocab)
        self.outs = nn.ModuleList(zero_linear(width, v) for v in vocab)

    def _logits(self, h_TD: Tensor, k: int) -> Tensor:
        if k:
            h_TD = h_TD + self.mixes[k - 1](h_TD)
        out: Tensor = self.outs[k](self.norms[k](h_TD))
        return out.float()

    def loss(self, h_TD: Float[Tensor, "T D"], codes_TK: Int[Tensor, "T K"]) -> Float[Tensor, " T"]:
        """(T,) negative log-probability in nats of the given codes."""
        total_T = h_TD.new_zeros(len(h_TD), dtype=torch.float32)
        for k in range(len(self.vocab)):
            total_T = total_T + F.cross_entropy(self._logits(h_TD, k), codes_TK[:, k], reduction="none")
            if k + 1 < len(self.vocab):
                h_TD = h_TD + self.tables[k](codes_TK[:, k])
        return total_T

    def sample(self, h_TD: Float[Tensor, "T D"], draw: Callable[[Tensor], Tensor]) -> Int[Tensor, "T K"]:
        """(T, K) codes, each column drawn by `draw` from its (T, V) logits."""
        codes = []
        for k in range(len(self.vocab)):
            codes.append(draw(self._logits(h_TD, k)))
            if k + 1 < len(self.vocab):
                h_TD = h_TD + self.tables[k](codes[-1].clamp_max(self.vocab[k] - 1))
        return torch.stack(codes, 1)


def _table(size: int, width: int) -> nn.Embedding:
    table = nn.Embedding(size, width)
    nn.init.normal_(table.weight, std=0.5)
    return table
