"""What was hidden? Masked prediction, set to set (MPM, arXiv 2401.13537)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lpm.data.batch import Batch
from lpm.model.heads.base import Head
from lpm.model.heads.chain import CodeChain
from lpm.model.packing import Hidden
from lpm.model.view import Masked, Streams
from lpm.tokens import Tokenizer

__all__ = ["Unmask", "UnmaskConfig"]


@dataclass(frozen=True, kw_only=True)
class UnmaskConfig:
    """Prediction of hidden tokens of one collection.

    Args:
        of: The collection.
        fraction: Probability that a token is hidden.
    """

    of: str
    fraction: float = 0.4

    def build(self, width: int, tokenizers: dict[str, Tokenizer]) -> Unmask:
        """The head, for a backbone of the given width."""
        return Unmask(self, width, tokenizers[self.of].vocab)


class Unmask(Head):
    """Mean negative log-probability of the hidden tokens of each event.

    Raises:
        ValueError: If the collection's tokenizer has no codes to predict.
    """

    def __init__(self, config: UnmaskConfig, width: int, vocab: tuple[int, ...]) -> None:
        super().__init__()
        if not vocab:
            raise ValueError(f"unmask {config.of}: its tokenizer has no codes; use a binned, hybrid or quantised one")
        self.config, self.view = config, Masked(of=config.of, fraction=config.fraction)
        self.chain = CodeChain(width, vocab)

    def loss(self, hidden: Hidden, streams: Streams, batch: Batch) -> Float[Tensor, " B"]:
        """(B,) nats a hidden token; 0 for an event in which nothing was hidden."""
        tokens = streams[self.config.of]
        assert tokens.asked is not None
        assert tokens.codes is not None
        asked_U = tokens.asked
        loss_U = self.chain.loss(hidden.of(self.config.of)[asked_U], tokens.codes[asked_U])
        event_U, zeros_B = tokens.ragged.event[asked_U], loss_U.new_zeros(len(tokens))
        count_B = zeros_B.index_add(0, event_U, torch.ones_like(loss_U))
        return zeros_B.index_add(0, event_U, loss_U) / count_B.clamp_min(1)

    def predict(self, hidden: Hidden, streams: Streams) -> Float[Tensor, " T"]:
        """(T,) negative log-probability of each token."""
        tokens = streams[self.config.of]
        assert tokens.codes is not None
        return self.chain.loss(hidden.of(self.config.of), tokens.codes)
