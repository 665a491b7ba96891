"""The events of a run: which are trained on, which are held out, which fields are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lpm.data.batch import Batch
from lpm.data.io import find_files, open_file
from lpm.data.patches import Patches, cut_each, with_shower
from lpm.data.schema import Schema
from lpm.data.source import Source
from lpm.model.heads import (
    AdversaryConfig,
    ChooseConfig,
    ClassifyConfig,
    DensityConfig,
    RegressConfig,
    SegmentConfig,
)
from lpm.model.heads.base import class_mask
from lpm.model.model import ModelConfig
from lpm.recipes.base import RunConfig
from lpm.tasks.jets import SUBSTRUCTURE, observe
from lpm.tasks.weights import Flatten, FlattenConfig, check
from lpm.tokens import CellsConfig, HybridConfig, QuantisedConfig, SharesConfig
from lpm.train.parallel import World

__all__ = ["Data", "open_data"]

AHEAD = 2
"""Batches kept ready for the loop."""


@dataclass(frozen=True)
class Data:
    """Events of a run, ready to be trained on.

    Args:
        train: Endless stream.
        once: Returns one pass over the training events, in their own order and from the first, each time it is called.
        valid: The validation batches, the same each time.
        events: Number of training events.
    """

    train: Source
    once: Callable[[], Iterable[Batch]]
    valid: Callable[[], Iterable[Batch]]
    events: int


def open_data(config: RunConfig, place: World, batch: Batch | None = None) -> Data:
    """Training stream and validation batches of a run.

    Args:
        config: The recipe's run.
        place: This process among all.
        batch: Events in memory, instead of those that `config.data.train` names.

    Raises:
        ValueError: If there are no events, files differ in the fields that the model reads, or some are to be both
            trained and validated on.
    """
    c = config.data
    if batch is None:
        _apart(c.train, c.valid)
    options: dict[str, Any] = {"budget": c.budget, "max_rows": c.longest, "max_events": c.most or None}
    train, valid = list(c.train), list(c.valid)
    if batch is None:
        first = find_files(train)[0]
        with open_file(first) as reader:
            flatten = _weighted(c.flatten, reader.schema)
            options["columns"] = _columns(config.model, reader.schema, flatten)
            options["prepare"] = _prepare(config.model, reader.schema, first.name, flatten)
    else:
        flatten = _weighted(c.flatten, batch.schema)
        if prepare := _prepare(config.model, batch.schema, "the events in memory", flatten):
            batch = prepare(batch)
    if flatten:
        options, batch = _flattened(flatten, train, options, batch)
    _check_weights([w for w in _weights(config.model) if not flatten or w != flatten.to], batch, train, valid, c.budget)
    wanted = _wanted(config.model)
    ordered = {**options, "shuffle": False, "seed": 0, "epochs": 1}
    far = place.device.type == "cuda"  # copied from pinned memory, and made ready while it computes
    mixed = {**options, "seed": config.seed, "rank": place.rank, "world": place.size, "pin": far}
    if valid and batch is None and not c.limit:
        once, held = (Source(p, where=wanted, **ordered) for p in (train, valid))
        source = Source(train, where=wanted, ahead=AHEAD, **mixed)
        return Data(source, once.rewind, held.rewind, source.events)
    return _in_memory(config, batch, wanted, ordered, {**mixed, "ahead": AHEAD if far else 0})


def _in_memory(
    config: RunConfig,
    batch: Batch | None,
    wanted: Callable[[Batch], Tensor] | None,
    ordered: dict[str, Any],
    mixed: dict[str, Any],
) -> Data:
    """The same with all events in memory, as a share is held out of them or only some are wanted."""
    c = config.data
    files = None
    if batch is not None:
        whole = batch if wanted is None else batch[wanted(batch)]
    else:
        files = Source(list(c.train), where=wanted, **ordered)
        whole = Batch.cat(list(files))
    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(config.seed))
    if c.valid and batch is None:
        kept = Batch.cat(list(Source(list(c.valid), where=wanted, **ordered)))
    else:
        count = max(1, round(c.held * len(order)))
        kept, order = whole[order[:count]], order[count:]
    if c.limit:
        order = order[: c.limit]
    if not len(order):
        raise ValueError(f"no events to train on in {', '.join(c.train)}: none has a label that the model asks for")
    for done in ("columns", "prepare"):
        ordered.pop(done, None)
        mixed.pop(done, None)
    chosen = whole[order]
    once, held = (Source.from_batch(b, **ordered) for b in (chosen, kept))

    def origin(number: int) -> str:
        place = int(order[number])
        return files.entries([place])[0] if files else f"{place} of those in memory"

    return Data(Source.from_batch(chosen, origin=origin, **mixed), once.rewind, held.rewind, len(order))


def _apart(train: Sequence[str], valid: Sequence[str]) -> None:
    """Refuse to validate on files that are trained on."""
    both = {f.resolve() for f in find_files(train)} & {f.resolve() for f in find_files(valid)} if valid else set()
    if both:
        more = f" and {len(both) - 1} more" if len(both) > 1 else ""
        raise ValueError(
            f"{min(both)}{more}: among the files to train on and among those to validate on; keep them apart"
        )


def _columns(model: ModelConfig, schema: Schema, flatten: FlattenConfig | None) -> list[str]:
    """The fields that a model reads or answers, as far as the file has them: nothing else is read from disk."""
    fields = []
    for name, t in model.tokenizers.items():
        if isinstance(t, CellsConfig | SharesConfig):  # cut already, or to be cut from cells
            fields += [path for path in schema.paths if path.partition(".")[0] in (name, "cell", "shower")]
            continue
        seen = t.seen if isinstance(t, HybridConfig | QuantisedConfig) else t
        fields += [f"{name}.{f.field}" for f in seen.fields]
    fields += model.kinematics
    if model.condition:
        fields.append(model.condition.field)
    fields += [h.row for h in model.heads.values() if isinstance(h, DensityConfig) and h.row]
    fields += [*_targets(model).values(), *_weights(model), *(flatten.paths if flatten else ())]
    return [f for f in dict.fromkeys(fields) if f in schema]


def _targets(model: ModelConfig) -> dict[str, str]:
    """The field that each head answers, of those that answer one."""
    answering = ClassifyConfig | RegressConfig | AdversaryConfig | ChooseConfig | SegmentConfig
    return {n: h.target for n, h in model.heads.items() if isinstance(h, answering)}


def _weights(model: ModelConfig) -> tuple[str, ...]:
    """The fields by which heads weigh events."""
    heads = [h for h in model.heads.values() if isinstance(h, ClassifyConfig | RegressConfig)]
    return tuple(dict.fromkeys(h.weight for h in heads if h.weight))


def _prepare(
    model: ModelConfig, schema: Schema, source: str, flatten: FlattenConfig | None
) -> Callable[[Batch], Batch] | None:
    """What adds the observables of jets that heads answer and the data do not hold; None if nothing is missing.

    Raises:
        ValueError: If anything else is missing: a head that is never told an answer would give one nevertheless.
    """
    for path in (*(w for w in _weights(model) if not flatten or w != flatten.to), *(flatten.paths if flatten else ())):
        if path not in schema:
            raise ValueError(f"{source}: has no {path}, by which events are weighed; it has {', '.join(schema.paths)}")
    for t in model.tokenizers.values():
        if isinstance(t, CellsConfig) and t.collection not in schema.names:
            names = [f.field for f in getattr(model.tokenizers.get("shower"), "fields", ())]
            return partial(_cut, t.patches, names)
    missing = {head: target for head, target in _targets(model).items() if target not in schema}
    if not missing:
        return None
    made = [target.removeprefix("jet.") for target in missing.values()]
    if set(made) <= set(SUBSTRUCTURE) and "particle.deta" in schema:
        return partial(observe, names=tuple(made))
    head, target = next((h, t) for h, t in missing.items() if t.removeprefix("jet.") not in SUBSTRUCTURE)
    raise ValueError(f"{source}: has no {target}, which head {head!r} is to learn; it has {', '.join(schema.paths)}")


def _cut(many: tuple[Patches, ...], names: list[str], batch: Batch) -> Batch:
    """Showers in patches, with all that the model is given of what comes in."""
    return with_shower(cut_each(many, batch), names)


def _weighted(flatten: FlattenConfig | None, schema: Schema) -> FlattenConfig | None:
    """Spectra are made flat by changing the weights that events come with, if they come with any."""
    if flatten and flatten.start is None and flatten.to in schema:
        return replace(flatten, start=flatten.to)
    return flatten


def _flattened(
    flatten: FlattenConfig, train: list[str], options: dict[str, Any], batch: Batch | None
) -> tuple[dict[str, Any], Batch | None]:
    """The options with weights made in addition, or the events in memory with their weights."""
    if batch is not None:
        return options, Flatten(flatten).fit([batch])(batch)
    plain = Source(train, columns=flatten.paths, shuffle=False, seed=0, epochs=1, budget=options["budget"])
    before, after = options["prepare"], Flatten(flatten).fit(plain)
    return {**options, "prepare": (lambda b: after(before(b))) if before else after}, None


def _check_weights(paths: Iterable[str], batch: Batch | None, train: list[str], valid: list[str], budget: int) -> None:
    """Refuse weights that events come with, if training cannot go well with them: a pass over that field alone."""
    for path in paths:
        if batch is not None:
            check(batch, path)
            continue
        for files in filter(None, (train, valid)):
            check(Batch.cat(list(Source(files, columns=[path], shuffle=False, seed=0, epochs=1, budget=budget))), path)


def _wanted(model: ModelConfig) -> Callable[[Batch], Tensor] | None:
    """Which events can teach: all, or where all heads classify, those whose class one of them knows.

    On the way, events that a head must refuse, of a class outside its tree, are refused.
    """
    heads = {n: h for n, h in model.heads.items() if isinstance(h, ClassifyConfig)}
    strict = [h for h in heads.values() if h.strict]
    any_class = len(heads) < len(model.heads)
    if any_class and not strict:
        return None

    def known(batch: Batch) -> Tensor:
        answers = {n: class_mask(batch, h.target, h.classes, h.groups).any(1) for n, h in heads.items()}
        for name, head in heads.items():
            if head.strict:
                _refuse(batch, name, head, answers[name])
        if any_class:
            return torch.ones(len(batch), dtype=torch.bool)
        return torch.stack(list(answers.values())).any(0)

    return known


def _refuse(batch: Batch, name: str, head: ClassifyConfig, known: Tensor) -> None:
    """Raise if an event has a label that counts as no class of a strict head."""
    values = batch.field(head.target).values
    outside = values.isfinite() & ~known
    if bool(outside.any()):
        labels = batch.schema.field(head.target).labels
        found = sorted({labels[int(v)] for v in values[outside].tolist()})
        raise ValueError(
            f"{head.target}: {int(outside.sum()):,} events are {', '.join(found)}, which head {name!r} knows no class "
            "for; say in its groups what they count as, or leave them out"
        )
