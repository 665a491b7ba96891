"""Events that are sampled in places of a fixed shape, whose step an accelerator replays as one CUDA graph.

A step of sampling is a hundred small kernels, and an accelerator takes longer to be told of them than to carry them
out. Here nothing changes its shape: each slot holds an event with room for the longest, a mask says how far it has
come, and an event that ends makes place for the next one within the step. So the step is captured once and replayed,
and the CPU looks at what has grown only every `STRIDE` steps. On the CPU, where starting a kernel costs nothing,
attention over the longest event makes this slower than waves (`lpm.model.waves`).

Shapes: B slots, D width, K code columns, A positions of the longest event, H heads, E head width, P prefix tokens.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lpm.model.backbone import Backbone, Block
from lpm.model.draw import Chooser, SampleConfig
from lpm.model.embed import Embed
from lpm.model.heads.next_token import NextToken
from lpm.model.model import Model
from lpm.model.waves import Prefix, Rows
from lpm.tokens.base import Uniform

__all__ = ["STRIDE", "Slots"]

STRIDE = 32
"""Steps between two looks of the CPU."""

WARM = 3
"""Steps before the capture, in which libraries make ready what they may not make ready within it."""


class Slots:
    """n events that grow from nothing to their ends.

    Args:
        model: Of which they are; without pairwise bias.
        head: What grows them.
        config: How to draw, and how many grow together.
        n: Number of events.
        prefix: What they begin with.
        uniform: Where random numbers come from.
    """

    def __init__(
        self, model: Model, head: NextToken, config: SampleConfig, n: int, prefix: Prefix, uniform: Uniform
    ) -> None:
        embed, body, x = model.embeds[head.config.of], model.backbone, model.prefix
        assert isinstance(embed, Embed)
        assert isinstance(body, Backbone)
        self.embed, self.body, self.head, self.prefix, self.uniform = embed, body, head, prefix, uniform
        self.tokenizer, self.n, self.longest = model.tokenizer(head.config.of), n, config.longest
        c, self.size, self.start = body.config, min(config.batch, n), len(x)
        self.which = prefix.of(0, n)
        self.kv = x.new_zeros(c.depth, 2, self.size, c.heads, self.start + config.longest, c.width // c.heads)
        self.choose = Chooser(config, self._next_uniform, x.device)
        self.slot, self.event, self.at = (torch.arange(self.size, device=x.device) for _ in range(3))
        self.count, self.step = (torch.zeros(1, dtype=torch.int64, device=x.device) for _ in range(2))
        self.state = x.new_empty(self.size, x.shape[1])
        columns, fields = len(self.tokenizer.vocab), len(self.tokenizer.paths)
        self.random = x.new_zeros(STRIDE, 1 + columns + fields, self.size)  # the end, the codes, places in their cells
        self.codes = self.event.new_zeros(STRIDE, self.size, columns)
        self.values = x.new_zeros(STRIDE, self.size, fields)
        self.grown = self.event.new_zeros(STRIDE, self.size)
        self._column, self._valued = 0, True
        self._reset()
        self._run = self._captured() if x.is_cuda else self._advance
        self.ended = 0

    @torch.no_grad()
    def advance(self) -> list[Rows]:
        """`STRIDE` rows more for each slot; what was grown."""
        self.random.copy_(self.uniform(*self.random.shape))
        self.step.zero_()
        for _ in range(STRIDE):
            self._run()
        self.choose.check()
        self.ended = int(self.event.min())
        kept = (self.grown >= 0) & (self.grown < self.n)
        return [Rows(self.grown[kept], self.codes[kept], self.values[kept] if self._valued else None)]

    def _reset(self) -> None:
        """The first events, at their prefix."""
        torch.arange(self.size, out=self.event)
        self.at.fill_(self.start)
        self.count.fill_(self.size)
        self.step.zero_()
        self.choose.finite.fill_(True)
        which = self.which[self.event]
        self.state.copy_(self.prefix.h_CD[which])
        self.kv[:, :, :, :, : self.start] = self._prefix_of(which)

    def _prefix_of(self, which: Tensor) -> Tensor:
        return self.prefix.cache.kv[:, :, which, :, : self.start]

    def _captured(self) -> Callable[[], None]:
        """The step as a graph; what carries it out for trial is undone."""
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            for _ in range(WARM):
                self._advance()
        here.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._advance()
        self._reset()
        return graph.replay

    def _next_uniform(self, *shape: int) -> Tensor:
        """The random numbers of this step, one for each slot at a time: always in the same order."""
        column = self.random.index_select(0, self.step)[0, self._column]
        self._column += 1
        return column.view(shape)

    def _advance(self) -> None:
        """One row more for each slot, or the next event; all in place, nothing is asked of the device."""
        self._column = 0
        codes_BK, ended_B = self.head.sample(self.state, self.choose, self._next_uniform)
        ended_B = ended_B | (self.at >= self.start + self.longest)
        values, features = self.tokenizer.complete(codes_BK, self._next_uniform)
        self.codes.index_copy_(0, self.step, codes_BK[None])
        self.grown.index_copy_(0, self.step, torch.where(ended_B, -1, self.event)[None])
        if values is None:
            self._valued = False
        else:
            self.values.index_copy_(0, self.step, values[None])
        h_BD = self._pass(self.embed.content(features, codes_BK))
        begins_B = ended_B.long()
        self.event.copy_(torch.where(ended_B, self.count + begins_B.cumsum(0) - 1, self.event))
        self.count.add_(begins_B.sum())
        which = self.which[self.event.clamp_max(self.n - 1)]
        begun = self.kv[:, :, :, :, : self.start]
        begun.copy_(torch.where(ended_B[:, None, None, None], self._prefix_of(which), begun))
        self.state.copy_(torch.where(ended_B[:, None], self.prefix.h_CD[which], h_BD))
        self.at.copy_(torch.where(ended_B, self.start, self.at + 1))
        self.step.add_(1)

    def _pass(self, x_BD: Tensor) -> Tensor:
        """States of one more position of each slot. A full slot writes over its last one; it begins anew anyway."""
        at_B = self.at.clamp_max(self.kv.shape[4] - 1)
        seen_B11A = (torch.arange(self.kv.shape[4], device=at_B.device) <= at_B[:, None])[:, None, None]
        for block, kv in zip(self.body.blocks, self.kv, strict=True):
            assert isinstance(block, Block)
            x_BD = block.step_at(x_BD, kv, self.slot, at_B, seen_B11A)
        out: Tensor = self.body.norm(x_BD)
        return out
