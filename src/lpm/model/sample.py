"""Sampling events from a next-token model.

Events grow in waves (`lpm.model.waves`) or, on an accelerator, in slots (`lpm.model.slots`); here their rows are put
together as events.

Shapes: B events, T rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.schema import Collection, Field, Schema
from lpm.model.draw import SampleConfig, uniform_of
from lpm.model.heads.next_token import NextToken
from lpm.model.model import Model
from lpm.model.slots import Slots
from lpm.model.waves import Prefix, Rows, Waves
from lpm.tokens import Tokens

__all__ = ["SampleConfig", "assemble", "generate"]


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
        seed: The same seed and configuration give the same events on the same kind of device.

    Yields:
        Batches of `config.batch` events (the last of what remains), in the order of `classes`: the collection's decoded
        fields and, if `classes` is given, the field of the condition; on the CPU, wherever the model is.

    Raises:
        ValueError: If the model cannot generate, or not in slots, was not conditioned on classes, or gives no finite
            probabilities.
    """
    config = config or SampleConfig()
    chosen = model.head(head) if head in model.heads else None
    if not isinstance(chosen, NextToken) or len(model.tokenizers) != 1:
        raise ValueError(f"this model cannot generate: head {head!r} is no next-token head of its only collection")
    if classes is not None and model.condition is None:
        raise ValueError("this model was not conditioned on a class; leave the classes out")
    if n <= 0:
        raise ValueError(f"expected a positive number of events, got {n}")
    device, c = model.prefix.device, config
    uniform = uniform_of(torch.Generator().manual_seed(seed), device)
    slots = device.type == "cuda" and model.pairs is None if c.slots is None else c.slots
    if slots and model.pairs is not None:
        raise ValueError("slots: a model with a pairwise bias grows in waves only; leave slots out")
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            grower = (Slots if slots else Waves)(model, chosen, c, n, Prefix(model, classes), uniform)
        yield from _grow(grower, model, chosen.config.of, n, c.batch, classes)
    finally:
        model.train(was_training)


def _grow(grower: Waves | Slots, model: Model, name: str, n: int, size: int, classes: Tensor | None) -> Iterator[Batch]:
    """Batches of n events in order, as soon as all of one have ended."""
    grown: list[Rows] = []
    given = 0
    while given < n:
        grown += grower.advance()
        while given < n and grower.ended >= (end := min(given + size, n)):
            rows, grown = _split(grown, end)
            yield _assemble(model, name, rows, end - given, given, None if classes is None else classes[given:end])
            given = end


def _split(grown: list[Rows], end: int) -> tuple[Rows | None, list[Rows]]:
    """The rows of events below `end`, event by event, and the rest; None if nothing has grown."""
    if not grown:
        return None, []
    values = [r.values for r in grown if r.values is not None]
    event, codes = torch.cat([r.event for r in grown]), torch.cat([r.codes for r in grown])
    whole = Rows(event, codes, torch.cat(values) if values else None)
    ready = whole[event < end]
    return ready[ready.event.argsort(stable=True)], [whole[event >= end]]


@torch.no_grad()
def _assemble(model: Model, name: str, rows: Rows | None, size: int, first: int, classes: Tensor | None) -> Batch:
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
