"""Filling in: the fields of rows that are known to be there, given all that is known of their events.

A shower's layers are known before their energies, its patches before their cells: what is to be made has its rows in
the batch already, with NaN for what is not known yet. `fill` asks one head for it; heads are asked one after the other,
each seeing what those before have made.

Shapes: B events, R rows of each, T = B R rows of all, D width, F features.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.model.backbone import Backbone, Cache
from lpm.model.draw import Chooser, SampleConfig, uniform_of
from lpm.model.embed import Embed
from lpm.model.flow_sample import FlowSampleConfig, followed, solve
from lpm.model.heads.density import Density
from lpm.model.heads.flow import Flow
from lpm.model.heads.next_token import NextToken
from lpm.model.model import Model
from lpm.model.packing import Hidden
from lpm.tokens import Tokens

__all__ = ["Draws", "fill"]


@runtime_checkable
class Draws(Protocol):
    """A head that makes all features of a collection in one go, from hidden states that have not seen them.

    Attributes:
        of: The collection.
    """

    of: str

    def draw(self, hidden: Hidden, tokens: Tokens, generator: torch.Generator) -> Tensor:
        """(T, F) features.

        Args:
            hidden: States of the head's view.
            tokens: Rows to be made: places, and what is known of them. Their features are 0.
            generator: Of the CPU.
        """
        ...


@torch.no_grad()
def fill(
    model: Model, batch: Batch, name: str, *, config: FlowSampleConfig | None = None, generator: torch.Generator
) -> Batch:
    """The events with the rows of one head's collection filled in.

    Args:
        model: With the head. It should be in evaluation mode.
        batch: Events with all collections that the head sees, and with the rows that it makes.
        name: Of the head: a flow, one of next tokens, or one that draws.
        config: How to follow a flow, if it is one.
        generator: Of the CPU; the same state gives the same events.

    Returns:
        The events, where the model is.

    Raises:
        ValueError: If the head cannot generate rows, or its training has diverged.
    """
    head = model.head(name)
    batch = batch.to(model.prefix.device)
    if isinstance(head, NextToken):
        return _grow(model, head, batch, generator)
    if isinstance(head, Flow):
        tokens = _follow(model, head, batch, followed(head, config), generator)
        of = head.config.of
    elif isinstance(head, Density | Draws):
        of = head.of
        streams = model.encode(batch)
        hidden, empty = model.hidden(batch, head.view(streams), head.view), _with(streams[of], None)
        of_rows = {"row_T": head.rows(batch)} if isinstance(head, Density) else {}
        tokens = _with(empty, head.draw(hidden, empty, generator, **of_rows))
    else:
        raise ValueError(f"head {name} makes no rows; name one that generates")
    assert tokens.features is not None
    if not bool(tokens.features.isfinite().all()):
        raise ValueError("what the model makes is not finite: its training has diverged; take an earlier one")
    return _put(model, batch, of, model.tokenizer(of).decode(tokens, generator))


def _with(tokens: Tokens, features: Tensor | None, time: Tensor | None = None) -> Tokens:
    """Tokens with other features, zeros for None; codes would tell what is to be made."""
    assert tokens.features is not None
    features = torch.zeros_like(tokens.features) if features is None else features
    if tokens.real is not None:
        features = features * tokens.real
    return replace(tokens, features=features, codes=None, time=time)


def _follow(model: Model, head: Flow, batch: Batch, config: FlowSampleConfig, generator: torch.Generator) -> Tokens:
    """Rows from noise, all at once."""
    of, streams = head.config.of, model.encode(batch)
    ground = model.ground(batch, head.view.only)
    shown, made = {n: t for n, t in streams.items() if not head.view.only or n in head.view.only}, streams[of]
    assert made.features is not None

    def velocity(x_TF: Tensor, t: float) -> Tensor:
        tokens = _with(made, x_TF, x_TF.new_full((len(batch),), t))
        return head.velocity(model.hidden(batch, {**shown, of: tokens}, head.view, ground), tokens)

    noise_TF = torch.randn(made.features.shape, generator=generator).to(made.features)
    return _with(made, solve(velocity, _real(made, noise_TF), config))


def _real(tokens: Tokens, features: Tensor) -> Tensor:
    return features if tokens.real is None else features * tokens.real


def _grow(model: Model, head: NextToken, batch: Batch, generator: torch.Generator) -> Batch:
    """Rows one after the other, equally many in all events."""
    of, body, device = head.config.of, model.backbone, model.prefix.device
    assert isinstance(body, Backbone)
    cache = Cache(body.config, len(batch), model.prefix)
    for i, x_D in enumerate(model.prefix):
        x_BD = x_D.expand(len(batch), -1)
        if i == 0 and model.condition is not None:
            x_BD = x_BD + model.said(batch)
        h_BD = body.step(x_BD, [cache])
    for name in (n for n in model.tokenizers if n != of and (not head.view.only or n in head.view.only)):
        for row in range(_each(batch, name)):
            h_BD = body.step(_embedded(model, batch, name, row), [cache])
    choose = Chooser(SampleConfig(), uniform_of(generator, device), device)
    tokenizer, many, columns = model.tokenizer(of), _each(batch, of), _columns(model, batch, of)
    batch = _replaced(batch, of, batch.collections[of].values.clone())
    values_BRF = batch.collections[of].values.view(len(batch), many, -1)  # of the copy, filled row by row
    for row in range(many):
        codes_BK = head.chain.sample(h_BD, choose)
        tokens = replace(tokenizer.encode(_row(batch, of, row)), features=None, codes=codes_BK)
        values_BRF[:, row, columns] = tokenizer.decode(tokens, generator).values.to(values_BRF.dtype)
        if row + 1 < many:
            h_BD = body.step(_embedded(model, batch, of, row), [cache])
    choose.check()
    return batch


def _each(batch: Batch, name: str) -> int:
    """Rows of each event.

    Raises:
        ValueError: If events have different numbers of rows.
    """
    lengths = batch.collections[name].host_offsets.diff()
    if not len(lengths):
        return 0
    if int(lengths.min()) < int(lengths.max()):
        raise ValueError(f"rows of {name} are made for events that have equally many; sort events by their geometry")
    return int(lengths[0])


def _row(batch: Batch, name: str, row: int) -> Batch:
    """One row of each event."""
    values = batch.collections[name].values.view(len(batch), _each(batch, name), -1)[:, row]
    # Not marked as single: what a tokenizer reads is the collection as it stands in its schema.
    lengths = torch.ones(len(batch), dtype=torch.int64, device=values.device)
    return Batch(batch.schema, {**batch.collections, name: Ragged.from_lengths(values, lengths)})


def _embedded(model: Model, batch: Batch, name: str, row: int) -> Tensor:
    embed = model.embeds[name]
    assert isinstance(embed, Embed)
    out: Tensor = embed(model.tokenizer(name).encode(_row(batch, name, row)))
    return out


def _columns(model: Model, batch: Batch, of: str) -> list[int]:
    names = batch.schema[of].names
    return [names.index(path.partition(".")[2]) for path in model.tokenizer(of).paths]


def _put(model: Model, batch: Batch, of: str, made: Ragged) -> Batch:
    values = batch.collections[of].values.clone()
    values[:, _columns(model, batch, of)] = made.values.to(values.dtype)
    return _replaced(batch, of, values)


def _replaced(batch: Batch, of: str, values: Tensor) -> Batch:
    return Batch(batch.schema, {**batch.collections, of: batch.collections[of].with_values(values)})
