"""Hybrid tokens: continuous features to look at, codes to predict.

The backbone sees the measured values at full precision, and the next-token head predicts their bins; while sampling,
a value is drawn within the sampled bin and fed back. Nothing is lost at the input (Amram et al., arXiv 2412.03689;
Birk et al., arXiv 2512.04149), and no decoder has to run in the loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.tokens.base import Tokenizer, Tokens, Uniform
from lpm.tokens.binned import Binned, BinnedConfig
from lpm.tokens.continuous import ContinuousConfig

__all__ = ["Hybrid", "HybridConfig"]


@dataclass(frozen=True, kw_only=True)
class HybridConfig:
    """A continuous and a binned tokenizer of the same fields, in the same order.

    Raises:
        ValueError: If they do not read the same fields.
    """

    seen: ContinuousConfig
    told: BinnedConfig

    def __post_init__(self) -> None:
        seen = (self.seen.collection, *(t.field for t in self.seen.fields))
        told = (self.told.collection, *(t.field for t in self.told.fields))
        if seen != told:
            raise ValueError(f"both tokenizers must read the same fields in the same order, got {seen} and {told}")

    @property
    def collection(self) -> str:
        """Name of the collection both read."""
        return self.seen.collection

    def build(self) -> Hybrid:
        """The tokenizer, not yet fitted."""
        return Hybrid(self)


class Hybrid(Tokenizer):
    """`features` from the continuous tokenizer, `codes` from the binned one; decodes from the codes, if any."""

    def __init__(self, config: HybridConfig) -> None:
        super().__init__()
        self.config, self.collection = config, config.collection
        self.seen, self.told = config.seen.build(), Binned(config.told)
        self.paths, self.vocab, self.width = self.told.paths, self.told.vocab, self.seen.width

    def fit(self, batches: Iterable[Batch]) -> Hybrid:
        """Fit both on the same batches, read once: all of a small data set, the first part of a large one."""
        kept = _first(batches)
        self.seen.fit(kept)
        self.told.fit(kept)
        return self

    def encode(self, batch: Batch) -> Tokens:
        """Tokens with features and codes."""
        return replace(self.told.encode(batch), features=self.seen.encode(batch).features)

    def decode(self, tokens: Tokens, generator: torch.Generator | None = None) -> Ragged:
        """Values from the codes, or, without codes, from the features."""
        if tokens.codes is None:
            return self.seen.decode(tokens)
        return self.told.decode(tokens, generator)

    def complete(self, codes: Tensor, uniform: Uniform) -> tuple[Tensor, Tensor]:
        """Values drawn uniformly within the cells, and their features."""
        values, _ = self.told.complete(codes, uniform)
        return values, self.seen.features(values)


def _first(batches: Iterable[Batch], rows: int = 4_000_000) -> list[Batch]:
    """The first batches, up to so many rows of the longest collection: memory stays bounded."""
    kept, total = [], 0
    for batch in batches:
        kept.append(batch)
        total += max(len(r.values) for r in batch.collections.values())
        if total >= rows:
            break
    return kept
