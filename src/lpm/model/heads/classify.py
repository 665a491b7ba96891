"""Which class is the event?"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lpm.data.batch import Batch
from lpm.model.heads.base import Head, class_index
from lpm.model.layers import zero_linear
from lpm.model.packing import Hidden
from lpm.model.view import Streams, View
from lpm.tokens import Tokenizer

__all__ = ["Classify", "ClassifyConfig"]


@dataclass(frozen=True, kw_only=True)
class ClassifyConfig:
    """Classification of events by a category field.

    Args:
        target: Path of the category, e.g. `jet.label`.
        classes: Names of the answers.
        groups: {class: categories that count as it}; a class not named stands for the category of its name.
    """

    target: str
    classes: tuple[str, ...]
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def build(self, width: int, tokenizers: dict[str, Tokenizer]) -> Classify:
        """The head, for a backbone of the given width."""
        return Classify(self, width)


class Classify(Head):
    """Cross entropy on the pooled state of the event."""

    view = View()

    def __init__(self, config: ClassifyConfig, width: int) -> None:
        super().__init__()
        self.config, self.out = config, zero_linear(width, len(config.classes))

    def logits(self, hidden: Hidden) -> Float[Tensor, "B C"]:
        """(B, C) log-odds."""
        out: Tensor = self.out(hidden.pooled)
        return out

    def loss(self, hidden: Hidden, streams: Streams, batch: Batch) -> Float[Tensor, " B"]:
        """(B,) cross entropy in nats."""
        index_B = class_index(batch, self.config.target, self.config.classes, self.config.groups)
        return F.cross_entropy(self.logits(hidden), index_B, ignore_index=-1, reduction="none")

    @torch.no_grad()
    def predict(self, hidden: Hidden, streams: Streams) -> Float[Tensor, "B C"]:
        """(B, C) probabilities."""
        return self.logits(hidden).float().softmax(1)
