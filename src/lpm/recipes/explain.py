"""Why a trained classifier answers as it does, as events of a record that `lpm report` draws.

Contributions of fields and rows (`lpm.model.attribution`), attention (`lpm.model.looks`), and whether the rows that
contribute most are those that matter: the log-odds of the answer when only the N most important rows of each event are
kept, or are removed, beside the same with rows drawn at random.

Shapes: B events, T rows of one collection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.metrics.estimate import Estimate
from lpm.model.attribution import Attribution, integrated_gradients, log_odds
from lpm.model.checkpoint import check_schema
from lpm.model.heads import Classify
from lpm.model.looks import attention
from lpm.model.model import Model

__all__ = ["explain", "most_important"]

COUNTS = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of rows that are kept or removed."""

BASELINE = "no field of any row known: each at the mean of the training data"


@dataclass(frozen=True)
class _Asked:
    """A classifier, and for each event the class that it answers."""

    model: Model
    name: str
    batch: Batch
    index: Tensor

    def odds(self, batch: Batch) -> Tensor:
        """(B,) log-odds of these classes for other rows of the same events."""
        p_BC = self.model.predict(batch, (self.name,))[self.name].double().clamp(1e-12, 1 - 1e-12)
        return log_odds(p_BC.log(), self.index)


def explain(
    model: Model, batch: Batch, *, source: str, head: str = "", shown: int = 4, seed: int = 0
) -> list[dict[str, Any]]:
    """Events of a record: `attribution` (by field and class), `looks` (single events), and curves of the N rows.

    Args:
        model: A trained model.
        batch: Events; some hundred are enough.
        source: Name of the file, for messages.
        head: Name of a classifier among the model's heads; empty for the first.
        shown: Single events to show.
        seed: Of random rows.

    Raises:
        ValueError: If the model has no such classifier, or the events are not of its kind.
    """
    names = [n for n in model.heads if isinstance(model.head(n), Classify)]
    if not names or (head and head not in names):
        raise ValueError(f"classifier {head!r}: the model has {', '.join(names) or 'no classifier'}")
    check_schema(model, batch.schema, source)
    name = head or names[0]
    first = next(iter(model.head(name).view.only or model.tokenizers))
    batch = batch[batch.collections[first].lengths > 0]
    if not len(batch):
        raise ValueError(f"{source}: no event with anything in it to explain")
    asked = _Asked(model, name, batch, model.predict(batch, (name,))[name].argmax(1))
    found = integrated_gradients(model, batch, name, asked.index)
    of = max(found.rows, key=lambda n: len(found.rows[n].values))
    classes = model.head(name).config.classes  # type: ignore[union-attr]
    assert isinstance(classes, tuple)
    return [
        _by_field(found, name, classes, asked.index),
        *_looks(asked, found, of, classes, shown),
        *_curves(asked, found, of, seed),
    ]


def _by_field(found: Attribution, name: str, classes: tuple[str, ...], index_B: Tensor) -> dict[str, Any]:
    """Mean contribution of each field to the log-odds of the answer, by answer."""
    series: dict[str, dict[str, list[float]]] = {}
    labels = [f"{c}: {n}" if len(found.names) > 1 else n for c, ns in found.names.items() for n in ns]
    sums_BK = torch.cat([r.sum() for r in found.rows.values()], 1).double()
    for i, answer in enumerate(classes):
        mine = sums_BK[index_B == i]
        if len(mine) > 1:
            error = mine.std(0) / len(mine) ** 0.5
            series[answer] = {"value": mine.mean(0).tolist(), "error": error.tolist()}
    return {
        "event": "attribution", "head": name, "fields": labels, "series": series, "events": len(sums_BK),
        "baseline": BASELINE, "gap": float(found.gap.abs().max()),
        "span": float((found.log_odds - found.baseline).abs().mean()),
    }  # fmt: skip


def _looks(asked: _Asked, found: Attribution, of: str, classes: tuple[str, ...], shown: int) -> list[dict[str, Any]]:
    """The first events of each answer in turn, row by row; none for rows without a direction."""
    schema = asked.batch.schema
    eta, phi = (
        next((p for p in pair if p in schema), "")
        for pair in ((f"{of}.deta", f"{of}.eta"), (f"{of}.dphi", f"{of}.phi"))
    )
    if not (eta and phi and f"{of}.pt" in schema):
        return []
    place = torch.zeros_like(asked.index)
    for i in range(len(classes)):
        mine = asked.index == i
        place[mine] = torch.arange(int(mine.sum()))
    chosen = sorted(range(len(place)), key=lambda b: (int(place[b]), int(asked.index[b])))[:shown]
    part = asked.batch[torch.tensor(chosen)]
    columns = {"eta": part.field(eta), "phi": part.field(phi), "pt": part.field(f"{of}.pt")}
    columns["value"] = found.rows[of].with_values(found.rows[of].values.sum(1))[torch.tensor(chosen)]
    seen = attention(asked.model, part, asked.name)
    if seen is not None:
        columns["attention"] = seen[of]
    events = []
    for i, number in enumerate(chosen):
        rows = {n: [round(x, 5) for x in _event(r, i).tolist()] for n, r in columns.items()}
        p = 1 / (1 + float(torch.exp(-found.log_odds[number])))
        events.append({"title": f"{classes[int(asked.index[number])]}, {p:.3f}", **rows})
    return [{"event": "looks", "head": asked.name, "relative": eta.endswith("deta"), "events": events}]


def _event(r: Ragged, i: int) -> Tensor:
    return r.values[int(r.offsets[i]) : int(r.offsets[i + 1])]


def most_important(batch: Batch, of: str, score_T: Tensor, n: int, *, kept: bool) -> Batch:
    """The same events with only the n rows of largest score of a collection, or without them.

    Args:
        batch: Events.
        of: The collection.
        score_T: (T,) score of each of its rows.
        n: Rows an event.
        kept: Whether these rows stay, or all others.

    Example:
        >>> from lpm.data.schema import Collection, Field, Schema
        >>> s = Schema(name="x", collections=(Collection(name="hit", fields=(Field(name="t"),)),))
        >>> b = Batch.build(s, {"hit.t": torch.tensor([1.0, 2.0, 3.0])}, {"hit": torch.tensor([2, 1])})
        >>> most_important(b, "hit", torch.tensor([0.1, 0.2, 0.3]), 1, kept=True).field("hit.t").values.tolist()
        [2.0, 3.0]
    """
    rows = batch.collections[of]
    order = (-score_T).argsort(stable=True)
    order = order[rows.event[order].argsort(stable=True)]
    rank = torch.empty_like(order)
    rank[order] = rows.position
    stays = (rank < n) == kept
    lengths = torch.zeros(len(batch), dtype=torch.int64).index_add_(0, rows.event, stays.long())
    return Batch(batch.schema, {**batch.collections, of: Ragged.from_lengths(rows.values[stays], lengths)})


def _curves(asked: _Asked, found: Attribution, of: str, seed: int) -> list[dict[str, Any]]:
    """Log-odds of the answer against the number of rows, mean over events with its standard error.

    There are none for collections of one row an event, which cannot be without it.
    """
    if asked.batch.schema[of].single:
        return []
    whole = found.rows[of].values.sum(1)
    chance = torch.rand(len(whole), generator=torch.Generator().manual_seed(seed))
    longest = int(asked.batch.collections[of].lengths.max())
    counts = [n for n in COUNTS if n <= longest]
    out = []
    for kept in (True, False):
        series: dict[str, dict[str, list[float]]] = {}
        for label, score in (("largest contributions", whole), ("at random", chance)):
            values = [_mean(asked.odds(most_important(asked.batch, of, score, n, kept=kept))) for n in counts]
            series[label] = {end: [getattr(v, end) for v in values] for end in ("value", "low", "high")}
        word = "kept" if kept else "removed"
        out.append({
            "event": "curve", "name": f"rows_{word}", "x": counts, "series": series, "x_log": True,
            "x_label": f"rows of {of} {word}, N", "y_label": "log-odds of the answer",
            "caption": f"Log-odds of the answer with {'only ' if kept else ''}the N rows {word}; with all rows "
            f"{float(asked.odds(asked.batch).mean()):.2f}.",
        })  # fmt: skip
    return out


def _mean(values: Tensor) -> Estimate:
    x = values.double().numpy()
    return Estimate.symmetric(float(x.mean()), float(np.std(x) / len(x) ** 0.5))
