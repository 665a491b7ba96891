"""Two generative transformers of one size: ours, and one on padded batches, as the field publishes them.

The size is that of OmniJet-α (Birk, Hallin, Kasieczka, arXiv 2403.05618): 3 blocks, 256 wide, 8 heads, a vocabulary of
8,192 codes with start and stop, in and out, 6.6M parameters. `Padded` states what its training and sampling do (rows
padded to 128, attention written out, the loss over all rows, all rows computed anew for each of 128 steps, without a
cache) in the plainest terms of torch. Ours has the same blocks and vocabulary; its start is the prefix token, its stop
an output of its own, and there are no positions.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from particle_transformer import LONGEST, jets
from torch import Tensor, nn

from lpm.data.batch import Batch
from lpm.model.backbone import BackboneConfig
from lpm.model.embed import Embed
from lpm.model.heads import NextTokenConfig
from lpm.model.heads.next_token import NextToken
from lpm.model.model import Model, ModelConfig
from lpm.tokens import BinnedConfig, Transform

CODES, START, STOP, PAD = 8192, 8192, 8193, 0
"""Number of codes; the words beside them. Padding is the word 0, and is learned like any other."""

FIELDS = (Transform(field="pt", form="log"), Transform(field="deta"), Transform(field="dphi"))
CONFIG = ModelConfig(
    backbone=BackboneConfig(width=256, depth=3, heads=8, mlp="gelu", registers=0),
    tokenizers={"particle": BinnedConfig(collection="particle", fields=FIELDS, bins=(32, 16, 16), product=True)},
    heads={"next": NextTokenConfig(of="particle")},
)


class PaddedBlock(nn.Module):
    """Pre-norm attention and feed-forward layer.

    Args:
        width: Of the states.
        heads: Attention heads.
        fused: PyTorch's fused attention instead of the one written out.
    """

    def __init__(self, width: int, heads: int, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """States (jets, rows, width), each row from itself and those before it."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            past = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
            logits = (q @ k.transpose(2, 3)) * q.shape[3] ** -0.5
            y = logits.masked_fill(~past, float("-inf")).softmax(3) @ v
        x = x + self.out(y.transpose(1, 2).flatten(2))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Padded(nn.Module):
    """Words to the log-odds of the next word, on padded rows."""

    def __init__(self, fused: bool = False, width: int = 256, depth: int = 3, heads: int = 8) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(CODES + 2, width), nn.Embedding(LONGEST, width)
        self.blocks = nn.Sequential(*(PaddedBlock(width, heads, fused) for _ in range(depth)))
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, CODES + 2)

    def forward(self, words: Tensor) -> Tensor:
        """Log-odds (jets, rows, words) from words (jets, rows)."""
        out: Tensor = self.last(self.norm(self.blocks(self.words(words) + self.places.weight[: words.shape[1]])))
        return out

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> list[Tensor]:
        """`count` jets, each the codes before its first stop: all rows anew at every step, 128 steps for all."""
        words = torch.full((count, 1), START)
        for _ in range(LONGEST):
            p = self(words)[:, -1].softmax(1)
            words = torch.cat([words, torch.multinomial(p, 1, generator=generator)], 1)
        return [w[1:][(w[1:] == STOP).cumsum(0) == 0] for w in words]


def padded(codes: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Words in and words asked for, (jets, 128) each: start, codes, stop, padding."""
    rows = batch.collections["particle"].with_values(codes[:, 0])
    made, _ = rows.padded(PAD)
    made = torch.cat([torch.full((len(rows), 1), START), F.pad(made, (0, LONGEST + 1 - made.shape[1]), value=PAD)], 1)
    made.scatter_(1, rows.lengths[:, None] + 1, STOP)
    return made[:, :LONGEST], made[:, 1 : LONGEST + 1]


def ours(batch: Batch) -> Model:
    """Our model, its outputs moved from zero."""
    torch.manual_seed(0)
    model = Model(CONFIG, batch.schema)
    model.tokenizer("particle").fit([batch])
    head = model.head("next")
    assert isinstance(head, NextToken)
    nn.init.normal_(head.chain.outs[0].weight, std=0.02)
    return model


def stop_like(model: Model, count: int) -> None:
    """Fit the stop, and nothing else, to drawn jets: what the model then generates has their multiplicity.

    The weights are random. Were the states to depend on the codes, the share of the prefix in the attention, which
    tells how many rows there are, would drown; so the codes' vectors are made small beside the one they have in common.
    """
    embed, head, batch = model.embeds["particle"], model.head("next"), jets(count, seed=2)
    assert isinstance(embed, Embed)
    assert isinstance(head, NextToken)
    with torch.no_grad():
        embed.table.weight *= 0.1
        nn.init.normal_(embed.kind)
        hidden = model.hidden(batch, model.encode(batch), head.view)
        x = torch.cat([hidden.before("particle"), hidden.end("particle")])
    ended = (torch.arange(len(x)) >= len(x) - count).float()
    optimiser = torch.optim.LBFGS(head.stop.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        out = F.binary_cross_entropy_with_logits(head.stop(x)[:, 0], ended)
        out = out + 1e-6 * head.stop.weight.square().sum()
        out.backward()
        return out

    optimiser.step(loss)


def parameters(model: nn.Module) -> str:
    """Number of parameters in millions."""
    return f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f}M"


def speeds(sides: dict[str, tuple[int, Callable[[], object]]], repeats: int) -> dict[str, np.ndarray]:
    """Jets a second of processor time of each side in each of its turns.

    Args:
        sides: {name: (jets of a turn, the turn)}.
        repeats: Turns of each.
    """
    found: dict[str, list[float]] = {n: [] for n in sides}
    for _ in range(repeats):
        for name, (count, turn) in sides.items():
            start = time.process_time()
            turn()
            found[name].append(count / (time.process_time() - start))
    return {n: np.array(v) for n, v in found.items()}
