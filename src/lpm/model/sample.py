"""Sampling events from a next-token model, with a key-value cache.

Many events grow in step; those that have ended are dropped from the cache, so work shrinks as events finish.
Shapes: B events still growing, D width, K code columns, V vocabulary, A positions so far, H heads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.schema import Collection, Field, Schema
from lpm.model.backbone import Backbone, Cache
from lpm.model.embed import Embed
from lpm.model.heads.next_token import NextToken
from lpm.model.model import Model
from lpm.tokens import Tokens

__all__ = ["SampleConfig", "generate"]

KEPT = 0.8
"""Ended events ride along until less than this share is still growing: moving the cache costs more than they do."""


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """How to sample.

    Args:
        temperature: Divides the log-odds; below 1 sharpens. 1 samples the learned distribution.
        top_k: Keep only the k most probable codes; 0 keeps all.
        top_p: Keep only the most probable codes that together reach this probability; 1 keeps all.
        longest: Rows after which an event is ended.
        batch: Events that grow together.

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
        seed: The same seed gives the same events.

    Yields:
        Batches of the collection's decoded fields and, if `classes` is given, the field of the condition; on the CPU,
        wherever the model is.

    Raises:
        ValueError: If the model cannot generate, or was not conditioned on classes.
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
        for start in range(0, n, config.batch):
            size = min(config.batch, n - start)
            part = None if classes is None else classes[start : start + size]
            yield _grow(model, chosen, size, config, part, generator).to("cpu")
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
        # The generator lives on the CPU, so that a seed means the same on every device.
        return torch.multinomial(p_BV.cpu(), 1, generator=generator)[:, 0].to(logits_BV.device)

    return draw


@torch.no_grad()
def _grow(
    model: Model, head: NextToken, size: int, config: SampleConfig, classes: Tensor | None, generator: torch.Generator
) -> Batch:
    """Grow `size` events from nothing to their ends."""
    name = head.config.of
    tokenizer, embed, draw = model.tokenizer(name), model.embeds[name], chooser(config, generator)
    body = model.backbone
    assert isinstance(embed, Embed)
    assert isinstance(body, Backbone)
    cache = Cache(body.config, size, model.prefix)
    bias = _GrowingBias(model, name, size)
    event = torch.arange(size, device=model.prefix.device)
    growing = torch.ones_like(event, dtype=torch.bool)
    h_BD = _begin(model, cache, size, classes, bias)
    grown: list[tuple[Tensor, Tensor, Tensor | None]] = []
    for _ in range(config.longest):
        codes_BK, ended_B = head.sample(h_BD, draw, generator)
        growing = growing & ~ended_B
        count = int(growing.sum())
        if count == 0:
            break
        if count < KEPT * len(event):
            keep = growing.nonzero()[:, 0]
            event, codes_BK, growing = event[keep], codes_BK[keep], growing[keep]
            cache.keep(keep)
            bias.keep(keep)
        values, features = tokenizer.complete(codes_BK, generator)
        grown.append((event[growing], codes_BK[growing], None if values is None else values[growing]))
        x_BD = embed.content(features, codes_BK)
        h_BD = body.step(x_BD, cache, bias.next(values))
    return _assemble(model, name, size, grown, classes)


def _begin(model: Model, cache: Cache, size: int, classes: Tensor | None, bias: _GrowingBias) -> Tensor:
    """Feed the prefix; the state after its last token predicts the first row."""
    assert isinstance(model.backbone, Backbone)
    h_BD = model.prefix.new_empty(0)
    for i, x_D in enumerate(model.prefix):
        x_BD = x_D.expand(size, -1)
        if i == 0 and model.condition is not None:
            said = torch.full((size,), -1.0) if classes is None else classes.float()
            x_BD = x_BD + model.condition(said.to(x_BD.device))
        h_BD = model.backbone.step(x_BD, cache, bias.next(None))
    return h_BD


class _GrowingBias:
    """Pairwise bias of the newest position with all before it, row by row what `PairBias` gives at once."""

    def __init__(self, model: Model, name: str, size: int) -> None:
        self.module = model.pairs
        self.real = torch.zeros(0, dtype=torch.bool, device=model.prefix.device)
        self.past = model.prefix.new_zeros(size, 0, 3)
        if model.config.pairs is not None:
            c, paths = model.config.pairs, model.tokenizer(name).paths
            self.columns = [paths.index(p) for p in (c.pt, c.eta, c.phi)]

    def keep(self, events: Tensor) -> None:
        self.past = self.past[events]

    def next(self, values: Tensor | None) -> Tensor | None:
        """(B, H, A) bias of a row with the given values (B, fields), or of a prefix token for None."""
        if self.module is None:
            return None
        here = self.past.new_ones(len(self.past), 3) if values is None else values[:, self.columns]
        self.past = torch.cat([self.past, here[:, None]], 1)
        self.real = torch.cat([self.real, self.real.new_tensor([values is not None])])
        bias_BAH = self.module.pair(here[:, None], self.past)
        return torch.where((self.real & self.real[-1])[:, None], bias_BAH, 0.0).transpose(1, 2)


def _assemble(
    model: Model, name: str, size: int, grown: list[tuple[Tensor, Tensor, Tensor | None]], classes: Tensor | None
) -> Batch:
    """Sort what grew step by step into events, and decode it."""
    tokenizer = model.tokenizer(name)
    collection = tokenizer.schema(model.schema)
    alive = torch.cat([a for a, _, _ in grown]) if grown else model.prefix.new_zeros(0, dtype=torch.int64)
    order = alive.argsort(stable=True)
    lengths = torch.bincount(alive, minlength=size)
    if not grown:
        rows = Ragged.from_lengths(model.prefix.new_zeros(0, len(collection.fields)), lengths)
    elif grown[0][2] is not None:
        rows = Ragged.from_lengths(torch.cat([v for _, _, v in grown if v is not None])[order], lengths)
    else:
        codes = Ragged.from_lengths(torch.cat([c for _, c, _ in grown])[order], lengths)
        rows = tokenizer.decode(Tokens(codes.offsets, codes=codes.values))
    batch = Batch(Schema(name=model.schema.name, collections=(collection,)), {name: rows})
    if classes is None:
        return batch
    assert model.config.condition is not None
    at, field = model.config.condition.field.split(".")
    label = Field(name=field, kind="category", labels=model.config.condition.classes, truth=True)
    made = Collection(name=at, fields=(label,), single=True)
    return Batch(
        batch.schema.replace(made), {name: rows, at: Ragged.single(classes.float()[:, None].to(rows.values.device))}
    )
