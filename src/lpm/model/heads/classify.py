r"""Which class is the event?

A label that may be any of several classes, an inner node of a tree, still teaches: its loss is

.. math:: -\ln \sum_{c\,\in\,\mathrm{label}} p_c ,

the cross entropy of the probability that the event is one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lpm.data.batch import Batch
from lpm.model.heads.base import Head, class_index, class_mask, is_coarse, weighed
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
        groups: {class: categories that count as it}; a class not named stands for the category of its name. A category
            that counts as several classes is one of them, no more is known: `lpm.data.tree.Tree.groups`.
        strict: Refuse events whose category counts as no class, instead of learning nothing from them.
        weight: Path of the weights of events; None to weigh all alike.
        given: Collections that are seen; empty for all.
    """

    target: str
    classes: tuple[str, ...]
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    strict: bool = False
    weight: str | None = None
    given: tuple[str, ...] = ()

    def build(self, width: int, tokenizers: dict[str, Tokenizer]) -> Classify:
        """The head, for a backbone of the given width."""
        return Classify(self, width)


class Classify(Head):
    """Cross entropy on the pooled state of the event."""

    def __init__(self, config: ClassifyConfig, width: int) -> None:
        super().__init__()
        self.view = View(only=config.given)
        self.config, self.out = config, zero_linear(width, len(config.classes))

    def logits(self, hidden: Hidden) -> Float[Tensor, "B C"]:
        """(B, C) log-odds."""
        out: Tensor = self.out(hidden.pooled)
        return out

    def loss(self, hidden: Hidden, streams: Streams, batch: Batch) -> Float[Tensor, " B"]:
        """(B,) cross entropy in nats, times the weight of the event."""
        c = self.config
        if c.target in batch.schema and is_coarse(batch.schema.field(c.target), c.classes, c.groups):
            loss_B = self._coarse(hidden, batch)
        else:
            index_B = class_index(batch, c.target, c.classes, c.groups)
            loss_B = F.cross_entropy(self.logits(hidden), index_B, ignore_index=-1, reduction="none")
        return weighed(loss_B, batch, c.weight)

    def _coarse(self, hidden: Hidden, batch: Batch) -> Float[Tensor, " B"]:
        mask_BC = class_mask(batch, self.config.target, self.config.classes, self.config.groups)
        unknown_B1 = ~mask_BC.any(1, keepdim=True)
        # An event without a label may be anything: the sums are equal and nothing is learned.
        logits_BC = self.logits(hidden).float()
        inside_B = logits_BC.masked_fill(~(mask_BC | unknown_B1), -torch.inf).logsumexp(1)
        return logits_BC.logsumexp(1) - inside_B

    @torch.no_grad()
    def predict(self, hidden: Hidden, streams: Streams) -> Float[Tensor, "B C"]:
        """(B, C) probabilities."""
        return self.logits(hidden).float().softmax(1)
