"""Sampling events from a next-token model, with a key-value cache and places that are filled again.

Events that begin together are a wave: they have equally many rows at any time, so that a wave's cache has no gaps and
needs no mask. As events end they are dropped from their wave, and once enough places are free the next events begin
as a new wave. All waves share each matrix product, which therefore stays large to the end; only attention runs wave
by wave. The prefix is the same for all events of a class and passes the backbone once.

Shapes: B events still growing, D width, K code columns, V vocabulary, A positions so far, H heads, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.schema import Collection, Field, Schema
from lpm.model.backbone import Backbone, Cache
from lpm.model.embed import Embed
from lpm.model.heads.next_token import NextToken
from lpm.model.model import Model
from lpm.tokens import Tokens

__all__ = ["SampleConfig", "assemble", "generate"]

KEPT = 0.8
"""Ended events ride along until less than this share is still growing: moving the cache costs more than they do."""

REFILL = 0.25
"""New events begin when this share of the places is free; never was 15% slower with 100 places and 7% with 500."""


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """How to sample.

    Args:
        temperature: Divides the log-odds; below 1 sharpens. 1 samples the learned distribution.
        top_k: Keep only the k most probable codes; 0 keeps all.
        top_p: Keep only the most probable codes that together reach this probability; 1 keeps all.
        longest: Rows after which an event is ended.
        batch: Events that grow together, and events of a batch that is returned.

    Raises:
        ValueError: If a value is out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    longest: int = 256
    batch: int = 500

    def __post_init__(self) -> None:
        if not (
            self.temperature > 0 and self.top_k >= 0 and 0 < self.top_p <= 1 and self.longest > 0 and self.batch > 0
        ):
            raise ValueError(f"expected temperature > 0, top_k ≥ 0, 0 < top_p ≤ 1, longest > 0, batch > 0; got {self}")


def generate(
    model: Model,
    n: int,
    *,
    config: SampleConfig | None = None,
    classes: Tensor | None = None,
    head: str = "next",
    seed: int = 0,
) -> Iterator[Batch]:
    """Sample n events, batch by batch.

    Args:
        model: With one collection and a `NextToken` head of it.
        n: Number of events.
        config: How to sample.
        classes: (n,) index into the classes of the model's condition, or None to let the model choose.
        head: Name of the head.
        seed: The same seed and configuration give the same events.

    Yields:
        Batches of `config.batch` events (the last of what remains), in the order of `classes`: the collection's decoded
        fields and, if `classes` is given, the field of the condition; on the CPU, wherever the model is.

    Raises:
        ValueError: If the model cannot generate, was not conditioned on classes, or gives no finite probabilities.
    """
    config = config or SampleConfig()
    chosen = model.head(head) if head in model.heads else None
    if not isinstance(chosen, NextToken) or len(model.tokenizers) != 1:
        raise ValueError(f"this model cannot generate: head {head!r} is no next-token head of its only collection")
    if classes is not None and model.condition is None:
        raise ValueError("this model was not conditioned on a class; leave the classes out")
    if n <= 0:
        raise ValueError(f"expected a positive number of events, got {n}")
    generator = torch.Generator().manual_seed(seed)
    was_training = model.training
    model.eval()
    try:
        yield from _grow(model, chosen, n, config, classes, generator)
    finally:
        model.train(was_training)


def chooser(config: SampleConfig, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """A function that draws (B,) codes from (B, V) logits.

    Example:
        >>> draw = chooser(SampleConfig(top_k=1), torch.Generator().manual_seed(0))
        >>> draw(torch.tensor([[0.0, 2.0, 1.0]])).tolist()
        [1]
    """

    def draw(logits_BV: Tensor) -> Tensor:
        logits_BV = logits_BV / config.temperature
        if 0 < config.top_k < logits_BV.shape[1]:
            floor_B1 = logits_BV.topk(config.top_k).values[:, -1:]
            logits_BV = logits_BV.masked_fill(logits_BV < floor_B1, float("-inf"))
        p_BV = logits_BV.softmax(1)
        if config.top_p < 1:
            sorted_BV, order_BV = p_BV.sort(1, descending=True)
            sorted_BV = sorted_BV.masked_fill(sorted_BV.cumsum(1) - sorted_BV >= config.top_p, 0)
            p_BV = torch.zeros_like(p_BV).scatter(1, order_BV, sorted_BV)
        # One random number an event, through the inverse of the cumulative distribution: `torch.multinomial` draws one
        # for each word, which for 8,192 words takes as long as all layers. As 0 ≤ u < 1, a word of no probability is
        # not met, but for rounding on a device that adds in another order. The generator lives on the CPU, so that a
        # seed means the same on every device.
        cdf_BV = p_BV.cumsum(1)
        if not bool(cdf_BV[:, -1].isfinite().all()):
            raise ValueError("the model's probabilities are not finite: its training has diverged; take an earlier one")
        u_B1 = torch.rand(len(cdf_BV), 1, generator=generator).to(cdf_BV.device)
        return torch.searchsorted(cdf_BV, u_B1 * cdf_BV[:, -1:], right=True)[:, 0]

    return draw


@torch.no_grad()
def _grow(
    model: Model, head: NextToken, n: int, config: SampleConfig, classes: Tensor | None, generator: torch.Generator
) -> Iterator[Batch]:
    """Grow n events from nothing to their ends; batches of them in order, as soon as all of one have ended."""
    prefix, draw = _Prefix(model, head.config.of), chooser(config, generator)
    waves: list[_Wave] = []
    grown: list[_Rows] = []
    begun = given = 0
    while waves or begun < n:
        free = config.batch - sum(len(w.event) for w in waves)
        if begun < n and (not waves or free >= REFILL * config.batch):
            count = min(free, n - begun)
            waves.append(prefix.begin(begun, count, classes))
            begun += count
        waves = _step(model, head, waves, draw, generator, grown)
        waves = [w for w in waves if w.rows < config.longest]
        ended = min([w.first for w in waves], default=begun)
        while given < n and ended >= (end := min(given + config.batch, n)):
            rows, grown = _split(grown, end)
            part = None if classes is None else classes[given:end]
            yield _assemble(model, head.config.of, rows, end - given, given, part)
            given = end


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


@dataclass(frozen=True, eq=False)
class _Rows:
    """Grown rows: (T,) event numbers, (T, K) codes, and (T, fields) values if single codes have them."""

    event: Tensor
    codes: Tensor
    values: Tensor | None

    def __getitem__(self, index: Tensor) -> _Rows:
        values = None if self.values is None else self.values[index]
        return _Rows(self.event[index], self.codes[index], values)


def _step(
    model: Model,
    head: NextToken,
    waves: list[_Wave],
    draw: Callable[[Tensor], Tensor],
    generator: torch.Generator,
    grown: list[_Rows],
) -> list[_Wave]:
    """One row more for each event, noted in `grown`; the waves that are still growing."""
    tokenizer, embed, body = model.tokenizer(head.config.of), model.embeds[head.config.of], model.backbone
    assert isinstance(embed, Embed)
    assert isinstance(body, Backbone)
    sizes = [len(w.event) for w in waves]
    codes_BK, ended_B = head.sample(torch.cat([w.state for w in waves]), draw, generator)
    growing_B = torch.cat([w.growing for w in waves]) & ~ended_B
    growing = growing_B.split_with_sizes(sizes)
    # One question to the device for all waves.
    counts = torch.stack([g.sum() for g in growing]).tolist()
    alive, codes = [], []
    for wave, code_BK, still, count in zip(waves, codes_BK.split_with_sizes(sizes), growing, counts, strict=True):
        if count:
            wave.growing = still
            codes.append(wave.drop(code_BK) if count < KEPT * len(still) else code_BK)
            alive.append(wave)
    if not alive:
        return []
    codes_BK, sizes = torch.cat(codes), [len(w.event) for w in alive]
    values, features = tokenizer.complete(codes_BK, generator)
    event, still = torch.cat([w.event for w in alive]), torch.cat([w.growing for w in alive])
    grown.append(_Rows(event, codes_BK, values)[still])
    parts = [None] * len(alive) if values is None else values.split_with_sizes(sizes)
    biases = [w.bias.next(v) for w, v in zip(alive, parts, strict=True)]
    h_BD = body.step(embed.content(features, codes_BK), [w.cache for w in alive], biases)
    for wave, part_BD in zip(alive, h_BD.split_with_sizes(sizes), strict=True):
        wave.state, wave.rows = part_BD, wave.rows + 1
    return alive


class _Prefix:
    """Keys, values and last states (C + 1, D) of the prefix, for no class said and for each class."""

    def __init__(self, model: Model, name: str) -> None:
        assert isinstance(model.backbone, Backbone)
        self.model, self.name, condition = model, name, model.config.condition
        said = torch.arange(-1.0, len(condition.classes) if condition else 0.0, device=model.prefix.device)
        self.cache = Cache(model.backbone.config, len(said), model.prefix)
        for i, x_D in enumerate(model.prefix):
            x_CD = x_D.expand(len(said), -1)
            if i == 0 and model.condition is not None:
                x_CD = x_CD + model.condition(said)
            self.h_CD = model.backbone.step(x_CD, [self.cache])

    def begin(self, first: int, count: int, classes: Tensor | None) -> _Wave:
        """The next events, at their prefix; its last state predicts the first row."""
        event = torch.arange(first, first + count, device=self.h_CD.device)
        known = torch.zeros(count) if classes is None else classes[first : first + count].float() + 1
        which = torch.where(known.isfinite() & (known > 0), known, 0).long().to(event.device)
        bias = _GrowingBias(self.model, self.name, count)
        return _Wave(event, torch.ones_like(event) > 0, self.h_CD[which], self.cache.of(which), bias, first)


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


def _split(grown: list[_Rows], end: int) -> tuple[_Rows | None, list[_Rows]]:
    """The rows of events below `end`, event by event, and the rest; None if nothing has grown."""
    if not grown:
        return None, []
    values = [r.values for r in grown if r.values is not None]
    event, codes = torch.cat([r.event for r in grown]), torch.cat([r.codes for r in grown])
    whole = _Rows(event, codes, torch.cat(values) if values else None)
    ready = whole[event < end]
    return ready[ready.event.argsort(stable=True)], [whole[event >= end]]


def _assemble(model: Model, name: str, rows: _Rows | None, size: int, first: int, classes: Tensor | None) -> Batch:
    """`size` events from the number `first` on, decoded."""
    tokenizer = model.tokenizer(name)
    if rows is None:
        fields = model.prefix.new_zeros(0, len(tokenizer.paths))
        made = Ragged.from_lengths(fields, torch.zeros(size, dtype=torch.int64, device=fields.device))
    else:
        lengths = torch.bincount(rows.event - first, minlength=size)
        if rows.values is not None:
            made = Ragged.from_lengths(rows.values, lengths)
        else:
            codes = Ragged.from_lengths(rows.codes, lengths)
            made = tokenizer.decode(Tokens(codes.offsets, codes=codes.values))
    return assemble(model, name, made, classes)


def assemble(model: Model, name: str, made: Ragged, classes: Tensor | None) -> Batch:
    """Events of one collection, on the CPU.

    Args:
        model: That made them.
        name: Of the collection.
        made: Its rows.
        classes: (B,) class of each event, which becomes the field of the model's condition, or None.
    """
    collection = model.tokenizer(name).schema(model.schema)
    schema = Schema(name=model.schema.name, collections=(collection,))
    if classes is None:
        return Batch(schema, {name: made}).to("cpu")
    assert model.config.condition is not None
    at, field = model.config.condition.field.split(".")
    label = Field(name=field, kind="category", labels=model.config.condition.classes, truth=True)
    one = Collection(name=at, fields=(label,), single=True)
    return Batch(schema.replace(one), {name: made.to("cpu"), at: Ragged.single(classes.float().cpu()[:, None])})
