"""Flash simulation at work: reconstructed events drawn for generated ones, by a model of `lpm.recipes.flash`.

Of single particles and objects it is drawn first what becomes of each, then what is measured of those that are found,
in one pass of the body: neither question sees the other's answer. Of photons near each other the numbers of clusters
are drawn for all first, and seen when what they measure is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lpm.data import flash, matched
from lpm.data.batch import Batch, Ragged
from lpm.data.flash import NEUTRALS, OUTCOMES, TRACKS
from lpm.data.matched import MATCHED
from lpm.data.schema import Collection, Field, Schema
from lpm.model.conditional import fill
from lpm.model.heads import Classify, Density, Segment
from lpm.model.heads.base import Head
from lpm.model.model import Model
from lpm.model.packing import Hidden
from lpm.tokens import Continuous, Tokens

__all__ = ["FAR", "apply", "is_flash"]

FAR = 4.0
"""Deviations from the mean in training beyond which what is generated is called unusual."""


@dataclass(frozen=True)
class _Pair:
    """One generated row an event, and the row that is made of it or not.

    Args:
        made: The collection of what is made.
        schema: Of such events.
        found: Rows of each outcome.
        settled: What is stored of the rows that are made, given what was generated.
    """

    made: str
    schema: Schema
    found: tuple[int, ...]
    settled: Callable[[Tensor, Tensor], Tensor]


_KIND = MATCHED["generated"].names.index("kind")
_PAIRS = {
    "particle": _Pair("track", TRACKS, tuple(int(n in ("found", "muon")) for n in OUTCOMES),
                      lambda rows, given: flash.settled(rows)),
    "generated": _Pair("object", MATCHED, (0, 1, 1), lambda rows, given: matched.settled(rows, given[:, _KIND].long())),
}  # fmt: skip
"""By the collection that is given."""


def is_flash(model: Model) -> bool:
    """Whether a model makes reconstructed events of generated ones."""
    return _given(model) is not None


def apply(model: Model, batches: Iterable[Batch], *, seed: int = 0) -> Iterator[Batch]:
    """Reconstructed events of generated ones, in their order.

    Args:
        model: Of `tracks`, `objects` or `clusters` of `lpm.recipes.flash`.
        batches: Events with the collection that it is given: `particle`, `generated` or `photon`. Others are not looked
            at.
        seed: The same seed, model and events give the same.

    Yields:
        Events of `lpm.data.flash.TRACKS`, `lpm.data.flash.NEUTRALS` or `lpm.data.matched.MATCHED`, on the CPU, with one
        more flag of what was generated: `unusual` if a number lies further from its mean in training than `FAR`
        deviations. They are answered nevertheless.

    Raises:
        ValueError: If the model is of another kind, or events lack what it needs.
    """
    given = _given(model)
    if given is None:
        raise ValueError(
            "this model reconstructs nothing; train one with lpm train flash.tracks, flash.objects or flash.clusters"
        )
    pair = _PAIRS.get(given)
    schema = pair.schema if pair else NEUTRALS
    generator = torch.Generator().manual_seed(seed)
    was_training = model.training
    model.eval()
    try:
        for batch in batches:
            known = _checked(batch, schema, given)
            drawn = _rows(model, known, given, generator) if pair else _clusters(model, known, generator)
            yield _flagged(model, drawn, given)
    finally:
        model.train(was_training)


def _given(model: Model) -> str | None:
    """The collection that a model of flash simulation is given."""
    kinds = {n: type(model.head(n)) for n in model.heads}
    for given, pair in _PAIRS.items():
        if kinds == {"outcome": Classify, pair.made: Density}:
            return given
    return "photon" if kinds == {"number": Segment, "cluster": Density} else None


def _checked(batch: Batch, schema: Schema, given: str) -> Batch:
    """Only what was generated.

    Raises:
        ValueError: If a field is missing, or a number is not finite or out of its range.
    """
    kept = [f for f in schema[given].fields if not f.truth]
    for field in kept:
        path = f"{given}.{field.name}"
        values = batch.field(path).values
        if not bool(values.isfinite().all()):
            raise ValueError(f"{path}: expected finite numbers, got {int((~values.isfinite()).sum())} that are not")
        if field.low is not None and len(values) and float(values.min()) < field.low:
            raise ValueError(f"{path}: expected at least {field.low}, got {float(values.min()):g}")
        if field.labels and len(values) and not 0 <= float(values.min()) <= float(values.max()) < field.size:
            raise ValueError(f"{path}: expected a number of {', '.join(field.labels)}")
    # In the order of the schema, whatever that of the file is.
    rows = batch.collections[given]
    columns = [batch.schema[given].index(f.name) for f in kept]
    made = Collection(name=given, fields=tuple(kept), single=schema[given].single)
    return Batch(Schema(name=schema.name, collections=(made,)), {given: rows.with_values(rows.values[:, columns])})


@torch.no_grad()
def _rows(model: Model, batch: Batch, given: str, generator: torch.Generator) -> Batch:
    """One pass of the body for both questions: neither sees what was reconstructed."""
    pair = _PAIRS[given]
    outcome, density = model.head("outcome"), model.head(pair.made)
    assert isinstance(outcome, Classify)
    assert isinstance(density, Density)
    hidden = _hidden(model, batch, density)
    chosen_B = _chosen(outcome.logits(hidden), generator)
    lengths_B = torch.tensor(pair.found, device=chosen_B.device)[chosen_B]
    empty = Ragged.from_lengths(hidden.x.new_empty(int(lengths_B.sum()), 0), lengths_B)
    drawn = density.draw(hidden, Tokens(empty.offsets, features=empty.values), generator)
    if not bool(drawn.isfinite().all()):
        raise ValueError("what the model makes is not finite: its training has diverged; take an earlier one")
    tokenizer, collection = model.tokenizer(pair.made), pair.schema[pair.made]
    names = [path.partition(".")[2] for path in tokenizer.paths]
    decoded = tokenizer.decode(Tokens(empty.offsets, features=drawn)).values
    in_order = _bounded(decoded[:, [names.index(n) for n in collection.names]], collection).cpu()
    known = batch.collections[given].values
    rows = pair.settled(in_order, known[lengths_B.cpu().bool()])
    whole = torch.cat([known, chosen_B[:, None].cpu().float()], 1)
    return Batch(pair.schema, {given: Ragged.single(whole), pair.made: Ragged(rows, empty.offsets.cpu())})


@torch.no_grad()
def _clusters(model: Model, batch: Batch, generator: torch.Generator) -> Batch:
    """Numbers of clusters of all photons first; then, seeing them, what each measures."""
    number, photons = model.head("number"), batch.collections["photon"]
    assert isinstance(number, Segment)
    chosen_T = _chosen(number.logits(_hidden(model, batch, number)), generator).cpu()
    told = photons.with_values(torch.cat([photons.values, chosen_T[:, None].float()], 1))
    of = torch.repeat_interleave(torch.arange(len(chosen_T)), chosen_T)
    event = photons.event[of]
    rows = torch.full((len(of), len(NEUTRALS["cluster"].fields)), torch.nan)
    rows[:, 0] = of - photons.offsets[:-1][event]
    empty = Ragged.from_lengths(rows, torch.bincount(event, minlength=len(photons)))
    shell = Batch(NEUTRALS, {"photon": told, "told": told, "cluster": empty})
    made = fill(model, shell, "cluster", generator=generator).to("cpu")
    values = _bounded(made.collections["cluster"].values, NEUTRALS["cluster"])
    return Batch(NEUTRALS, {**made.collections, "cluster": empty.with_values(values)})


def _hidden(model: Model, batch: Batch, head: Head) -> Hidden:
    """What the body makes of the events, in the view of a head."""
    far, view = batch.to(model.prefix.device), head.view
    streams = {name: model.tokenizer(name).encode(far) for name in view.only}
    return model.hidden(far, streams, view, model.ground(far, view.only))


def _chosen(logits: Tensor, generator: torch.Generator) -> Tensor:
    """(N,) one of the classes of each row, drawn as likely as the (N, C) log-odds say."""
    share = logits.softmax(1).cumsum(1)
    drawn = torch.rand(len(share), 1, generator=generator).to(share.device)
    return (drawn * share[:, -1:] >= share[:, :-1]).sum(1)


def _bounded(values: Tensor, collection: Collection) -> Tensor:
    """Numbers kept within the bounds of their fields."""
    columns = [
        x.clamp(f.low, f.high) if f.low is not None or f.high is not None else x
        for x, f in zip(values.unbind(1), collection.fields, strict=True)
    ]
    return torch.stack(columns, 1)


def _flagged(model: Model, batch: Batch, given: str) -> Batch:
    tokenizer = model.tokenizer(given)
    assert isinstance(tokenizer, Continuous)
    rows = batch.collections[given].values
    names = batch.schema[given].names
    far = torch.zeros(len(rows), dtype=torch.bool)
    for i, t in enumerate(tokenizer.config.fields):
        if t.form != "category":
            pull = (t(rows[:, names.index(t.field)]) - tokenizer.mean[i].cpu()) / tokenizer.std[i].cpu()
            far |= pull.abs() > FAR
    flag = Field(name="unusual", kind="flag", low=0.0, high=1.0, text="unlike what the model was trained on")
    return batch.with_field(given, flag, far)
