"""Our vector-quantised tokenizer beside that of OmniJet-α, trained alike.

    python benchmarks/omnijet.py

OmniJet-α: Birk, Hallin, Kasieczka, arXiv 2403.05618. Its tokenizer is built here as its authors configure it: three
features, ln pt − 1.8, 3 Δη and 3 Δφ; encoder and decoder of four NormFormer blocks (Shleifer et al., arXiv 2110.09456)
of width 128 with 8 heads and no expansion in the feed-forward layer; codes of four dimensions; ten times the weight for
the commitment; a learning rate of 1e-3. The sizes are those of `experiment_tokenization_transformer.yaml` in the
authors' repository (uhh-pd-ml/omnijet_alpha), with 8192 codes as in the paper; the code is our own. Two things differ:
the codebook follows by moving averages (their package for it is on no index), and padding is not learned.

Both are trained for the same number of steps on the same particles; the authors trained theirs on the 100 million jets
of JetClass, for which no machine was at hand, so this compares designs and not their weights.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import torch
from record import Record, options_of
from tokenizers import split, tables, trained
from torch import Tensor, nn

from lpm.data.batch import Batch, Ragged
from lpm.recipes.jets import kinematics
from lpm.tokens import ContinuousConfig, Quantised, QuantisedConfig, Tokenizer, Transform

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

    def forward(self, x: Tensor, offsets: Tensor, longest: int) -> Tensor:
        """Rows to rows, event by event; `longest`, which lpm's own needs, is asked of the offsets here."""
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


def main() -> None:
    """Train both, measure and record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--data", default="sample:jets")
    parser.add_argument("--codes", type=int, default=8_192, help="size of the codebooks")
    parser.add_argument("--steps", type=int, default=150, help="training steps")
    parser.add_argument("--budget", type=int, default=4_096, help="particles in a training batch")
    parser.add_argument("--most", type=int, default=0, help="use only the first jets; 0 for all")
    o = parser.parse_args()
    if o.quick:
        o.steps, o.most, o.codes = 2, 200, 64
    record = Record(o, "Our vector-quantised tokenizer beside the published configuration of OmniJet-α, trained alike.")
    train, test = split(record, o)
    made: dict[str, Tokenizer] = {}
    seconds = {}
    for name, lr in (("ours", 2e-3), ("OmniJet-α", 1e-3)):
        torch.manual_seed(0)
        seen = ContinuousConfig(collection="particle", fields=kinematics())
        start = QuantisedConfig(seen=seen, codes=o.codes).build() if name == "ours" else OmniJetTokenizer(o.codes)
        begun = time.process_time()
        made[name] = trained(start, train, o, lr)
        seconds[name] = time.process_time() - begun
    record.tables = tables(made, test)
    sizes = {n: sum(p.numel() for p in t.parameters()) for n, t in made.items()}
    told = ", ".join(f"{n} {sizes[n]:,} weights and {seconds[n]:,.0f} processor seconds" for n in made)
    record.notes = [f"{o.codes:,} codes, {o.steps} steps of {o.budget:,} particles on {len(train):,} jets: {told}."]
    record.save()


if __name__ == "__main__":
    main()
