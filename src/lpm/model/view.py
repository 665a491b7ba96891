"""What the backbone may see. Heads with equal views share one forward pass.

Next-token, masked and flow-matching training differ in what the backbone is shown, not in the backbone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from lpm.data.transfer import sent
from lpm.tokens import Tokens

__all__ = ["Masked", "Noised", "Streams", "View"]

Streams = Mapping[str, Tokens]
"""Tokens of each collection, by name."""


@dataclass(frozen=True, kw_only=True)
class View:
    """All tokens.

    Args:
        causal: A token sees only itself and those before it.
        conditioned: The event token carries the condition (a class to generate). Never for heads that answer it.
        only: The collections seen; empty for all.
        beside: Collections that the head reads beside what the backbone has seen: what it learns to make of it.
    """

    causal: bool = False
    conditioned: bool = False
    only: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    def __call__(self, streams: Streams, generator: torch.Generator | None = None) -> Streams:
        """The tokens as seen, and those beside."""
        return {n: t for n, t in streams.items() if n in (*self.only, *self.beside)} if self.only else streams


@dataclass(frozen=True, kw_only=True)
class Masked(View):
    """A random fraction of the tokens of one collection is hidden: only their rank in the event stays known.

    Args:
        of: The collection.
        fraction: Probability that a token is hidden.
    """

    of: str
    fraction: float = 0.4

    def __call__(self, streams: Streams, generator: torch.Generator | None = None) -> Streams:
        """Hide tokens at random. `generator` lives on the CPU; None takes torch's default one."""
        tokens = streams[self.of]
        draw = torch.rand(len(tokens.ragged.values), generator=generator)
        return super().__call__({**streams, self.of: tokens.hide(draw < self.fraction)})


@dataclass(frozen=True, kw_only=True)
class Noised(View):
    r"""The features of one collection on their way from noise to data, each event at a time of its own.

    At time :math:`t` they are :math:`x_t = (1 - t)\,\varepsilon + t\,x`, :math:`\varepsilon` of a unit Gaussian: the
    straight path of Liu et al., arXiv 2209.03003, which is that of optimal transport in Lipman et al., arXiv
    2210.02747, eq. 22, for a narrow end. Codes are taken away, for they would tell the data.

    Args:
        of: The collection; its tokens need features.
        times: How t is drawn: `uniform`, or `logit_normal` with most in the middle (Esser et al., arXiv 2403.03206).
    """

    of: str
    times: Literal["uniform", "logit_normal"] = "uniform"

    def __call__(self, streams: Streams, generator: torch.Generator | None = None) -> Streams:
        """Draw times and noise. `generator` lives on the CPU; None takes torch's default one."""
        events = len(streams[self.of])
        if self.times == "uniform":
            time_B = torch.rand(events, generator=generator)
        else:
            time_B = torch.randn(events, generator=generator).sigmoid()
        return self.at(streams, time_B, generator)

    def at(self, streams: Streams, time_B: Tensor, generator: torch.Generator | None = None) -> Streams:
        """Draw noise for the given (B,) times."""
        tokens = streams[self.of]
        assert tokens.features is not None
        x_TF, device = tokens.features, tokens.features.device
        time_B = sent(time_B, device)
        noise_TF = sent(torch.randn(x_TF.shape, generator=generator), device)
        if tokens.real is not None:
            noise_TF = noise_TF * tokens.real
        t_T1 = time_B[tokens.ragged.event][:, None]
        noised_TF = (1 - t_T1) * noise_TF + t_T1 * x_TF
        seen = replace(tokens, features=noised_TF, codes=None, time=time_B, velocity=x_TF - noise_TF)
        return super().__call__({**streams, self.of: seen})
