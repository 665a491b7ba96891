"""Which row of a collection? A choice among as many as an event happens to have.

Shapes: B events, T rows of the collection, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.model.heads.base import Head
from lpm.model.layers import zero_linear
from lpm.model.packing import Hidden
from lpm.model.view import Streams, View
from lpm.tokens import Tokenizer

__all__ = ["Choose", "ChooseConfig"]


@dataclass(frozen=True, kw_only=True)
class ChooseConfig:
    """Choice of one row of each event.

    Args:
        target: Path of a flag, 1 for the row to choose and 0 for the others; several 1 share the choice.
    """

    target: str

    @property
    def of(self) -> str:
        """The collection whose rows are the choice."""
        return self.target.partition(".")[0]

    def build(self, width: int, tokenizers: dict[str, Tokenizer]) -> Choose:
        """The head, for a backbone of the given width.

        Raises:
            ValueError: If the model does not read the collection.
        """
        if self.of not in tokenizers:
            raise ValueError(f"choose {self.target}: the model reads no {self.of}; it reads {', '.join(tokenizers)}")
        return Choose(self, width)


class Choose(Head):
    """Cross entropy between the rows of an event and those to choose."""

    view = View()

    def __init__(self, config: ChooseConfig, width: int) -> None:
        super().__init__()
        self.config, self.out = config, zero_linear(width, 1)

    def logarithms(self, hidden: Hidden, streams: Streams) -> Float[Tensor, " T"]:
        """(T,) logarithm of the probability of each row among those of its event."""
        rows = streams[self.config.of].ragged
        score_T = self.out(hidden.of(self.config.of))[:, 0].float()
        event_T = rows.event
        most_B = score_T.new_full((len(rows),), -torch.inf).scatter_reduce(0, event_T, score_T.detach(), "amax")
        shifted_T = score_T - most_B[event_T]
        total_B = score_T.new_zeros(len(rows)).index_add(0, event_T, shifted_T.exp())
        out: Tensor = shifted_T - total_B.log()[event_T]
        return out

    def loss(self, hidden: Hidden, streams: Streams, batch: Batch) -> Float[Tensor, " B"]:
        """(B,) cross entropy in nats; 0 for an event in which no row is known to be the one."""
        log_T = self.logarithms(hidden, streams)
        if self.config.target not in batch.schema:
            return log_T.new_zeros(len(batch))
        wanted: Ragged = batch.field(self.config.target)
        flag_T = wanted.values.nan_to_num().to(log_T.dtype)
        count_B = wanted.with_values(flag_T).sum()
        return -wanted.with_values(flag_T * log_T).sum() / count_B.clamp_min(1)

    @torch.no_grad()
    def predict(self, hidden: Hidden, streams: Streams) -> Float[Tensor, " T"]:
        """(T,) probability of each row; those of an event add up to 1."""
        return self.logarithms(hidden, streams).exp()
