"""What the backbone may see. Heads with equal views share one forward pass.

Next-token, masked and (later) flow-matching training differ in what the backbone is shown, not in the backbone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from lpm.tokens import Tokens

__all__ = ["Masked", "Streams", "View"]

Streams = Mapping[str, Tokens]
"""Tokens of each collection, by name."""


@dataclass(frozen=True, kw_only=True)
class View:
    """All tokens.

    Args:
        causal: A token sees only itself and those before it.
        conditioned: The event token carries the condition (a class to generate). Never for heads that answer it.
    """

    causal: bool = False
    conditioned: bool = False

    def __call__(self, streams: Streams, generator: torch.Generator | None = None) -> Streams:
        """The tokens as seen."""
        return streams


@dataclass(frozen=True, kw_only=True)
class Masked(View):
    """A random fraction of the tokens of one collection is hidden: only their rank in the event stays known.

    Args:
        of: The collection.
        fraction: Probability that a token is hidden.
    """

    of: str
    fraction: float = 0.4

    def __call__(self, streams: Streams, generator: torch.Generator | None = None) -> Streams:
        """Hide tokens at random. `generator` lives on the CPU; None takes torch's default one."""
        tokens = streams[self.of]
        draw = torch.rand(len(tokens.ragged.values), generator=generator)
        return {**streams, self.of: tokens.hide(draw < self.fraction)}
