"""The numbers: B events, each a few ragged collections stored flat.

Shapes: B events, N rows of one collection in all events together, F fields, T rows of the longest event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from lpm.data.schema import Collection, Field, Schema

__all__ = ["Batch", "Ragged"]


@dataclass(frozen=True, eq=False)
class Ragged:
    """B lists of different lengths, stored one after the other.

    Args:
        values: (N, F) or (N,) rows of all events.
        offsets: (B + 1,) int64, the row at which each event starts; `offsets[-1] == N`.
        on_host: The offsets on the CPU, kept as events move to an accelerator: asking it for them would wait for it.

    Raises:
        ValueError: If the offsets do not start at 0, decrease, or do not end at N.

    Example:
        >>> r = Ragged.from_lengths(torch.arange(3.0), torch.tensor([2, 0, 1]))
        >>> [x.tolist() for x in r]
        [[0.0, 1.0], [], [2.0]]
    """

    values: Tensor
    offsets: Tensor
    on_host: Tensor | None = None

    def __post_init__(self) -> None:
        if torch.compiler.is_compiling():  # checked before, and a compiled step cannot branch on values
            return
        o = self.offsets
        if o.ndim != 1 or o.dtype != torch.int64 or len(o) == 0:
            raise ValueError(f"offsets: expected a (B + 1,) int64 tensor, got {o.dtype} of shape {tuple(o.shape)}")
        # Only on the CPU: on an accelerator the look would wait for the device.
        if o.device.type == "cpu" and (o[0] != 0 or o[-1] != len(self.values) or bool((o.diff() < 0).any())):
            raise ValueError(f"offsets: expected to rise from 0 to {len(self.values)} rows, got {o[0]} … {o[-1]}")

    @classmethod
    def from_lengths(cls, values: Tensor, lengths: Tensor) -> Ragged:
        """Rows and the (B,) number of them in each event."""
        return cls(values, torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]).long())

    @classmethod
    def from_padded(cls, x: Tensor, mask: Tensor) -> Ragged:
        """Inverse of `padded`: x (B, T, ...) and mask (B, T), True where a row exists."""
        return cls.from_lengths(x[mask], mask.sum(1))

    @classmethod
    def single(cls, values: Tensor) -> Ragged:
        """One row an event: values (B, F)."""
        return cls(values, torch.arange(len(values) + 1, device=values.device))

    @classmethod
    def cat(cls, parts: Sequence[Ragged]) -> Ragged:
        """The events of all parts, one after the other."""
        return cls.from_lengths(torch.cat([p.values for p in parts]), torch.cat([p.lengths for p in parts]))

    @property
    def lengths(self) -> Tensor:
        """(B,) number of rows in each event."""
        return self.offsets.diff()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self):  # type: ignore[no-untyped-def]
        bounds = self.offsets.tolist()
        return (self.values[a:b] for a, b in pairwise(bounds))

    @property
    def event(self) -> Tensor:
        """(N,) event of each row."""
        rows = torch.arange(len(self), device=self.offsets.device)
        return torch.repeat_interleave(rows, self.lengths, output_size=len(self.values))

    @property
    def position(self) -> Tensor:
        """(N,) place of each row within its event, from 0."""
        return torch.arange(len(self.values), device=self.offsets.device) - self.offsets[self.event]

    def with_values(self, values: Tensor) -> Ragged:
        """The same events with other columns; `values` has N rows."""
        return Ragged(values, self.offsets, self.on_host)

    def padded(self, fill: float = 0.0) -> tuple[Tensor, Tensor]:
        """Values (B, T, ...) padded with `fill`, and mask (B, T), True where a row exists."""
        n = int(self.lengths.max()) if len(self) else 0
        mask = torch.arange(n, device=self.offsets.device) < self.lengths[:, None]
        x = self.values.new_full((len(self), n, *self.values.shape[1:]), fill)
        x[mask] = self.values
        return x, mask

    def __getitem__(self, index: Tensor | slice) -> Ragged:
        """Events by slice, by int64 index (repeats allowed) or by (B,) bool mask."""
        lengths = self.lengths[index]
        if isinstance(index, slice) and index.step in (None, 1):
            start, stop, _ = index.indices(len(self))
            return Ragged.from_lengths(self.values[self.offsets[start] : self.offsets[max(start, stop)]], lengths)
        first = self.offsets[:-1][index]
        out = Ragged.from_lengths(self.values.new_empty((int(lengths.sum()), 0)), lengths)
        return Ragged(self.values[first[out.event] + out.position], out.offsets)

    def sum(self) -> Tensor:
        """(B, ...) sum of the rows of each event; 0 for an event without rows."""
        out = self.values.new_zeros((len(self), *self.values.shape[1:]))
        return out.index_add_(0, self.event, self.values)

    def mean(self) -> Tensor:
        """(B, ...) mean over the rows of each event; 0 for an event without rows."""
        n = self.lengths.clamp_min(1).to(self.values.dtype)
        return self.sum() / n.view(-1, *[1] * (self.values.ndim - 1))

    @property
    def host_offsets(self) -> Tensor:
        """The offsets on the CPU."""
        if self.offsets.device.type == "cpu":
            return self.offsets
        return self.offsets.cpu() if self.on_host is None else self.on_host

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Ragged:
        """Copy to a device."""
        values, offsets = (x.to(device, non_blocking=non_blocking) for x in (self.values, self.offsets))
        return Ragged(values, offsets, None if offsets.device.type == "cpu" else self.host_offsets)

    def pin_memory(self) -> Ragged:
        """In memory that stays in place, from which an accelerator copies while the CPU goes on."""
        return Ragged(self.values.pin_memory(), self.offsets.pin_memory(), self.on_host)


@dataclass(frozen=True, eq=False)
class Batch:
    """B events of one schema. It holds all that is known of them, truth included.

    A field that was not measured, or a label that is not known, is NaN.

    Args:
        schema: What the columns mean.
        collections: One `Ragged` of float values (N, F) for each collection of the schema, F in schema order.

    Raises:
        ValueError: If collections are missing, have the wrong number of columns or of events.
    """

    schema: Schema
    collections: Mapping[str, Ragged]

    def __post_init__(self) -> None:
        if set(self.collections) != set(self.schema.names):
            have, want = ", ".join(self.collections), ", ".join(self.schema.names)
            raise ValueError(f"batch of schema {self.schema.name}: expected collections {want}, got {have}")
        for c in self.schema.collections:
            r = self.collections[c.name]
            if r.values.ndim != 2 or r.values.shape[1] != len(c.fields):
                raise ValueError(f"{c.name}: expected (N, {len(c.fields)}) values, got {tuple(r.values.shape)}")
            if len(r) != len(self):
                raise ValueError(f"{c.name}: {len(r)} events beside {len(self)} in {self.schema.names[0]}")
            if c.single and len(r.values) != len(r):
                raise ValueError(f"{c.name}: expected one row an event, got {len(r.values)} rows in {len(r)} events")

    @classmethod
    def build(cls, schema: Schema, columns: Mapping[str, Tensor], lengths: Mapping[str, Tensor]) -> Batch:
        """From one tensor a field.

        Args:
            schema: The schema.
            columns: {"collection.field": (N,)} for every field of the schema.
            lengths: {"collection": (B,)} rows an event, for every collection that is not `single`.

        Raises:
            ValueError: If a field is missing.

        Example:
            >>> s = Schema(name="x", collections=(Collection(name="hit", fields=(Field(name="t", unit="ns"),)),))
            >>> b = Batch.build(s, {"hit.t": torch.tensor([1.0, 2.0])}, {"hit": torch.tensor([2, 0])})
            >>> len(b), b.field("hit.t").lengths.tolist()
            (2, [2, 0])
        """
        missing = [p for p in schema.paths if p not in columns]
        if missing:
            raise ValueError(f"schema {schema.name}: missing fields {', '.join(missing)}")
        out = {}
        for c in schema.collections:
            values = torch.stack([columns[f"{c.name}.{f}"].float() for f in c.names], 1)
            out[c.name] = Ragged.single(values) if c.single else Ragged.from_lengths(values, lengths[c.name])
        return cls(schema, out)

    @classmethod
    def cat(cls, parts: Sequence[Batch]) -> Batch:
        """The events of all parts; their schemas must be equal.

        Raises:
            ValueError: If there is no part or the schemas differ.
        """
        if not parts:
            raise ValueError("cannot join zero batches: the schema would be unknown")
        schema = parts[0].schema
        if any(p.schema != schema for p in parts):
            raise ValueError(
                f"cannot join batches of different schemas: {', '.join(sorted({p.schema.name for p in parts}))}"
            )
        return cls(schema, {n: Ragged.cat([p.collections[n] for p in parts]) for n in schema.names})

    def __len__(self) -> int:
        return len(self.collections[self.schema.names[0]])

    def __getitem__(self, index: Tensor | slice) -> Batch:
        """Events by slice, int64 index or bool mask."""
        return Batch(self.schema, {n: r[index] for n, r in self.collections.items()})

    def field(self, path: str) -> Ragged:
        """One field as a ragged column (N,), e.g. `batch.field("particle.pt")`.

        Raises:
            ValueError: If there is no such field.
        """
        name, _, field = path.partition(".")
        self.schema.field(path)
        r = self.collections[name]
        return r.with_values(r.values[:, self.schema[name].index(field)])

    def with_field(self, collection: str, field: Field, values: Tensor) -> Batch:
        """The same events with one more field (or the field of that name exchanged).

        Args:
            collection: Name of a collection. One that does not exist yet is made `single`.
            field: What the numbers mean.
            values: (N,) one number a row.
        """
        values = values.float()[:, None]
        if collection not in self.schema.names:
            made = Collection(name=collection, fields=(field,), single=True)
            return Batch(self.schema.replace(made), {**self.collections, collection: Ragged.single(values)})
        c, r = self.schema[collection], self.collections[collection]
        keep = [i for i, f in enumerate(c.fields) if f.name != field.name]
        made = Collection(name=collection, fields=(*(c.fields[i] for i in keep), field), single=c.single)
        return Batch(
            self.schema.replace(made),
            {**self.collections, collection: r.with_values(torch.cat([r.values[:, keep], values], 1))},
        )

    def select(self, paths: Sequence[str]) -> Batch:
        """Keep only the given fields (`"particle.pt"`) and whole collections (`"jet"`), in schema order."""
        schema = self.schema.select(paths)
        out = {}
        for c in schema.collections:
            keep = [self.schema[c.name].index(name) for name in c.names]
            out[c.name] = self.collections[c.name].with_values(self.collections[c.name].values[:, keep])
        return Batch(schema, out)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Copy to a device."""
        return Batch(self.schema, {n: r.to(device, non_blocking) for n, r in self.collections.items()})

    def pin_memory(self) -> Batch:
        """In memory that stays in place, from which an accelerator copies while the CPU goes on."""
        return Batch(self.schema, {n: r.pin_memory() for n, r in self.collections.items()})
