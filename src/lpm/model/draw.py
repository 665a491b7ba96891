"""How codes are drawn when events are sampled.

Shapes: B events, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lpm.data.transfer import sent
from lpm.tokens.base import Uniform

__all__ = ["Chooser", "SampleConfig", "uniform_of"]


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """How to sample.

    Args:
        temperature: Divides the log-odds; below 1 sharpens. 1 samples the learned distribution.
        top_k: Keep only the k most probable codes; 0 keeps all.
        top_p: Keep only the most probable codes that together reach this probability; 1 keeps all.
        longest: Rows after which an event is ended.
        batch: Events that grow together, and events of a batch that is returned.
        slots: Grow in places of a fixed shape, whose step a CUDA device replays as one graph (`lpm.model.slots`),
            instead of in waves (`lpm.model.waves`). None: on a CUDA device, if the model has no pairwise bias.

    Raises:
        ValueError: If a value is out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    longest: int = 256
    batch: int = 500
    slots: bool | None = None

    def __post_init__(self) -> None:
        if not (
            self.temperature > 0 and self.top_k >= 0 and 0 < self.top_p <= 1 and self.longest > 0 and self.batch > 0
        ):
            raise ValueError(f"expected temperature > 0, top_k ≥ 0, 0 < top_p ≤ 1, longest > 0, batch > 0; got {self}")


def uniform_of(generator: torch.Generator, device: torch.device) -> Uniform:
    """Random numbers of a generator of the CPU, on a device: a seed means the same on every device.

    Example:
        >>> uniform = uniform_of(torch.Generator().manual_seed(0), torch.device("cpu"))
        >>> uniform(2, 1).shape
        torch.Size([2, 1])
    """

    def uniform(*shape: int) -> Tensor:
        return sent(torch.rand(shape, generator=generator), device)

    return uniform


class Chooser:
    """Draws codes from log-odds, and remembers whether all of them were finite: to ask each time would wait.

    Args:
        config: How to draw.
        uniform: Where random numbers come from.
        device: Where the log-odds are.

    Example:
        >>> cpu = torch.device("cpu")
        >>> choose = Chooser(SampleConfig(top_k=1), uniform_of(torch.Generator().manual_seed(0), cpu), cpu)
        >>> choose(torch.tensor([[0.0, 2.0, 1.0]])).tolist()
        [1]
    """

    def __init__(self, config: SampleConfig, uniform: Uniform, device: torch.device) -> None:
        self.config, self.uniform = config, uniform
        self.finite = torch.ones((), dtype=torch.bool, device=device)

    def __call__(self, logits_BV: Float[Tensor, "B V"]) -> Int[Tensor, " B"]:
        """(B,) codes."""
        c, logits_BV = self.config, logits_BV / self.config.temperature
        if 0 < c.top_k < logits_BV.shape[1]:
            floor_B1 = logits_BV.topk(c.top_k).values[:, -1:]
            logits_BV = logits_BV.masked_fill(logits_BV < floor_B1, float("-inf"))
        p_BV = logits_BV.softmax(1)
        if c.top_p < 1:
            sorted_BV, order_BV = p_BV.sort(1, descending=True)
            sorted_BV = sorted_BV.masked_fill(sorted_BV.cumsum(1) - sorted_BV >= c.top_p, 0)
            p_BV = torch.zeros_like(p_BV).scatter(1, order_BV, sorted_BV)
        # One random number an event, through the inverse of the cumulative distribution: `torch.multinomial` draws one
        # for each word, which for 8,192 words takes as long as all layers. As 0 ≤ u < 1, a word of no probability is
        # not met, but for rounding on a device that adds in another order.
        cdf_BV = p_BV.cumsum(1)
        self.finite &= cdf_BV[:, -1].isfinite().all()
        return torch.searchsorted(cdf_BV, self.uniform(len(cdf_BV), 1) * cdf_BV[:, -1:], right=True)[:, 0]

    def check(self) -> None:
        """Ask whether all probabilities were finite.

        Raises:
            ValueError: If not.
        """
        if not bool(self.finite):
            raise ValueError("the model's probabilities are not finite: its training has diverged; take an earlier one")
