"""The events of a run: which are trained on, which are held out, which fields are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lpm.data.batch import Batch
from lpm.data.io import find_files, open_file
from lpm.data.source import Source
from lpm.model.heads import ClassifyConfig
from lpm.model.heads.base import class_index
from lpm.model.model import ModelConfig
from lpm.recipes.base import RunConfig
from lpm.tokens import HybridConfig, QuantisedConfig
from lpm.train.parallel import World

__all__ = ["Data", "open_data"]


@dataclass(frozen=True)
class Data:
    """Events of a run, ready to be trained on.

    Args:
        train: Endless stream.
        once: Returns one pass over the training events, in their own order.
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
        ValueError: If there are no events, or files differ in the fields that the model reads.
    """
    c, wanted = config.data, _wanted(config.model)
    options: dict[str, Any] = {"budget": c.budget, "max_rows": c.longest, "max_events": c.most or None}
    train, valid = list(c.train), list(c.valid)
    if batch is None:
        options["columns"] = _columns(config.model, find_files(train)[0])
    ordered = {**options, "shuffle": False, "seed": 0, "epochs": 1}
    mixed = {**options, "seed": config.seed, "rank": place.rank, "world": place.size}
    if valid and batch is None and not c.limit:
        once, held = (Source(p, where=wanted, **ordered) for p in (train, valid))
        source = Source(train, where=wanted, ahead=2, **mixed)
        return Data(source, lambda: once, lambda: held, source.events)
    files = None
    if batch is not None:
        whole = batch if wanted is None else batch[wanted(batch)]
    else:
        files = Source(train, where=wanted, **ordered)
        whole = Batch.cat(list(files))
    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(config.seed))
    if valid and batch is None:
        kept = Batch.cat(list(Source(valid, where=wanted, **ordered)))
    else:
        count = max(1, round(c.held * len(order)))
        kept, order = whole[order[:count]], order[count:]
    if c.limit:
        order = order[: c.limit]
    if not len(order):
        raise ValueError(f"no events to train on in {', '.join(c.train)}: none has a label that the model asks for")
    ordered.pop("columns", None)
    mixed.pop("columns", None)
    chosen = whole[order]
    once, held = (Source.from_batch(b, **ordered) for b in (chosen, kept))

    def origin(number: int) -> str:
        place = int(order[number])
        return files.entries([place])[0] if files else f"{place} of those in memory"

    return Data(Source.from_batch(chosen, origin=origin, **mixed), lambda: once, lambda: held, len(order))


def _columns(model: ModelConfig, path: Path) -> list[str]:
    """The fields that a model reads or answers, as far as the file has them: nothing else is read from disk."""
    fields = []
    for name, t in model.tokenizers.items():
        seen = t.seen if isinstance(t, HybridConfig | QuantisedConfig) else t
        fields += [f"{name}.{f.field}" for f in seen.fields]
    if model.pairs:
        fields += [model.pairs.pt, model.pairs.eta, model.pairs.phi]
    if model.condition:
        fields.append(model.condition.field)
    fields += [h.target for h in model.heads.values() if hasattr(h, "target")]
    with open_file(path) as reader:
        return [f for f in dict.fromkeys(fields) if f in reader.schema]


def _wanted(model: ModelConfig) -> Callable[[Batch], Tensor] | None:
    """Which events can teach, if all heads classify: those whose class one of them knows."""
    heads = [h for h in model.heads.values() if isinstance(h, ClassifyConfig)]
    if len(heads) < len(model.heads):
        return None

    def known(batch: Batch) -> Tensor:
        answers = [class_index(batch, h.target, h.classes, h.groups) >= 0 for h in heads]
        return torch.stack(answers).any(0)

    return known
