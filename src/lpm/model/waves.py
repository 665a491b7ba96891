"""Events that are sampled in waves, with a key-value cache and places that are filled again.

Events that begin together are a wave: they have equally many rows at any time, so that a wave's cache has no gaps and
needs no mask. As events end they are dropped from their wave, and once enough places are free the next events begin
as a new wave. All waves share each matrix product, which therefore stays large to the end; only attention runs wave
by wave. The prefix is the same for all events of a class and passes the backbone once.

Shapes: B events still growing, D width, K code columns, A positions so far, H heads, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lpm.model.backbone import Backbone, Cache
from lpm.model.draw import Chooser, SampleConfig
from lpm.model.embed import Embed
from lpm.model.heads.next_token import NextToken
from lpm.model.model import Model
from lpm.tokens.base import Uniform

__all__ = ["Prefix", "Rows", "Waves"]

KEPT = 0.8
"""Ended events ride along until less than this share is still growing: moving the cache costs more than they do."""

REFILL = 0.25
"""New events begin when this share of the places is free; never was 15% slower with 100 places and 7% with 500."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Grown rows.

    Args:
        event: (T,) number of the event of each.
        codes: (T, K).
        values: (T, fields), or None if single codes have none.
    """

    event: Tensor
    codes: Tensor
    values: Tensor | None

    def __getitem__(self, index: Tensor) -> Rows:
        """Some of the rows, by index or mask."""
        values = None if self.values is None else self.values[index]
        return Rows(self.event[index], self.codes[index], values)


class Waves:
    """n events that grow from nothing to their ends.

    Args:
        model: Of which they are.
        head: What grows them.
        config: How to draw, and how many grow together.
        n: Number of events.
        prefix: What they begin with.
        uniform: Where random numbers come from.
    """

    def __init__(
        self, model: Model, head: NextToken, config: SampleConfig, n: int, prefix: Prefix, uniform: Uniform
    ) -> None:
        self.model, self.head, self.config, self.n = model, head, config, n
        self.prefix, self.uniform = prefix, uniform
        self.choose = Chooser(config, uniform, model.prefix.device)
        self.waves: list[_Wave] = []
        self.begun = 0

    @property
    def ended(self) -> int:
        """All events with lower numbers have ended."""
        return min([w.first for w in self.waves], default=self.begun)

    @torch.no_grad()
    def advance(self) -> list[Rows]:
        """One row more for each growing event; what was grown."""
        free = self.config.batch - sum(len(w.event) for w in self.waves)
        if self.begun < self.n and (not self.waves or free >= REFILL * self.config.batch):
            self._begin(min(free, self.n - self.begun))
        sizes = [len(w.event) for w in self.waves]
        codes_BK, ended_B = self.head.sample(torch.cat([w.state for w in self.waves]), self.choose, self.uniform)
        growing_B = torch.cat([w.growing for w in self.waves]) & ~ended_B
        growing = growing_B.split_with_sizes(sizes)
        # One question to the device for all waves.
        *counts, finite = torch.stack([*(g.sum() for g in growing), self.choose.finite.long()]).tolist()
        if not finite:
            self.choose.check()
        alive, codes = [], []
        for wave, code_BK, still, count in zip(
            self.waves, codes_BK.split_with_sizes(sizes), growing, counts, strict=True
        ):
            if count:
                wave.growing = still
                codes.append(wave.drop(code_BK) if count < KEPT * len(still) else code_BK)
                alive.append(wave)
        self.waves = alive
        grown = [self._grow(torch.cat(codes))] if alive else []
        self.waves = [w for w in alive if w.rows < self.config.longest]
        return grown

    def _begin(self, count: int) -> None:
        """The next events, at their prefix; its last state predicts the first row."""
        which, first = self.prefix.of(self.begun, count), self.begun
        event = torch.arange(first, first + count, device=which.device)
        bias = _GrowingBias(self.model, self.head.config.of, count)
        cache, state = self.prefix.cache.of(which), self.prefix.h_CD[which]
        self.waves.append(_Wave(event, torch.ones_like(event) > 0, state, cache, bias, first))
        self.begun += count

    def _grow(self, codes_BK: Tensor) -> Rows:
        """Take the rows in: the states that predict the next ones."""
        embed, body, of = self.model.embeds[self.head.config.of], self.model.backbone, self.head.config.of
        assert isinstance(embed, Embed)
        assert isinstance(body, Backbone)
        sizes = [len(w.event) for w in self.waves]
        values, features = self.model.tokenizer(of).complete(codes_BK, self.uniform)
        event, still = (torch.cat([getattr(w, n) for w in self.waves]) for n in ("event", "growing"))
        parts = [None] * len(sizes) if values is None else values.split_with_sizes(sizes)
        biases = [w.bias.next(v) for w, v in zip(self.waves, parts, strict=True)]
        h_BD = body.step(embed.content(features, codes_BK), [w.cache for w in self.waves], biases)
        for wave, part_BD in zip(self.waves, h_BD.split_with_sizes(sizes), strict=True):
            wave.state, wave.rows = part_BD, wave.rows + 1
        return Rows(event, codes_BK, values)[still]


@dataclass(eq=False)
class _Wave:
    """Events that began together.

    Args:
        event: (B,) number of each event, rising.
        growing: (B,) False for those that have ended but are still carried.
        state: (B, D) states that predict the next row.
        first: The lowest number.
        rows: Rows grown so far.
    """

    event: Tensor
    growing: Tensor
    state: Tensor
    cache: Cache
    bias: _GrowingBias
    first: int
    rows: int = 0

    def drop(self, codes_BK: Tensor) -> Tensor:
        """Drop what has ended; the codes of what remains."""
        keep = self.growing.nonzero()[:, 0]
        self.event, self.growing = self.event[keep], self.growing[keep]
        self.first = int(self.event[0])
        self.cache.keep(keep)
        self.bias.keep(keep)
        return codes_BK[keep]


class Prefix:
    """Keys, values and last states (C + 1, D) of the prefix, for no class said and for each class.

    Args:
        model: Of which the events are.
        classes: (n,) class of each event, or None.
    """

    def __init__(self, model: Model, classes: Tensor | None) -> None:
        assert isinstance(model.backbone, Backbone)
        self.classes, condition = classes, model.config.condition
        said = torch.arange(-1.0, len(condition.classes) if condition else 0.0, device=model.prefix.device)
        self.cache = Cache(model.backbone.config, len(said), model.prefix)
        for i, x_D in enumerate(model.prefix):
            x_CD = x_D.expand(len(said), -1)
            if i == 0 and model.condition is not None:
                x_CD = x_CD + model.condition(said)
            self.h_CD = model.backbone.step(x_CD, [self.cache])

    def of(self, first: int, count: int) -> Tensor:
        """(count,) which of the prefixes the events from the number `first` on begin with."""
        known = torch.zeros(count) if self.classes is None else self.classes[first : first + count].float() + 1
        return torch.where(known.isfinite() & (known > 0), known, 0).long().to(self.h_CD.device)


class _GrowingBias:
    """Pairwise bias of the newest row with all positions before it, row by row what `PairBias` gives at once."""

    def __init__(self, model: Model, name: str, size: int) -> None:
        self.module, prefix = model.pairs, len(model.prefix)
        self.past = model.prefix.new_ones(size, prefix, 3)
        if model.config.pairs is not None:
            c, paths = model.config.pairs, model.tokenizer(name).paths
            self.columns, self.prefix = [paths.index(p) for p in (c.pt, c.eta, c.phi)], prefix

    def keep(self, events: Tensor) -> None:
        self.past = self.past[events]

    def next(self, values: Tensor | None) -> Tensor | None:
        """(B, H, A) bias of a row with the given values (B, fields); zero with the prefix."""
        if self.module is None:
            return None
        assert values is not None
        here = values[:, self.columns]
        self.past = torch.cat([self.past, here[:, None]], 1)
        bias_BAH = self.module.pair(here[:, None], self.past[:, self.prefix :])
        return F.pad(bias_BAH, (0, 0, self.prefix, 0)).transpose(1, 2)
