"""What a sample looks like: counts, ranges, faults and histograms of every field, in one pass."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from lpm.data.batch import Batch
from lpm.data.check import bad_events
from lpm.data.schema import Field, Schema

__all__ = ["CollectionSummary", "FieldSummary", "Summary", "summarise"]

_SAMPLE = 200_000
_BINS = 24
_QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)


@dataclass(frozen=True, kw_only=True)
class FieldSummary:
    """Numbers of one field.

    Args:
        count: Rows.
        nan: Rows without a value.
        inf: Infinite values.
        low: Values below the field's `low`.
        high: Values above its `high`, or beyond its categories.
        min: Smallest finite value; NaN if there is none, as for all that follow.
        max: Largest finite value.
        mean: Mean of the finite values.
        std: Their standard deviation.
        quantiles: Values below which 1, 25, 50, 75 and 99% lie, from a sample of at most 200,000 rows.
        edges: First and last edge of the histogram: the 1 and 99% quantiles, or the whole range of a small sample.
        histogram: Counts of that sample in bins of equal width.
        categories: Rows of each label, for categories.
    """

    count: int
    nan: int
    inf: int
    low: int
    high: int
    min: float
    max: float
    mean: float
    std: float
    quantiles: tuple[float, ...]
    edges: tuple[float, float]
    histogram: tuple[int, ...]
    categories: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class CollectionSummary:
    """Rows of one collection: how many in all, and per event at least, on average, at most."""

    rows: int
    min: int
    mean: float
    max: int


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a sample looks like.

    Args:
        events: Number of events.
        bad: Events that cannot be used, as `lpm.data.check` has it.
        collections: By name.
        fields: By `collection.field`.
    """

    events: int
    bad: int
    collections: dict[str, CollectionSummary]
    fields: dict[str, FieldSummary]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; NaN becomes null."""
        plain: dict[str, Any] = _null(asdict(self))
        return plain


def summarise(batches: Iterable[Batch], schema: Schema) -> Summary:
    """Go once through a sample.

    Args:
        batches: Batches of that schema; memory does not grow with their number.
        schema: Their schema.

    Example:
        >>> from lpm.data.schema import Collection
        >>> s = Schema(name="x", collections=(Collection(name="hit", fields=(Field(name="t", unit="ns", low=0),)),))
        >>> b = Batch.build(s, {"hit.t": torch.tensor([1.0, -2.0])}, {"hit": torch.tensor([2, 0])})
        >>> made = summarise([b], s)
        >>> made.events, made.fields["hit.t"].low, made.collections["hit"].max
        (2, 1, 2)
    """
    fields = {p: _Column(schema.field(p)) for p in schema.paths}
    lengths: dict[str, list[int]] = {c: [0, 2**62, 0] for c in schema.names}
    events = bad = 0
    for batch in batches:
        events += len(batch)
        bad += int(bad_events(batch).sum())
        for c in schema.collections:
            r = batch.collections[c.name]
            if len(r):
                n, small, large = lengths[c.name]
                some = r.lengths
                lengths[c.name] = [n + len(r.values), min(small, int(some.min())), max(large, int(some.max()))]
            for i, f in enumerate(c.names):
                fields[f"{c.name}.{f}"].add(r.values[:, i])
    return Summary(
        events=events,
        bad=bad,
        collections={
            c: CollectionSummary(rows=n, min=small if events else 0, mean=n / max(events, 1), max=large)
            for c, (n, small, large) in lengths.items()
        },
        fields={p: column.summary() for p, column in fields.items()},
    )


class _Column:
    """Running sums of one field, and a sample of its values."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.count = self.nan = self.inf = self.low = self.high = 0
        self.min, self.max = math.inf, -math.inf
        self.total = self.square = 0.0
        self.shift: float | None = None
        self.sample: list[Tensor] = []
        self.step = 1
        self.labels = torch.zeros(field.size, dtype=torch.int64)

    def add(self, x: Tensor) -> None:
        """Take in the (N,) values of one batch."""
        f = self.field
        self.count += len(x)
        self.nan += int(x.isnan().sum())
        self.inf += int(x.isinf().sum())
        finite = x[x.isfinite()]
        if not len(finite):
            return
        self.min, self.max = min(self.min, float(finite.min())), max(self.max, float(finite.max()))
        low = 0 if f.labels else f.low
        high = f.size - 1 if f.labels else f.high
        self.low += int((finite < low).sum()) if low is not None else 0
        self.high += int((finite > high).sum()) if high is not None else 0
        # Moments about the first mean: a sum of squares about 0 loses the digits that matter.
        self.shift = float(finite.double().mean()) if self.shift is None else self.shift
        away = finite.double() - self.shift
        self.total += float(away.sum())
        self.square += float((away**2).sum())
        if f.labels:
            known = finite[(finite >= 0) & (finite < f.size)].long()
            self.labels += torch.bincount(known, minlength=f.size)
        self._keep(finite)

    def _keep(self, finite: Tensor) -> None:
        """Keep every step-th value; when they grow too many, every second of those."""
        self.sample.append(finite[:: self.step])
        if sum(map(len, self.sample)) > 2 * _SAMPLE:
            self.sample, self.step = [torch.cat(self.sample)[::2]], self.step * 2

    def summary(self) -> FieldSummary:
        """All numbers so far."""
        n = self.count - self.nan - self.inf
        mean = self.total / n if n else math.nan
        some = torch.cat(self.sample).double() if self.sample else torch.zeros(0, dtype=torch.float64)
        some = some[:: max(-(-len(some) // _SAMPLE), 1)]  # of the whole file: its end may be of another kind
        q = torch.quantile(some, torch.tensor(_QUANTILES, dtype=torch.float64)).tolist() if n else []
        edges = (math.nan, math.nan)
        histogram: list[int] = []
        if n:
            a, b = (q[0], q[-1]) if n > 1000 else (float(some.min()), float(some.max()))
            edges = (a, b)
            histogram = torch.histc(some[(some >= a) & (some <= b)], _BINS, a, b).long().tolist() if b > a else [n]
        return FieldSummary(
            count=self.count, nan=self.nan, inf=self.inf, low=self.low, high=self.high,
            min=self.min if n else math.nan, max=self.max if n else math.nan,
            mean=mean + (self.shift or 0.0), std=math.sqrt(max(self.square / n - mean**2, 0.0)) if n else math.nan,
            quantiles=tuple(q), edges=edges, histogram=tuple(histogram),
            categories=dict(zip(self.field.labels, self.labels.tolist(), strict=True)),
        )  # fmt: skip


def _null(value: Any) -> Any:
    """Replace what JSON cannot say."""
    if isinstance(value, dict):
        return {k: _null(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_null(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
