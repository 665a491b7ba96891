"""The tokenizer of OmniJet-α (Birk, Hallin, Kasieczka, arXiv 2403.05618), built as its authors configure it.

Three features, ln pt − 1.8, 3 Δη and 3 Δφ; encoder and decoder of four NormFormer blocks (Shleifer et al.,
arXiv 2110.09456) of width 128 with 8 heads and no expansion in the feed-forward layer; codes of four dimensions; ten
times the weight for the commitment. The sizes are those of `experiment_tokenization_transformer.yaml` in the authors'
repository (uhh-pd-ml/omnijet_alpha), with 8192 codes as in the paper; the code here is our own. Two things differ: the
codebook follows by moving averages (their package for it is not on any index), and padding is not learned.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lpm.data.batch import Batch, Ragged
from lpm.tokens import ContinuousConfig, Quantised, QuantisedConfig, Transform

__all__ = ["OmniJetTokenizer"]

WIDTH, DEPTH, HEADS, DROPOUT = 128, 4, 8, 0.1


class OmniJetTokenizer(Quantised):
    """Learned codes in the published configuration.

    Args:
        codes: Size of the codebook.
    """

    def __init__(self, codes: int = 8192) -> None:
        fields = (Transform(field="pt", form="log"), Transform(field="deta"), Transform(field="dphi"))
        seen = ContinuousConfig(collection="particle", fields=fields)
        super().__init__(QuantisedConfig(seen=seen, codes=codes, latent=4, commitment=9.0))
        self.encoder, self.decoder = _Stack(3, 4), _Stack(4, 3)

    def fit(self, batches: Iterable[Batch]) -> OmniJetTokenizer:
        """The published constants, and the codes among the first events' latents."""
        self.seen.mean.copy_(torch.tensor([1.8, 0.0, 0.0]))
        self.seen.std.copy_(torch.tensor([1.0, 1 / 3, 1 / 3]))
        with torch.no_grad():
            self.train().loss(next(iter(batches)))
        return self


class _Stack(nn.Module):
    """A projection, the blocks, and a projection."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(inputs, WIDTH), nn.Linear(WIDTH, outputs)
        self.blocks = nn.ModuleList(_NormFormer() for _ in range(DEPTH))

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        padded, mask = Ragged(self.first(x), offsets).padded()
        for block in self.blocks:
            padded = block(padded, mask)
        out: Tensor = self.last(padded[mask])
        return out


class _NormFormer(nn.Module):
    """Attention between two norms and a feed-forward layer behind one; at first, it changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after, self.inner = (nn.LayerNorm(WIDTH) for _ in range(3))
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, dropout=DROPOUT, batch_first=True)
        self.up, self.down, self.drop = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Dropout(DROPOUT)
        for zero in (self.before.weight, self.down.weight, self.down.bias):
            nn.init.zeros_(zero)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        u = self.before(x)
        y, _ = self.attention(u, u, u, key_padding_mask=~mask, need_weights=False)
        x = x + self.after(y)
        out: Tensor = x + self.down(self.drop(nn.functional.silu(self.up(self.inner(x)))))
        return out
