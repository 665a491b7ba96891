r"""Which way from noise to data? Conditional flow matching, set to set: all rows of an event are made at once.

On the straight path :math:`x_t = (1 - t)\,\varepsilon + t\,x` from noise to data the velocity is
:math:`x - \varepsilon`. What the head learns is its mean over all data that may lie behind :math:`x_t`,

.. math:: v(x_t, t) = \arg\min_v \mathrm{E}\, |v(x_t, t) - (x - \varepsilon)|^2,

and following :math:`\dot x = v(x, t)` from :math:`t = 0` to 1 turns noise into data (Lipman et al., arXiv 2210.02747,
eq. 9 and 22; Liu et al., arXiv 2209.03003). For features that are Gaussian with mean 0 and deviation 1, as tokenizers
make them, this mean is known,

.. math:: v_0(x_t, t) = \frac{2t - 1}{t^2 + (1 - t)^2}\, x_t,

so that only the rest :math:`v - v_0` is asked of the backbone.

Shapes: B events, T rows, F features, C classes, N numbers of rows from 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from lpm.data.batch import Batch, Ragged
from lpm.model.heads.base import Head, class_index
from lpm.model.layers import zero_linear
from lpm.model.packing import Hidden
from lpm.model.view import Noised, Streams
from lpm.tokens import Tokenizer, Tokens

__all__ = ["Flow", "FlowConfig"]

GAIN = 8.0
"""Log-probabilities of numbers of rows reach further than weights do: this many times as far at the same rate."""


@dataclass(frozen=True, kw_only=True)
class FlowConfig:
    """Flow matching of the continuous features of one collection.

    Args:
        of: The collection.
        by: Path of the category that the number of rows depends on; that of the model's condition. Empty for none.
        classes: Names of its classes, as in the model's condition.
        longest: More rows than this count as this many.
        times: How the times of training are drawn, see `Noised`.
        jumps: Distilled to so many equal steps of `euler`, and good for no others; 0 for a flow of any steps.
        given: Collections that are known when this one is made; with `of` they are all that is seen. None for all.
    """

    of: str
    by: str = ""
    classes: tuple[str, ...] = ()
    longest: int = 128
    times: Literal["uniform", "logit_normal"] = "uniform"
    jumps: int = 0
    given: tuple[str, ...] | None = None

    def build(self, width: int, tokenizers: dict[str, Tokenizer]) -> Flow:
        """The head, for a backbone of the given width."""
        return Flow(self, width, tokenizers[self.of])


class Flow(Head):
    """Velocity of each row, and how many rows there are, unless they lie at fixed places.

    Raises:
        ValueError: If the collection's tokenizer has no continuous features, or has categories.
    """

    def __init__(self, config: FlowConfig, width: int, tokenizer: Tokenizer) -> None:
        super().__init__()
        if not tokenizer.width:
            raise ValueError(f"flow of {config.of}: its tokenizer has no features; use a continuous or hybrid one")
        if not tokenizer.places and tokenizer.width != len(tokenizer.paths):
            raise ValueError(f"flow of {config.of}: categories are not supported; leave them out of its tokenizer")
        only = () if config.given is None else (*config.given, config.of)
        self.config, self.view = config, Noised(of=config.of, times=config.times, conditioned=True, only=only)
        self.out, self.numbers = zero_linear(width, tokenizer.width), None
        if not tokenizer.places:
            self.numbers = nn.Parameter(torch.zeros(1 + len(config.classes), 1 + config.longest))

    def velocity(self, hidden: Hidden, tokens: Tokens) -> Float[Tensor, "T F"]:
        """(T, F) velocity of each row of noised tokens."""
        assert tokens.features is not None
        assert tokens.time is not None
        t_T1 = tokens.time[tokens.ragged.event][:, None]
        gaussian_TF = (2 * t_T1 - 1) / (t_T1**2 + (1 - t_T1) ** 2) * tokens.features
        out: Tensor = self.out(hidden.of(self.config.of)).float()
        if tokens.real is not None:
            out = out * tokens.real
        return gaussian_TF + out

    def loss(self, hidden: Hidden, streams: Streams, batch: Batch) -> Float[Tensor, " B"]:
        """(B,) mean squared error of the velocity over the rows, plus that of the number of rows.

        The second is the mean of two cross entropies, with the class known and not known, in units of the entropy of a
        flat distribution.
        """
        tokens, c = streams[self.config.of], self.config
        assert tokens.velocity is not None
        error_TF = (self.velocity(hidden, tokens) - tokens.velocity).square()
        if tokens.real is not None:
            real_B = Ragged(tokens.real.sum(1).to(error_TF.dtype), tokens.offsets).sum()
            error_B = Ragged(error_TF.sum(1), tokens.offsets).sum() / real_B.clamp_min(1)
        else:
            error_B = Ragged(error_TF.mean(1), tokens.offsets).mean()
        if self.numbers is None:
            return error_B
        number_B = tokens.offsets.diff().clamp_max(c.longest)
        class_B = class_index(batch, c.by, c.classes, {}) if c.by else torch.full_like(number_B, -1)
        said_BN, unsaid_BN = self.numbers[class_B + 1], self.numbers[:1].expand(len(number_B), -1)
        surprise_B = F.cross_entropy(GAIN * said_BN, number_B, reduction="none")
        surprise_B = surprise_B + F.cross_entropy(GAIN * unsaid_BN, number_B, reduction="none")
        return error_B + surprise_B / (2 * math.log(1 + c.longest))

    @torch.no_grad()
    def predict(self, hidden: Hidden, streams: Streams) -> Float[Tensor, "T F"]:
        """(T, F) velocity of each row, at the time and with the noise that the view has drawn."""
        return self.velocity(hidden, streams[self.config.of])

    @torch.no_grad()
    def lengths(self, class_B: Int[Tensor, " B"], generator: torch.Generator) -> Int[Tensor, " B"]:
        """(B,) numbers of rows drawn for events of the given classes, -1 where not said; all on the CPU.

        Raises:
            ValueError: If the learned probabilities are not finite, or rows lie at fixed places.
        """
        if self.numbers is None:
            raise ValueError(f"flow of {self.config.of}: its rows lie at fixed places; give the rows to be made")
        p_CN = (GAIN * self.numbers.float().cpu()).softmax(1)
        if not bool(p_CN.isfinite().all()):
            raise ValueError("the model's probabilities are not finite: its training has diverged; take an earlier one")
        return torch.multinomial(p_CN[class_B + 1], 1, generator=generator)[:, 0]
