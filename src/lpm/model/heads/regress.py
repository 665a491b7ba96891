"""How large is a number of the event, and how sure is that?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lpm.data.batch import Batch
from lpm.model.heads.base import Head, weighed
from lpm.model.layers import zero_linear
from lpm.model.packing import Hidden
from lpm.model.view import Streams, View
from lpm.tokens import Tokenizer, Transform

__all__ = ["Regress", "RegressConfig"]


@dataclass(frozen=True, kw_only=True)
class RegressConfig:
    """Regression of a real field of a single collection.

    Args:
        target: Path of the field, e.g. `jet.sdmass`.
        transform: Scale on which the error is Gaussian; its `field` is the name at the end of `target`.
        centre: Typical value on that scale.
        spread: Typical deviation on that scale.
        weight: Path of the weights of events; None to weigh all alike.
    """

    target: str
    transform: Transform
    centre: float = 0.0
    spread: float = 1.0
    weight: str | None = None

    def build(self, width: int, tokenizers: dict[str, Tokenizer]) -> Regress:
        """The head, for a backbone of the given width."""
        return Regress(self, width)


class Regress(Head):
    """Gaussian likelihood with a predicted deviation, on the pooled state of the event."""

    view = View()

    def __init__(self, config: RegressConfig, width: int) -> None:
        super().__init__()
        self.config, self.out = config, zero_linear(width, 2)

    def _normal(self, hidden: Hidden) -> tuple[Tensor, Tensor]:
        mean_B, raw_B = self.out(hidden.pooled).float().unbind(1)
        return mean_B, F.softplus(raw_B) + 1e-3

    def loss(self, hidden: Hidden, streams: Streams, batch: Batch) -> Float[Tensor, " B"]:
        """(B,) negative log-likelihood of the standardised, transformed value, weighed; 0 where it is not known."""
        if self.config.target not in batch.schema:
            return hidden.event.new_zeros(len(batch))
        y_B = (self.config.transform(batch.field(self.config.target).values) - self.config.centre) / self.config.spread
        mean_B, std_B = self._normal(hidden)
        known_B = y_B.isfinite()
        pull_B = (torch.where(known_B, y_B, mean_B.detach()) - mean_B) / std_B
        loss_B = torch.where(known_B, 0.5 * pull_B**2 + std_B.log() + 0.5 * math.log(2 * math.pi), 0.0)
        return weighed(loss_B, batch, self.config.weight)

    @torch.no_grad()
    def predict(self, hidden: Hidden, streams: Streams) -> Float[Tensor, "B 3"]:
        """(B, 3): median, and the ends of the central 68% interval, in the field's unit."""
        mean_B, std_B = self._normal(hidden)
        u_B3 = torch.stack([mean_B, mean_B - std_B, mean_B + std_B], 1) * self.config.spread + self.config.centre
        return self.config.transform.inverse(u_B3)
