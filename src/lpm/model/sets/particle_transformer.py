"""The Particle Transformer, without padding (Qu, Li, Qian, arXiv 2202.03772).

Particles, embedded by a network behind a batch norm, pass blocks of attention biased by their pairwise interactions;
then a class token asks them what the jet is, in blocks of class attention (Touvron et al., arXiv 2103.17239). The
blocks are those of NormFormer (Shleifer et al., arXiv 2110.09456): norms before and behind attention and inside the
feed-forward layer, learned factors of heads and of the residual path.

With equal weights it gives the answers of `weaver` (see `lpm.model.sets.weaver`), but next to nothing is computed for
padding: events are sorted by length and taken in buckets, rows are packed, and only the squares of attention are
padded, to the longest event of the bucket. Batch norms see real particles only; that of the features counts, in the
training of `weaver`, the zeros of the padding among the particles.

Shapes: T particles, F features, D width, B events, H heads, E head width; G, L and R of a bucket as in `buckets`; L
rows of the longest of padded events.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lpm.model.layers import Dropout
from lpm.model.pair_terms import PairTermsConfig
from lpm.model.sets.base import SetBackbone, SetConfig, SetPlan
from lpm.model.sets.buckets import Bucket, ByLength
from lpm.model.sets.interactions import Interactions, Pairs, RowNorm, describe, kinematics, squares

__all__ = ["ParticleTransformer", "ParticleTransformerConfig"]


@dataclass(frozen=True, kw_only=True)
class ParticleTransformerConfig(SetConfig):
    """Size of a Particle Transformer, and where it finds the four-momenta. The defaults are the published ones.

    Args:
        width: Width of the hidden states; a multiple of `heads`.
        embed: Widths of the hidden layers of the embedding.
        pairs: Widths of the hidden layers of the network of interactions.
        heads: Attention heads.
        depth: Blocks of particles.
        class_depth: Blocks of the class token.
        dropout: Probability of dropping an attention weight, an activation, or an entry of a block's two outputs. The
            blocks of the class token drop nothing.
        physics: What a pair of particles is described by.

    Raises:
        ValueError: If the heads do not divide the width, or a pair is described by nothing.
    """

    width: int = 128
    embed: tuple[int, ...] = (128, 512)
    pairs: tuple[int, ...] = (64, 64, 64)
    heads: int = 8
    depth: int = 8
    class_depth: int = 2
    dropout: float = 0.1
    physics: PairTermsConfig = field(default_factory=PairTermsConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}; choose one that is")
        if not self.physics.terms:
            raise ValueError("a Particle Transformer needs terms of pairs, got none; take the plain body for no pairs")

    @property
    def size(self) -> int:
        """D."""
        return self.width

    @property
    def category(self) -> str | None:
        """As the couplings need it."""
        return self.physics.species

    def tiny(self) -> ParticleTransformerConfig:
        """The same parts at a size for tests."""
        return replace(self, width=16, embed=(16, 32), pairs=(8, 8, 8), heads=4, depth=2, class_depth=1)

    def make(self, features: int) -> ParticleTransformer:
        """The backbone for rows of so many features."""
        return ParticleTransformer(self, features)


class _Weights(nn.Module):
    """What both kinds of blocks hold, and what they do row by row."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.drop = heads, Dropout(dropout)
        self.norm_in, self.norm_out, self.norm_up = (nn.LayerNorm(width) for _ in range(3))
        self.norm_down = nn.LayerNorm(4 * width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.head_scale, self.skip_scale = nn.Parameter(torch.ones(heads)), nn.Parameter(torch.ones(width))

    def _rest(self, x: Tensor, y: Tensor) -> Tensor:
        """All that follows attention, row by row."""
        scale = self.head_scale.repeat_interleave(x.shape[1] // self.heads)
        y = F.linear(y, self.out.weight * scale[:, None], self.out.bias * scale)
        x = x + self.drop(self.norm_out(y))
        y = self.norm_down(self.drop(F.gelu(self.up(self.norm_up(x)))))
        return torch.addcmul(self.drop(self.down(y)).to(x.dtype), x, self.skip_scale)


class Block(_Weights):
    """Attention and a feed-forward layer, each between two norms and beside a residual path."""

    def forward(
        self, x_RD: Float[Tensor, "R D"], bucket: Bucket, bias_HGLL: Float[Tensor, "H G L L"]
    ) -> Float[Tensor, "R D"]:
        """Hidden states of the particles of one bucket."""
        heads, size, longest = bias_HGLL.shape[:3]
        qkv_GL3HE = bucket.pad(self.qkv(self.norm_in(x_RD))).view(size, longest, 3, heads, -1)
        if self.training or torch.is_grad_enabled():
            # The fused kernel of the CPU neither drops weights nor gives the bias a gradient.
            q, k, v = qkv_GL3HE.permute(2, 3, 0, 1, 4).flatten(1, 2)
            logits = torch.baddbmm(bias_HGLL.flatten(0, 1), q, k.mT, alpha=q.shape[-1] ** -0.5)
            y_GLHE = torch.bmm(self.drop(logits.softmax(-1)), v).view(heads, size, longest, -1).permute(1, 2, 0, 3)
        else:
            q, k, v = qkv_GL3HE.permute(2, 0, 3, 1, 4)
            y_GLHE = F.scaled_dot_product_attention(q, k, v, attn_mask=bias_HGLL.transpose(0, 1)).transpose(1, 2)
        return self._rest(x_RD, bucket.unpad(y_GLHE.flatten(2)))

    def padded(self, x_BLD: Float[Tensor, "B L D"], bias_BHLL: Float[Tensor, "B H L L"]) -> Float[Tensor, "B L D"]:
        """The same of padded events, in evaluation."""
        rows = x_BLD.flatten(0, 1)
        q, k, v = self.qkv(self.norm_in(x_BLD)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y_BLHE = F.scaled_dot_product_attention(q, k, v, attn_mask=bias_BHLL).transpose(1, 2)
        return self._rest(rows, y_BLHE.flatten(2).flatten(0, 1)).view_as(x_BLD)


class ClassBlock(_Weights):
    """A block in which class tokens look at themselves and at the particles of their event, which stay as they are.

    With one query an event, keys and values need not be made: q · (W u) = (Wᵀ q) · u, and a sum of values is the value
    of a sum. The bias of the keys is the same for all and falls out of the softmax.
    """

    def forward(
        self, token_GD: Float[Tensor, "G D"], bucket: Bucket, x_RD: Float[Tensor, "R D"]
    ) -> Float[Tensor, "G D"]:
        """States of the class tokens."""
        return self.look(token_GD, bucket.pad(self.norm_in(x_RD)), ~bucket.valid)

    def look(
        self, token_GD: Float[Tensor, "G D"], rows_GLD: Float[Tensor, "G L D"], padding_GL: Bool[Tensor, "G L"]
    ) -> Float[Tensor, "G D"]:
        """States of the class tokens that see themselves and padded particles behind their norm."""
        u_GLD = torch.cat([self.norm_in(token_GD)[:, None], rows_GLD], 1)
        _, _, wv = self.qkv.weight.view(3, self.heads, -1, u_GLD.shape[2])
        bv = self.qkv.bias.view(3, self.heads, -1)[2]
        y_GHE = torch.einsum("ghd,hed->ghe", self.weights(token_GD, u_GLD, padding_GL) @ u_GLD, wv) + bv
        return self._rest(token_GD, y_GHE.flatten(1))

    def weights(
        self, token_GD: Float[Tensor, "G D"], u_GLD: Float[Tensor, "G _ D"], padding_GL: Bool[Tensor, "G L"]
    ) -> Float[Tensor, "G H _"]:
        """How much each class token looks at itself, first, and at each particle: adds up to 1."""
        wq, wk, _ = self.qkv.weight.view(3, self.heads, -1, u_GLD.shape[2])
        q_GHE = torch.einsum("gd,hed->ghe", token_GD, wq) + self.qkv.bias.view(3, self.heads, -1)[0]
        q_GHD = torch.einsum("ghe,hed->ghd", q_GHE, wk) * wk.shape[1] ** -0.5
        hidden_GL = F.pad(padding_GL, (1, 0))
        seen_GHL: Tensor = (q_GHD @ u_GLD.mT).masked_fill(hidden_GL[:, None], float("-inf")).softmax(-1)
        return seen_GHL


@dataclass(frozen=True, eq=False)
class Grouped(SetPlan):
    """Events in buckets, and the pairs of each.

    Args:
        events: The buckets.
        pairs: Of each of them.
    """

    events: ByLength
    pairs: tuple[Pairs, ...]


class ParticleTransformer(SetBackbone):
    """Features and four-momenta in, hidden states of particles and of events out.

    Args:
        config: Its size.
        features: F.
    """

    config: ParticleTransformerConfig

    def __init__(self, config: ParticleTransformerConfig, features: int) -> None:
        super().__init__()
        c, self.config = config, config
        sizes = (features, *c.embed, c.width)
        self.norm_features = RowNorm(features)
        self.embed = nn.Sequential()
        for i, o in pairwise(sizes):
            self.embed.extend([nn.LayerNorm(i), nn.Linear(i, o), nn.GELU()])
        self.interactions = Interactions(c.pairs, c.heads, len(c.physics.terms))
        self.blocks = nn.ModuleList(Block(c.width, c.heads, c.dropout) for _ in range(c.depth))
        self.class_blocks = nn.ModuleList(ClassBlock(c.width, c.heads, 0.0) for _ in range(c.class_depth))
        self.norm = nn.LayerNorm(c.width)
        self._start()

    def _start(self) -> None:
        """Weights as published: uniform after Glorot, outputs into the residual path smaller layer by layer."""
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Linear) and not name.startswith("interactions"):
                nn.init.xavier_uniform_(layer.weight, gain=2**0.5 if name.endswith("qkv") else 1.0)
                nn.init.zeros_(layer.bias)
        with torch.no_grad():
            for i, block in enumerate(self.blocks, start=1):
                assert isinstance(block, Block)
                block.out.weight /= (2 * i) ** 0.5
                block.down.weight /= (2 * i) ** 0.5

    def plan(self, offsets: Int[Tensor, " starts"], device: torch.device) -> Grouped:
        """Buckets of similar length, and their pairs."""
        here = ByLength.of(offsets, device=device)
        there = here.to(device)
        counts = [int((b.lengths * (b.lengths + 1) // 2).sum()) for b in here.buckets]
        return Grouped(there, tuple(map(Pairs.of, there.buckets, counts)))

    def forward(
        self,
        features_TF: Float[Tensor, "T F"],
        momenta_T4: Float[Tensor, "T 4"],
        offsets: Int[Tensor, " starts"],
        token_1D: Float[Tensor, "1 D"],
        species_T: Int[Tensor, " T"] | None = None,
        plan: SetPlan | None = None,
    ) -> tuple[Float[Tensor, "T D"], Float[Tensor, "B D"]]:
        """Hidden states (T, D) of the particles, and (B, D) of the class token of each event after the last norm."""
        plan = plan or self.plan(offsets.cpu(), features_TF.device)
        assert isinstance(plan, Grouped)
        sorted_ = plan.events
        x_TD = self.embed(self.norm_features(features_TF[sorted_.rows]))
        p_7T, counts = kinematics(momenta_T4[sorted_.rows]), sorted_.counts
        kinds = torch.split(species_T[sorted_.rows], counts) if species_T is not None else [None] * len(counts)
        parts = zip(torch.split(p_7T, counts, 1), kinds, plan.pairs, strict=True)
        terms = (_terms(p, kind, pairs, self.config.physics) for p, kind, pairs in parts)
        bodies, events = [], []
        for x_RD, bucket, pairs, y_PH in zip(
            torch.split(x_TD, counts), sorted_.buckets, plan.pairs, self.interactions(terms), strict=True
        ):
            bias_HGLL = squares(y_PH, bucket, pairs) if bucket.longest else None
            x_RD, event_GD = self._bucket(x_RD, bucket, bias_HGLL, token_1D)
            bodies.append(x_RD)
            events.append(event_GD)
        return torch.cat(bodies)[sorted_.rows.argsort()], torch.cat(events)[sorted_.events.argsort()]

    def padded(
        self,
        features_BLF: Float[Tensor, "B L F"],
        momenta_BL4: Float[Tensor, "B L 4"],
        valid_BL: Bool[Tensor, "B L"],
        token_1D: Float[Tensor, "1 D"],
        species_BL: Int[Tensor, "B L"] | None = None,
    ) -> Float[Tensor, "B D"]:
        """See `SetBackbone.padded`."""
        size = valid_BL.shape
        x_BLD = self.embed(self.norm_features(features_BLF.flatten(0, 1))).view(*size, -1)
        p_7BL = kinematics(momenta_BL4.flatten(0, 1)).view(-1, *size)
        a_7P, b_7P = (p.expand(-1, -1, size[1], size[1]).flatten(1) for p in (p_7BL[..., None], p_7BL[:, :, None]))
        kinds: tuple[Tensor | None, Tensor | None] = (None, None)
        if species_BL is not None:
            square = (*size, size[1])
            kinds = species_BL[..., None].expand(square).flatten(), species_BL[:, None].expand(square).flatten()
        terms_KBLL = describe(a_7P, b_7P, self.config.physics, *kinds).view(-1, *size, size[1])
        # An event without particles looks somewhere, and at nothing.
        seen_BL = valid_BL | (torch.arange(size[1], device=valid_BL.device) == 0)
        bias_BHLL = self.interactions.padded(terms_KBLL).masked_fill(~seen_BL[:, None, None], float("-inf"))
        for block in self.blocks:
            assert isinstance(block, Block)
            x_BLD = block.padded(x_BLD, bias_BHLL)
        token_BD = token_1D.expand(size[0], -1)
        for block in self.class_blocks:
            assert isinstance(block, ClassBlock)
            token_BD = block.look(token_BD, block.norm_in(x_BLD), ~valid_BL)
        out: Tensor = self.norm(token_BD)
        return out

    def _bucket(
        self, x_RD: Tensor, bucket: Bucket, bias_HGLL: Tensor | None, token_1D: Tensor
    ) -> tuple[Tensor, Tensor]:
        if bias_HGLL is not None:
            for block in self.blocks:
                x_RD = block(x_RD, bucket, bias_HGLL)
        token_GD = token_1D.expand(len(bucket.lengths), -1)
        for block in self.class_blocks:
            token_GD = block(token_GD, bucket, x_RD)
        return x_RD, self.norm(token_GD)


def _terms(p_7R: Tensor, kind_R: Tensor | None, pairs: Pairs, physics: PairTermsConfig) -> Tensor:
    """(K, P) terms of the pairs of a bucket."""
    kinds = (None, None) if kind_R is None else (kind_R[pairs.a], kind_R[pairs.b])
    return describe(p_7R[:, pairs.a], p_7R[:, pairs.b], physics, *kinds)
