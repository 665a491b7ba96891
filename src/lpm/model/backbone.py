"""One transformer over sets and sequences: embedded tokens in, hidden states out.

Pre-norm blocks with RMSNorm, QK-norm and SwiGLU (or GELU), on packed sequences. No positional encoding: rows are a set,
and in a causal view the order shows itself.

Shapes: S packed positions, D width, H heads, E head width, A rows already in the cache; B events padded to L positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lpm.model.attention import Plan, attend

__all__ = ["Backbone", "BackboneConfig", "Cache"]

ROWS = 2048
"""Rows that pass the feed-forward layer together on the CPU, where nothing is kept for gradients."""


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Size of the transformer.

    Args:
        width: Width of the hidden states; a multiple of `heads`.
        depth: Number of blocks.
        heads: Attention heads.
        mlp: `swiglu` or `gelu`.
        registers: Prefix tokens beside the event token, scratch space of the model.
        dropout: Probability of dropping an entry of each block's two outputs.

    Raises:
        ValueError: If the heads do not divide the width.
    """

    width: int = 128
    depth: int = 4
    heads: int = 4
    mlp: Literal["swiglu", "gelu"] = "swiglu"
    registers: int = 1
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}; choose one that is")

    @classmethod
    def sized(cls, size: int) -> BackboneConfig:
        """The one dial: `size` blocks of width 32 × `size`, heads of width 32.

        Example:
            >>> BackboneConfig.sized(4)
            BackboneConfig(width=128, depth=4, heads=4, mlp='swiglu', registers=1, dropout=0.0)
        """
        return cls(width=32 * size, depth=size, heads=size)

    @property
    def hidden(self) -> int:
        """Width inside the feed-forward layer: 4 D, or 8/3 D for SwiGLU, which has three matrices instead of two."""
        return 4 * self.width if self.mlp == "gelu" else 32 * round(self.width * 8 / 3 / 32)


class Cache:
    """Keys and values of the positions seen so far, of events that grow in step.

    Room is made as it is needed, by half as much again, and only what is used is ever moved: memory traffic, not
    arithmetic, is what sampling costs.

    Args:
        config: The backbone's.
        events: Number of events.
        like: A tensor of the device and type to use.
    """

    def __init__(self, config: BackboneConfig, events: int, like: Tensor) -> None:
        shape = (config.depth, 2, events, config.heads, 16, config.width // config.heads)
        self.kv, self.length = like.new_empty(shape), 0

    def of(self, events: Tensor) -> Cache:
        """A cache of the events at the given int64 places, of which one may be named many times."""
        out = copy(self)
        out._move(self.kv[:, :, events, :, : self.length], self.kv.shape[4])
        return out

    def keep(self, events: Tensor) -> None:
        """Drop all events but those at the given int64 places."""
        self._move(self.kv[:, :, events, :, : self.length], self.kv.shape[4])

    def extend(self) -> None:
        """Room for one more position, which is to be written."""
        if self.length == self.kv.shape[4]:
            self._move(self.kv, self.length * 3 // 2)
        self.length += 1

    def _move(self, used: Tensor, capacity: int) -> None:
        self.kv = used.new_empty((*used.shape[:4], capacity, used.shape[5]))
        self.kv[:, :, :, :, : used.shape[4]] = used


class Block(nn.Module):
    """Attention and a feed-forward layer, each behind a norm and beside a residual path."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        c, self.config = config, config
        self.norm1, self.norm2 = nn.RMSNorm(c.width, eps=1e-6), nn.RMSNorm(c.width, eps=1e-6)
        self.qkv, self.out = nn.Linear(c.width, 3 * c.width, bias=False), nn.Linear(c.width, c.width, bias=False)
        self.norm_q, self.norm_k = (nn.RMSNorm(c.width // c.heads, eps=1e-6) for _ in range(2))
        inner = c.hidden * (2 if c.mlp == "swiglu" else 1)
        self.up, self.down = nn.Linear(c.width, inner, bias=False), nn.Linear(c.hidden, c.width, bias=False)
        self.drop = nn.Dropout(c.dropout)

    def _qkv(self, x_SD: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x_SD)).unflatten(-1, (3, self.config.heads, -1)).unbind(-3)
        # Norms in single precision; under autocast all three go on in half, which the packed kernel of CUDA needs.
        kind = torch.promote_types(v.dtype, torch.float32)
        return torch.stack([self.norm_q(q.to(kind)).to(v.dtype), self.norm_k(k.to(kind)).to(v.dtype), v], -3)

    def _mlp(self, x_SD: Tensor) -> Tensor:
        y = self.up(self.norm2(x_SD))
        if self.config.mlp == "gelu":
            y = F.gelu(y)
        else:
            gate, value = y.chunk(2, -1)
            y = F.silu(gate) * value
        out: Tensor = self.down(y)
        return out

    def forward(
        self,
        x_SD: Float[Tensor, "S D"],
        plan: Plan,
        causal: bool,
        bias: list[Float[Tensor, "_ H _ _"]] | None = None,
    ) -> Float[Tensor, "S D"]:
        """Hidden states (S, D) of a packed batch."""
        y_SHE = attend(self._qkv(x_SD), plan, causal, bias)
        x_SD = x_SD + self.drop(self.out(y_SHE.flatten(1)))
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or x_SD.device.type != "cpu":
            out: Tensor = x_SD + self.drop(self._mlp(x_SD))
            return out
        # What lies between the two matrices is several times as wide: a few rows at a time it stays in a cache.
        return torch.cat([x_RD + self._mlp(x_RD) for x_RD in torch.split(x_SD, ROWS)])

    def padded(self, x_BLD: Float[Tensor, "B L D"], mask: Float[Tensor, "B _ _ L"]) -> Float[Tensor, "B L D"]:
        """As `forward` for padded events; `mask` is added to the attention logits, minus infinity at padding."""
        q, k, v = self._qkv(x_BLD).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
        x_BLD = x_BLD + self.out(y)
        return x_BLD + self._mlp(x_BLD)

    def step(
        self,
        x_BD: Float[Tensor, "B D"],
        kv: Sequence[Float[Tensor, "2 _ H _ E"]],
        biases: Sequence[Float[Tensor, "_ H _"] | None],
    ) -> Float[Tensor, "B D"]:
        """Hidden state (B, D) of one more position of each event; its key and value become the last of each cache."""
        out = []
        sizes = [p.shape[1] for p in kv]
        for qkv, part, bias in zip(self._qkv(x_BD).split_with_sizes(sizes), kv, biases, strict=True):
            q, k, v = qkv.unbind(-3)
            part[0, :, :, -1], part[1, :, :, -1] = k, v
            mask = None if bias is None else bias[:, :, None]
            out.append(F.scaled_dot_product_attention(q[:, :, None], part[0], part[1], attn_mask=mask).flatten(1))
        x_BD = x_BD + self.out(torch.cat(out))
        return x_BD + self._mlp(x_BD)

    def step_at(
        self,
        x_BD: Float[Tensor, "B D"],
        kv: Float[Tensor, "2 B H A E"],
        slot_B: Int[Tensor, " B"],
        at_B: Int[Tensor, " B"],
        seen: Bool[Tensor, "B 1 1 A"],
    ) -> Float[Tensor, "B D"]:
        """As `step`, with all events in one cache of fixed shape.

        Args:
            x_BD: One more position of each event.
            kv: The cache, to which its keys and values are written.
            slot_B: 0 to B - 1.
            at_B: Where.
            seen: What each may look at, itself included.
        """
        q, k, v = self._qkv(x_BD).unbind(-3)
        kv[0, slot_B, :, at_B], kv[1, slot_B, :, at_B] = k, v
        y = F.scaled_dot_product_attention(q[:, :, None], kv[0], kv[1], attn_mask=seen)
        x_BD = x_BD + self.out(y.flatten(1))
        return x_BD + self._mlp(x_BD)


class Backbone(nn.Module):
    """The blocks and a last norm."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.RMSNorm(config.width, eps=1e-6)
        for name, p in self.named_parameters():
            if p.ndim == 2:
                # Outputs into the residual path are scaled down, so that its variance does not grow with depth
                # (Radford et al. 2019).
                scale = (2 * config.depth) ** -0.5 if name.endswith(("out.weight", "down.weight")) else 1.0
                nn.init.normal_(p, std=scale * p.shape[1] ** -0.5)

    def forward(
        self,
        x_SD: Float[Tensor, "S D"],
        plan: Plan,
        causal: bool,
        bias: list[Float[Tensor, "_ H _ _"]] | None = None,
    ) -> Float[Tensor, "S D"]:
        """Hidden states (S, D) of embedded tokens (S, D)."""
        for block in self.blocks:
            x_SD = block(x_SD, plan, causal, bias)
        out: Tensor = self.norm(x_SD)
        return out

    def padded(self, x_BLD: Float[Tensor, "B L D"], mask: Float[Tensor, "B _ _ L"]) -> Float[Tensor, "B L D"]:
        """As `forward` for padded events, for programs that know no packed ones; see `Block.padded`."""
        for block in self.blocks:
            assert isinstance(block, Block)
            x_BLD = block.padded(x_BLD, mask)
        out: Tensor = self.norm(x_BLD)
        return out

    def operations(self, lengths: Int[Tensor, " B"], causal: bool) -> int:
        """Floating-point operations of `forward` for events of the given (B,) lengths: its products of matrices.

        Two for each weight and position, and 4 D n² for the attention of n positions in a block, half of it if causal
        (Chowdhery et al., arXiv 2204.02311, appendix B).

        Example:
            >>> b = Backbone(BackboneConfig(width=4, depth=1, heads=1, mlp="gelu"))
            >>> b.operations(torch.tensor([3]), causal=False)  # 12 D² weights, 3 positions
            1296
        """
        weights = sum(p.numel() for n, p in self.blocks.named_parameters() if p.ndim == 2)
        seen = int((lengths**2).sum()) * self.config.width * self.config.depth * (2 if causal else 4)
        return 2 * weights * int(lengths.sum()) + seen

    def step(
        self,
        x_BD: Float[Tensor, "B D"],
        caches: Sequence[Cache],
        biases: Sequence[Float[Tensor, "_ H _"] | None] | None = None,
    ) -> Float[Tensor, "B D"]:
        """Hidden state (B, D) of one more position of each event; equal to `forward` with `causal=True`.

        Args:
            x_BD: The embedded position of the events of all caches, one cache after the other.
            caches: Each of events that have equally many positions.
            biases: Of the new position with all of the cache and itself, or None.
        """
        for cache in caches:
            cache.extend()
        for i, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            kv = [c.kv[i, :, :, :, : c.length] for c in caches]
            x_BD = block.step(x_BD, kv, biases or [None] * len(caches))
        out: Tensor = self.norm(x_BD)
        return out
