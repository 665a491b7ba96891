"""Which class is each row?

Shapes: B events, T rows of the collection, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.model.heads.base import Head
from lpm.model.layers import zero_linear
from lpm.model.packing import Hidden
from lpm.model.view import Streams, View
from lpm.tokens import Tokenizer

__all__ = ["Segment", "SegmentConfig"]


@dataclass(frozen=True, kw_only=True)
class SegmentConfig:
    """Classification of the rows of one collection by a category field.

    Args:
        target: Path of the category, e.g. `photon.clusters`, with as many labels as there are classes.
        classes: Names of the answers.
        given: Collections that are seen; empty for all.
    """

    target: str
    classes: tuple[str, ...]
    given: tuple[str, ...] = ()

    @property
    def of(self) -> str:
        """The collection whose rows are classified."""
        return self.target.partition(".")[0]

    def build(self, width: int, tokenizers: dict[str, Tokenizer]) -> Segment:
        """The head, for a backbone of the given width.

        Raises:
            ValueError: If the model does not read the collection.
        """
        if self.of not in tokenizers:
            raise ValueError(f"segment {self.target}: the model reads no {self.of}; it reads {', '.join(tokenizers)}")
        return Segment(self, width)


class Segment(Head):
    """Cross entropy on the state of each row, summed over those of an event."""

    def __init__(self, config: SegmentConfig, width: int) -> None:
        super().__init__()
        self.view = View(only=config.given)
        self.config, self.out = config, zero_linear(width, len(config.classes))

    def logits(self, hidden: Hidden) -> Float[Tensor, "T C"]:
        """(T, C) log-odds."""
        out: Tensor = self.out(hidden.of(self.config.of))
        return out

    def loss(self, hidden: Hidden, streams: Streams, batch: Batch) -> Float[Tensor, " B"]:
        """(B,) cross entropy in nats; rows without a label count nothing.

        Raises:
            ValueError: If the labels of the field are not the classes.
        """
        target, rows = self.config.target, batch.collections[self.config.of]
        if target not in batch.schema:
            return torch.zeros(len(batch), device=hidden.x.device)
        if (labels := batch.schema.field(target).labels) != self.config.classes:
            raise ValueError(f"{target}: expected the labels {', '.join(self.config.classes)}, got {', '.join(labels)}")
        values = batch.field(target).values
        index_T = torch.where(values.isfinite(), values, -1).long()
        loss_T = F.cross_entropy(self.logits(hidden).float(), index_T, ignore_index=-1, reduction="none")
        return Ragged(loss_T, rows.offsets).sum()

    @torch.no_grad()
    def predict(self, hidden: Hidden, streams: Streams) -> Float[Tensor, "T C"]:
        """(T, C) probabilities."""
        return self.logits(hidden).float().softmax(1)
