r"""Where does the event come from? A question whose answer the backbone must unlearn.

Domain-adversarial training (Ganin and Lempitsky, arXiv 1409.7495; Ganin et al., arXiv 1505.07818): a small network
learns to tell the domains, simulation and data, from the state of the event, and passes back to the body the reverse
of its gradient. The body learns features from which the other heads can answer and the domain cannot be told. Events
of data need no other label: heads give events without their answer no weight.

The factor of the reversed gradient rises as in eq. 14 of 1409.7495,

.. math:: \lambda(p) = \frac{2}{1 + e^{-10 p}} - 1,

with p the share of the training that is done. A head sees no step; it counts the batches it is trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lpm.data.batch import Batch
from lpm.model.heads.base import Head, class_index
from lpm.model.packing import Hidden
from lpm.model.view import Streams, View
from lpm.tokens import Tokenizer

__all__ = ["Adversary", "AdversaryConfig"]


@dataclass(frozen=True, kw_only=True)
class AdversaryConfig:
    """Classification of the domain, against the backbone.

    Args:
        target: Path of the category that tells the domain, e.g. `track.domain`.
        classes: Names of the domains.
        batches: Training batches over which the factor of the reversed gradient rises from 0 to `strength`.
        strength: Its final value.
        hidden: Width of the hidden layer of the network that tells domains.

    Raises:
        ValueError: If a number is out of range or there are fewer than two domains.
    """

    target: str
    classes: tuple[str, ...]
    batches: int = 1000
    strength: float = 1.0
    hidden: int = 64

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or self.batches < 1 or self.hidden < 1 or self.strength < 0:
            raise ValueError(f"expected two domains or more, batches, hidden > 0 and strength ≥ 0, got {self}")

    def build(self, width: int, tokenizers: dict[str, Tokenizer]) -> Adversary:
        """The head, for a backbone of the given width."""
        return Adversary(self, width)


class Adversary(Head):
    """Cross entropy of the domain; what the backbone gets is its gradient reversed."""

    view = View()

    def __init__(self, config: AdversaryConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.net = nn.Sequential(
            nn.Linear(width, config.hidden), nn.GELU(), nn.Linear(config.hidden, len(config.classes))
        )
        # Saved with the weights, so that a resumed run goes on where it was.
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(()))

    @property
    def factor(self) -> Float[Tensor, ""]:
        """Of the reversed gradient, now."""
        done = (self.seen / self.config.batches).clamp(max=1.0)
        return self.config.strength * (2 / (1 + torch.exp(-10 * done)) - 1)

    def loss(self, hidden: Hidden, streams: Streams, batch: Batch) -> Float[Tensor, " B"]:
        """(B,) cross entropy in nats; 0 for an event of unknown domain."""
        index_B = class_index(batch, self.config.target, self.config.classes, {})
        pooled_BD = hidden.pooled
        if self.training:
            pooled_BD = _reverse(pooled_BD, self.factor)
            with torch.no_grad():
                self.seen += 1
        return F.cross_entropy(self.net(pooled_BD), index_B, ignore_index=-1, reduction="none")

    @torch.no_grad()
    def predict(self, hidden: Hidden, streams: Streams) -> Float[Tensor, "B C"]:
        """(B, C) probabilities of the domains."""
        out: Tensor = self.net(hidden.pooled).float().softmax(1)
        return out


class _Reversal(torch.autograd.Function):
    """Nothing forward; backward the gradient times a negative factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (factor,) = ctx.saved_tensors
        return -factor.to(grads[0].dtype) * grads[0], None


def _reverse(x: Tensor, factor: Tensor) -> Tensor:
    out: Tensor = _Reversal.apply(x, factor)  # type: ignore[no-untyped-call]
    return out
