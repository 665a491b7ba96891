"""Showers as rows of voxels: what the generators share that are no transformers.

Such a head is asked for the cells of all patches of a shower at once. The backbone has read what is given, incident
particle and layers; its event token and the energies of the layers are the context. Patches may come in any order; a
feature that a shower does not have (a layer without energy) is 0 and does not count.

Shapes: B showers, P patches, T = B P rows of all, W cells of a patch, V voxels, L layers, D width, C context, H hidden.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from lpm.data.batch import Batch
from lpm.model.heads.base import Head
from lpm.model.layers import zero_linear
from lpm.model.packing import Hidden
from lpm.model.view import Streams, View
from lpm.tokens import Cells, Tokenizer, Tokens

__all__ = ["DenseHead", "Net", "noise"]


class Net(nn.Module):
    """Residual network (…, inputs) to (…, outputs).

    Args:
        inputs: Width of the input.
        hidden: H.
        outputs: Width of the output.
        depth: Residual blocks.
        still: The output is 0 at the start.

    Example:
        >>> Net(3, 8, 2)(torch.ones(4, 3)).abs().max().item()
        0.0
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, depth: int = 2, still: bool = True) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.inner = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.SiLU(), zero_linear(hidden, hidden))
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(hidden)
        self.last = zero_linear(hidden, outputs) if still else nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(…, outputs)."""
        x = self.first(x)
        for block in self.inner:
            x = x + block(x)
        out: Tensor = self.last(nn.functional.silu(self.norm(x)))
        return out


class DenseHead(Head):
    """A head that makes all voxels of a shower in one go.

    Args:
        of: Collection of the patches.
        given: Collections that the backbone reads.
        width: D, of the backbone.
        tokenizer: Of the patches.

    Raises:
        ValueError: If the tokenizer does not make features of the cells of one geometry.
    """

    def __init__(self, of: str, given: tuple[str, ...], width: int, tokenizer: Tokenizer) -> None:
        super().__init__()
        if not isinstance(tokenizer, Cells):
            raise ValueError(f"{of}: expected the tokenizer of cells of a geometry, got {type(tokenizer).__name__}")
        patches, *more = tokenizer.config.patches
        if more:
            raise ValueError(f"{of}: all voxels at once are those of one geometry, got {1 + len(more)}; "
                             "for several, use a flow of patches")  # fmt: skip
        self.of, self.view = of, View(only=given, beside=(of,))
        self.patches, self.cells = patches.voxels.shape
        self.shapes, self.sizes = patches.shapes, patches.sizes
        self.voxels, self.size = sum(self.sizes), width + 2 * len(self.sizes)
        real, column = patches.voxels >= 0, np.zeros(self.voxels, dtype=np.int64)
        column[patches.voxels[real]] = np.flatnonzero(real)
        first = np.unique(patches.layers, return_index=True)[1]
        self.column: Tensor
        self.first: Tensor
        self.register_buffer("column", torch.from_numpy(column), persistent=False)
        self.register_buffer("first", torch.from_numpy(first), persistent=False)

    def _at(self, tokens: Tokens) -> Tensor:
        """(T,) place of each row among all patches of all showers."""
        assert tokens.place is not None
        at_T: Tensor = tokens.ragged.event * self.patches + tokens.place
        return at_T

    def dense(self, tokens: Tokens) -> tuple[Float[Tensor, "B V"], Bool[Tensor, "B V"]]:
        """Features of all voxels, and which are real."""
        assert tokens.features is not None
        assert tokens.real is not None
        x_BV, real_BV = (self._all(y, tokens).flatten(1)[:, self.column] for y in (tokens.features, tokens.real))
        return x_BV, real_BV

    def _all(self, y_TF: Tensor, tokens: Tokens) -> Shaped[Tensor, "B P F"]:
        """(B, P, F) rows by their places."""
        out = y_TF.new_zeros(len(tokens) * self.patches, y_TF.shape[1])
        return out.index_copy(0, self._at(tokens), y_TF).view(len(tokens), self.patches, y_TF.shape[1])

    def rows(self, x_BV: Float[Tensor, "B V"], tokens: Tokens) -> Float[Tensor, "T W"]:
        """Features of the rows: inverse of `dense`."""
        assert tokens.real is not None
        flat = x_BV.new_zeros(len(x_BV), self.patches * self.cells)
        flat[:, self.column] = x_BV
        return flat.view(-1, self.cells)[self._at(tokens)] * tokens.real

    def context(self, hidden: Hidden, tokens: Tokens) -> Float[Tensor, "B C"]:
        """What is given: the state of the event token and the energies of the layers."""
        assert tokens.known is not None
        known_BLK = self._all(tokens.known[:, :2], tokens)[:, self.first]  # the rest is where they lie
        return torch.cat([hidden.event.float(), known_BLK.flatten(1)], 1)

    def loss(self, hidden: Hidden, streams: Streams, batch: Batch) -> Float[Tensor, " B"]:
        """(B,) what `miss` says."""
        tokens = streams[self.of]
        return self.miss(*self.dense(tokens), self.context(hidden, tokens))

    @torch.no_grad()
    def predict(self, hidden: Hidden, streams: Streams) -> Float[Tensor, "T W"]:
        """(T, W) features of one draw, with the default generator."""
        return self.draw(hidden, streams[self.of], torch.default_generator)

    @torch.no_grad()
    def draw(self, hidden: Hidden, tokens: Tokens, generator: torch.Generator) -> Float[Tensor, "T W"]:
        """(T, W) features; see `lpm.model.conditional.Draws`."""
        _, real_BV = self.dense(tokens)
        return self.rows(self.make(real_BV, self.context(hidden, tokens), generator), tokens)

    def miss(self, x_BV: Tensor, real_BV: Tensor, context_BC: Tensor) -> Float[Tensor, " B"]:
        """(B,) loss."""
        raise NotImplementedError

    def make(self, real_BV: Tensor, context_BC: Tensor, generator: torch.Generator) -> Float[Tensor, "B V"]:
        """(B, V) features from noise of a generator of the CPU."""
        raise NotImplementedError


def noise(like: Tensor, width: int, generator: torch.Generator) -> Tensor:
    """(B, width) of a unit Gaussian, drawn on the CPU, for rows of `like`."""
    return torch.randn(len(like), width, generator=generator).to(like)
