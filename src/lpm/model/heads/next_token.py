"""What comes next? The head that makes the model generate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lpm.data.batch import Batch, Ragged
from lpm.model.heads.base import Head
from lpm.model.heads.chain import CodeChain
from lpm.model.layers import zero_linear
from lpm.model.packing import Hidden
from lpm.model.view import Streams, View
from lpm.tokens import Tokenizer
from lpm.tokens.base import Uniform

__all__ = ["NextToken", "NextTokenConfig"]


@dataclass(frozen=True, kw_only=True)
class NextTokenConfig:
    """Next-token prediction of one collection whose tokenizer has codes.

    Args:
        of: The collection.
        typical: Typical number of tokens of an event. The loss is divided by it, which brings it to order one.
        given: Collections seen before it, those that lie before it in the model; with `of` they are all that is seen.
            None for all.
    """

    of: str
    typical: float = 50.0
    given: tuple[str, ...] | None = None

    def build(self, width: int, tokenizers: dict[str, Tokenizer]) -> NextToken:
        """The head, for a backbone of the given width."""
        return NextToken(self, width, tokenizers[self.of])


class NextToken(Head):
    """Likelihood of the whole event: of each token given those before, and of the end.

    Rows at fixed places need no end: their number is known.

    Raises:
        ValueError: If the collection's tokenizer has no codes to predict.
    """

    def __init__(self, config: NextTokenConfig, width: int, tokenizer: Tokenizer) -> None:
        super().__init__()
        vocab, given = tokenizer.vocab, config.given
        self.view = View(causal=True, conditioned=True, only=() if given is None else (*given, config.of))
        if not vocab:
            raise ValueError(
                f"next token of {config.of}: its tokenizer has no codes; use a binned, hybrid or quantised one"
            )
        self.config = config
        self.chain, self.stop = CodeChain(width, vocab), None if tokenizer.places else zero_linear(width, 1)
        if self.stop is not None:
            nn.init.constant_(self.stop.bias, -3.0)  # about one end in twenty tokens

    def loss(self, hidden: Hidden, streams: Streams, batch: Batch) -> Float[Tensor, " B"]:
        """(B,) negative log-likelihood of the event in nats, divided by `typical`."""
        tokens, of = streams[self.config.of], self.config.of
        assert tokens.codes is not None
        before_TD = hidden.before(of)
        if self.stop is None:
            return Ragged(self.chain.loss(before_TD, tokens.codes), tokens.offsets).sum() / self.config.typical
        more_T = self.chain.loss(before_TD, tokens.codes) + F.softplus(self.stop(before_TD)[:, 0].float())
        end_B = F.softplus(-self.stop(hidden.end(of))[:, 0].float())
        return (Ragged(more_T, tokens.offsets).sum() + end_B) / self.config.typical

    def predict(self, hidden: Hidden, streams: Streams) -> Float[Tensor, " T"]:
        """(T,) negative log-probability of each token: how surprising each particle is."""
        tokens = streams[self.config.of]
        assert tokens.codes is not None
        return self.chain.loss(hidden.before(self.config.of), tokens.codes)

    def sample(
        self, h_BD: Float[Tensor, "B D"], draw: Callable[[Tensor], Tensor], uniform: Uniform
    ) -> tuple[Int[Tensor, "B K"], Bool[Tensor, " B"]]:
        """Codes (B, K) of the next token of each event, and (B,) whether the event has ended instead.

        Args:
            h_BD: States that predict the token.
            draw: (B, V) log-odds to (B,) codes.
            uniform: Gives the random numbers that decide on the end.
        """
        assert self.stop is not None  # rows at fixed places are made by `lpm.model.conditional`
        p_B = torch.sigmoid(self.stop(h_BD)[:, 0].float())
        ended_B = uniform(len(p_B)) < p_B
        return self.chain.sample(h_BD, draw), ended_B
