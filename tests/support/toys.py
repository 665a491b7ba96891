"""Events for any recipe: every field that its model reads, with numbers at random, and a model that has seen them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lpm.data.batch import Batch
from lpm.data.schema import Collection, Field, Schema
from lpm.model.distil import Distilled
from lpm.model.heads import ChooseConfig, DensityConfig, FlowConfig, SegmentConfig
from lpm.model.model import Model, ModelConfig
from lpm.physics.couplings import OBJECTS
from lpm.tokens import CellsConfig, ContinuousConfig, HybridConfig, QuantisedConfig, SharesConfig, TokenizerConfig

__all__ = ["batch_of", "model_of"]


def batch_of(config: ModelConfig, n: int, seed: int = 0) -> Batch:
    """Events with all that a model reads and answers.

    Args:
        config: The model.
        n: Number of events.
        seed: Equal seeds give equal events.
    """
    g = torch.Generator().manual_seed(seed)
    fields = dict(_read(config)) | dict(_asked(config))
    single = {p.partition(".")[0] for h in config.heads.values() for p in _of_events(h)}
    single |= {config.condition.field.partition(".")[0]} if config.condition else set()
    names = list(dict.fromkeys(p.partition(".")[0] for p in fields))
    places = {t.collection: t for t in config.tokenizers.values() if isinstance(t, SharesConfig | CellsConfig)}
    lengths = {c: _lengths(places.get(c), c in single or c == "shower", n, g) for c in names}
    collections, columns = [], {}
    for c in names:
        mine = tuple(f for p, f in fields.items() if p.partition(".")[0] == c)
        collections.append(Collection(name=c, fields=mine, single=c in single or c == "shower"))
        for f in mine:
            columns[f"{c}.{f.name}"] = _values(f, int(lengths[c].sum()), g)
    for c, t in places.items():
        columns |= _at_places(t, c, n, g)
    for h in config.heads.values():
        if isinstance(h, DensityConfig) and h.row:  # a row among those of its event
            most = torch.repeat_interleave(lengths[h.given[0]], lengths[h.of])
            columns[h.row] = (torch.rand(len(most), generator=g) * most).floor()
    return Batch.build(Schema(name="toy", collections=tuple(collections)), columns, lengths)


def model_of(config: ModelConfig, batch: Batch, seed: int = 0) -> Model:
    """A model for these events that has seen them, none of whose parts is at its start.

    Args:
        config: The model.
        batch: From `batch_of`.
        seed: Of the weights.
    """
    torch.manual_seed(seed)
    if any(isinstance(h, FlowConfig) and h.jumps for h in config.heads.values()):
        model: Model = Distilled(config, batch.schema, Model(config, batch.schema))
    else:
        model = Model(config, batch.schema)
    for name in model.tokenizers:
        model.tokenizer(name).fit([batch])
    model.fit_pairs([batch])
    for p in model.parameters():
        p.data += 0.05 * torch.randn_like(p)
    model.tokenizers.requires_grad_(False)
    return model.train()


def _real(path: str) -> tuple[str, Field]:
    return path, Field(name=path.partition(".")[2])


def _category(path: str, labels: tuple[str, ...]) -> tuple[str, Field]:
    return path, Field(name=path.partition(".")[2], kind="category", labels=labels, truth=False)


def _read(config: ModelConfig) -> Iterator[tuple[str, Field]]:
    """Fields of tokenizers and of pairs, by path."""
    for path in config.kinematics:
        yield _real(path)
    for t in config.tokenizers.values():
        yield from _tokenised(t)
    physics = getattr(config.pairs or config.backbone, "physics", None)
    if physics is not None and physics.species:
        yield _category(physics.species, OBJECTS)
    if config.condition:
        yield _category(config.condition.field, config.condition.classes)


def _tokenised(t: TokenizerConfig) -> Iterator[tuple[str, Field]]:
    c = t.collection
    if isinstance(t, SharesConfig | CellsConfig):
        cells = (t.layer, *(f"e{i}" for i in range(t.patches[0].width))) if isinstance(t, CellsConfig) else (t.field,)
        yield from (_real(f"{c}.{n}") for n in (t.place, *cells))
        return
    seen = t.seen if isinstance(t, HybridConfig | QuantisedConfig) else t
    sizes = iter(seen.classes if isinstance(seen, ContinuousConfig) else ())
    for f in seen.fields:
        path = f"{c}.{f.field}"
        yield _category(path, tuple(f"c{i}" for i in range(next(sizes)))) if f.form == "category" else _real(path)
    if isinstance(seen, ContinuousConfig):
        more = (*seen.shares, *(n for pair in seen.lengths for n in pair))
        yield from (_real(f"{c}.{n}") for n in more if n not in {f.field for f in seen.fields})


def _asked(config: ModelConfig) -> Iterator[tuple[str, Field]]:
    """Fields that heads answer or weigh by, by path."""
    for h in config.heads.values():
        target, weight, row = (getattr(h, n, None) for n in ("target", "weight", "row"))
        if isinstance(h, ChooseConfig):
            yield target, Field(name=target.partition(".")[2], kind="flag", truth=True)
        elif target and hasattr(h, "classes"):
            several = {label for group in getattr(h, "groups", {}).values() for label in group}
            labels = h.classes if isinstance(h, SegmentConfig) else tuple(dict.fromkeys((*h.classes, *sorted(several))))
            yield _category(target, labels)
        elif target:
            yield _real(target)
        yield from (_real(p) for p in (weight, row) if p)
        if isinstance(h, DensityConfig):
            yield from (_real(f"{h.of}.{n}") for n in h.steps)


def _of_events(head: Any) -> list[str]:
    """Paths that have one value an event."""
    if isinstance(head, ChooseConfig | SegmentConfig):
        return []
    return [p for p in (getattr(head, "target", None), getattr(head, "weight", None)) if p]


def _lengths(places: SharesConfig | CellsConfig | None, single: bool, n: int, g: torch.Generator) -> Tensor:
    if single:
        return torch.ones(n, dtype=torch.int64)
    if places is not None:
        return torch.full((n,), places.build().places)
    return torch.randint(1, 12, (n,), generator=g)


def _values(field: Field, rows: int, g: torch.Generator) -> Tensor:
    values = torch.rand(rows, generator=g)
    if field.kind == "category":
        return (values * field.size).floor()
    return (values < 0.3).float() if field.kind == "flag" else values + 0.1


def _at_places(t: SharesConfig | CellsConfig, c: str, n: int, g: torch.Generator) -> dict[str, Tensor]:
    """Rows at all places of a tokenizer."""
    made = t.build()
    out = {f"{c}.{t.place}": torch.arange(made.places).repeat(n).float()}
    if isinstance(t, CellsConfig):
        unit = made.threshold.repeat(n)
        out[f"{c}.{t.layer}"] = 1000 * unit * torch.rand(len(unit), generator=g)
        for i in range(made.width):
            out[f"{c}.e{i}"] = 30 * unit * torch.rand(len(unit), generator=g)
    return out
