"""From shards to shuffled batches of bounded size: the same order for the same seed, resumable at any event.

One epoch visits every event once. Row groups are put into a random order; the events of these are dealt out in equal,
disjoint shares to ranks and workers; each share is read in blocks of several row groups, and events are shuffled within
a block. A batch is filled until the next event would exceed the budget.

Everything follows from (seed, epoch, share, block), so the place in the stream is three numbers.

If the number of ranks changes in the middle of an epoch (`redeal`), the batches that the old ranks had not yet come to
are dealt out to the new ones in turn; each event is still seen once. From the next epoch on, shares are the new ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.events import Events, InFiles, InMemory
from lpm.data.io import OnBad, find_files
from lpm.data.prefetch import prefetch as read_ahead

__all__ = ["Source", "event_cost"]


class Source:
    """A stream of batches from files or from memory.

    Args:
        paths: Files, folders or patterns of one schema; shards are fastest, but any readable format will do.
        budget: Most tokens in a batch. An event costs the rows of its longest collection, and one more.
        seed: Decides the order.
        shuffle: Random order; otherwise that of the files.
        epochs: How often to go through all events; None for ever.
        rank: Which of `world` processes this is.
        world: Number of processes that share the events.
        worker: Which of `workers` of this process this is.
        workers: Number of workers in each process.
        columns: Fields (`"particle.pt"`) and collections (`"jet"`) to read; None for all.
        prepare: Batch to Batch of as many events: adds fields to all that is read.
        where: Batch to (B,) bool: which events to use.
        buffer_groups: Row groups in one block, within which events are shuffled.
        max_rows: Keep only the first so many rows of each collection of an event; None for all.
        max_events: Most events in a batch; None for no limit besides the budget.
        ahead: Batches to prepare in a background thread.
        pin: Hand out batches in pinned memory, for an accelerator.
        on_bad: What to do with events that cannot be used, as in `open_file`.

    Attributes:
        schema: Schema of the batches.
        events: Events in all files, before `where`.

    Raises:
        ValueError: If there is no file, files differ in schema, or a number makes no sense.

    Example:
        >>> from lpm.data.fields import jets_schema
        >>> s = jets_schema(["pt"], ["pt"])
        >>> columns = {"particle.pt": torch.arange(6.0), "jet.pt": torch.arange(3.0)}
        >>> batch = Batch.build(s, columns, {"particle": torch.tensor([2, 2, 2])})
        >>> source = Source.from_batch(batch, budget=6, seed=0, epochs=1)
        >>> [len(b) for b in source]
        [2, 1]
    """

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        budget: int,
        seed: int,
        shuffle: bool = True,
        epochs: int | None = None,
        rank: int = 0,
        world: int = 1,
        worker: int = 0,
        workers: int = 1,
        columns: Sequence[str] | None = None,
        prepare: Callable[[Batch], Batch] | None = None,
        where: Callable[[Batch], Tensor] | None = None,
        buffer_groups: int = 8,
        max_rows: int | None = None,
        max_events: int | None = None,
        ahead: int = 0,
        pin: bool = False,
        on_bad: OnBad = "stop",
    ) -> None:
        options = _Options(
            budget=budget, seed=seed, shuffle=shuffle, epochs=epochs, rank=rank, world=world, worker=worker,
            workers=workers, prepare=prepare, where=where, buffer_groups=buffer_groups, max_rows=max_rows,
            max_events=max_events, ahead=ahead, pin=pin,
        )  # fmt: skip
        self._set_up(InFiles(find_files(paths), columns, on_bad), options)

    @classmethod
    def from_batch(
        cls,
        batch: Batch,
        *,
        columns: Sequence[str] | None = None,
        origin: Callable[[int], str] | None = None,
        **options: Any,
    ) -> Source:
        """The same stream over events in memory; options as for files.

        Args:
            batch: The events.
            columns: Fields and collections to use; None for all.
            origin: Number of an event to what it is called.
            options: As for files.

        Raises:
            ValueError: If a number makes no sense.
        """
        made = cls.__new__(cls)
        made._set_up(InMemory(batch if columns is None else batch.select(columns), origin), _Options(**options))
        return made

    def _set_up(self, events: Events, options: _Options) -> None:
        self._events, self._options = events, options
        self.schema = events.schema if options.prepare is None else options.prepare(events.read(0, 0, 0)).schema
        self.events = sum(b - a for _, a, b in events.groups)
        if not self.events:
            raise ValueError("no events in the source: every file is empty")
        self._place = (0, 0, 0, 0)
        self._rest: dict[str, Any] | None = None

    def __iter__(self) -> Iterator[Batch]:
        """Batches from the present place on; once exhausted, the next iteration starts over."""
        ahead, pin = self._options.ahead, self._options.pin
        items = ((batch.pin_memory() if pin else batch, place) for batch, place in self._items())
        for batch, place in read_ahead(items, ahead) if ahead else items:
            self._place = place
            yield batch
        self._place, self._rest = (0, 0, 0, 0), None

    def rewind(self) -> Source:
        """Go back to the first event, wherever an iteration was left; returns the source."""
        self._place, self._rest = (0, 0, 0, 0), None
        return self

    def state(self) -> dict[str, Any]:
        """The place after the last batch handed out, as JSON."""
        epoch, block, event, done = self._place
        rest = {"rest": {**self._rest, "done": done}} if self._rest and epoch == self._rest["epoch"] else {}
        return {"epoch": epoch, "block": block, "event": event, **rest, **self._identity()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue after the batch at which `state` was taken.

        Raises:
            ValueError: If the state belongs to another stream: other events, seed, or number of processes.
        """
        self._check(state, self._identity())
        self._rest = state.get("rest")
        done = int(self._rest["done"]) if self._rest else 0
        self._place = (int(state["epoch"]), int(state["block"]), int(state["event"]), done)

    def redeal(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Continue where another number of processes stopped; no event of the epoch is lost or seen twice.

        Args:
            states: The states of all old processes, in the order of their ranks.

        Raises:
            ValueError: If they belong to another stream, or to one with several workers.
        """
        same = {k: v for k, v in self._identity().items() if k not in ("rank", "world")}
        if self._options.workers > 1:
            raise ValueError("cannot resume: another number of processes, each with several workers; resume as before")
        for state in states:
            self._check(state, same)
        epochs = [int(s["epoch"]) for s in states]
        parts: list[Any] = []
        if any("rest" in s for s in states):  # dealt out anew once before, in the same epoch
            old = next(s["rest"] for s in states if "rest" in s)
            taken = [s["rest"]["done"] if "rest" in s else self.events for s in states]
            parts.append({"parts": old["parts"], "taken": taken})
        for epoch in range(min(epochs), max(epochs) + 1):
            for share, s in enumerate(states):
                if s["epoch"] < epoch:
                    parts.append([epoch, share, len(states), 0, 0])
                elif s["epoch"] == epoch and "rest" not in s:
                    parts.append([epoch, share, len(states), s["block"], s["event"]])
        self._rest = {"epoch": max(epochs), "parts": parts}
        self._place = (max(epochs), 0, 0, 0)

    def names(self, state: Mapping[str, Any], rows: Sequence[int]) -> list[str]:
        """File and entry of the events at `rows` of the batch after which `state` was taken: `jets.parquet:17`."""
        if "rest" in state:
            number = (int(state["rest"]["done"]) - 1) * self._options.world + self._options.rank
            cut = next(islice(self._pending(state["rest"]), number, None))
        else:
            block, event = int(state["block"]), int(state["event"])
            here = self._cuts(int(state["epoch"]), self._options.share, self._options.shares, block, 0)
            cut = next(c for c in here if (c.block, c.after) == (block, event))
        names = self._entries(cut)
        return [names[row]() for row in rows]

    def entries(self, numbers: Sequence[int]) -> list[str]:
        """File and entry of the events at `numbers` of the first epoch of this share, counted in the stream's order."""
        found: dict[int, str] = {}
        at = 0
        for cut in self._cuts(0, self._options.share, self._options.shares, 0, 0):
            if wanted := [n for n in numbers if at <= n < at + len(cut.rows)]:
                names = self._entries(cut)
                found |= {n: names[n - at]() for n in wanted}
            at += len(cut.rows)
        return [found[n] for n in numbers]

    def _entries(self, cut: _Cut) -> list[Callable[[], str]]:
        """What gives the name of each event of a batch."""
        where, names = self._options.where, []
        for piece in cut.pieces:
            part = self._read(*piece)
            kept = where(part).nonzero().flatten().tolist() if where else range(len(part))
            names += [partial(self._events.name, *piece, entry, len(part)) for entry in kept]
        return [names[row] for row in cut.rows.tolist()]

    def _read(self, file: int, start: int, stop: int) -> Batch:
        batch, prepare = self._events.read(file, start, stop), self._options.prepare
        return batch if prepare is None else prepare(batch)

    def _check(self, state: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        for key, value in expected.items():
            if state.get(key) != value:
                raise ValueError(
                    f"cannot resume: {key} was {state.get(key)}, is {value}; use the same data and options"
                )

    def _identity(self) -> dict[str, Any]:
        """What fixes the order of events."""
        kept = ("seed", "shuffle", "rank", "world", "worker", "workers", "buffer_groups")
        return {"events": self.events, **{k: getattr(self._options, k) for k in kept}}

    def _items(self) -> Iterator[tuple[Batch, _Place]]:
        """Batches and the place after each."""
        epoch, block, event, done = self._place
        o = self._options
        if self._rest and epoch == self._rest["epoch"]:
            for i, cut in enumerate(self._pending(self._rest)):
                if i % o.world == o.rank and i // o.world >= done:
                    yield cut.whole[cut.rows], (epoch, 0, 0, i // o.world + 1)
            epoch += 1
        while o.epochs is None or epoch < o.epochs:
            some = block > 0 or event > 0
            for cut in self._cuts(epoch, o.share, o.shares, block, event):
                some = True
                yield cut.whole[cut.rows], (epoch, cut.block, cut.after, 0)
            if not some:
                why = "no event of the source passes `where` in this share; loosen it or use fewer workers"
                if self.events < o.shares:
                    why = f"{self.events:,} events cannot be dealt out to {o.shares:,} workers; use fewer"
                raise ValueError(why)
            epoch, block, event = epoch + 1, 0, 0

    def _pending(self, rest: Mapping[str, Any]) -> Iterator[_Cut]:
        """Batches that former ranks had not come to, in an order on which all present ranks agree.

        Of a part that was dealt out before, batch i was for old rank i mod W; each had `taken` some of its own.
        """
        taken = rest.get("taken", [0])
        parts = (self._pending(p) if isinstance(p, Mapping) else self._cuts(*p) for p in rest["parts"])
        for i, cut in enumerate(chain.from_iterable(parts)):
            if i // len(taken) >= taken[i % len(taken)]:
                yield cut

    def _blocks(self, epoch: int, share: int, shares: int) -> list[list[tuple[int, int, int]]]:
        """One share of one epoch: pieces (file, start, stop), several to a block."""
        groups = self._events.groups
        o = self._options
        if o.shuffle:
            order = torch.randperm(len(groups), generator=self._random(epoch, -1, "all"))
            groups = [groups[i] for i in order.tolist()]
        first, last = self.events * share // shares, self.events * (share + 1) // shares
        pieces, at = [], 0
        for file, a, b in groups:
            start, stop = max(first - at, 0) + a, min(last - at, b - a) + a
            if start < stop:
                pieces.append((file, start, stop))
            at += b - a
        size = o.buffer_groups
        return [pieces[i : i + size] for i in range(0, len(pieces), size)]

    def _cuts(self, epoch: int, share: int, shares: int, block: int, start: int) -> Iterator[_Cut]:
        """The batches of one share of one epoch from event `start` of a block on."""
        o = self._options
        for number, pieces in enumerate(self._blocks(epoch, share, shares)):
            if number < block:
                continue
            parts = [self._read(*piece) for piece in pieces]
            if o.where:
                parts = [part[o.where(part)] for part in parts]
            whole = _truncated(Batch.cat(parts), o.max_rows)
            n = len(whole)
            order = torch.arange(n)
            if o.shuffle:
                order = torch.randperm(n, generator=self._random(epoch, number, f"{share} of {shares}"))
            total = event_cost(whole)[order].cumsum(0)
            while start < n:
                used = int(total[start - 1]) if start else 0
                stop = int(torch.searchsorted(total, used + o.budget, right=True))
                stop = max(stop, start + 1)  # an event larger than the budget makes a batch of its own
                if o.max_events:
                    stop = min(stop, start + o.max_events)
                yield _Cut(whole, order[start:stop], pieces, number, stop)
                start = stop
            start = 0

    def _random(self, epoch: int, block: int, share: str) -> torch.Generator:
        """Random numbers of one block of a share, or (block -1) of the order of row groups, shared by all."""
        digest = hashlib.sha256(f"{self._options.seed}/{epoch}/{block}/{share}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def event_cost(batch: Batch) -> Tensor:
    """(B,) tokens an event needs: the rows of its longest collection, and one more."""
    return torch.stack([r.lengths for r in batch.collections.values()]).amax(0) + 1


def _truncated(batch: Batch, rows: int | None) -> Batch:
    if rows is None:
        return batch
    out = {}
    for name, r in batch.collections.items():
        keep = r.position < rows
        out[name] = Ragged.from_lengths(r.values[keep], r.lengths.clamp_max(rows))
    return Batch(batch.schema, out)


@dataclass(frozen=True, kw_only=True)
class _Options:
    """The options of a source, as described there."""

    budget: int
    seed: int
    shuffle: bool = True
    epochs: int | None = None
    rank: int = 0
    world: int = 1
    worker: int = 0
    workers: int = 1
    prepare: Callable[[Batch], Batch] | None = None
    where: Callable[[Batch], Tensor] | None = None
    buffer_groups: int = 8
    max_rows: int | None = None
    max_events: int | None = None
    ahead: int = 0
    pin: bool = False

    def __post_init__(self) -> None:
        for name in ("budget", "world", "workers", "buffer_groups"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        for name, of in (("rank", self.world), ("worker", self.workers)):
            if not 0 <= getattr(self, name) < of:
                raise ValueError(f"{name}: expected 0 to {of - 1}, got {getattr(self, name)}")
        for name in ("epochs", "max_rows", "max_events"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1 or None, got {value}")

    @property
    def share(self) -> int:
        """Which share of the events this is, of `shares`."""
        return self.rank * self.workers + self.worker

    @property
    def shares(self) -> int:
        """Number of equal shares into which an epoch is dealt."""
        return self.world * self.workers


_Place = tuple[int, int, int, int]
"""Epoch, block, event within the block, and batches taken of what was dealt out anew."""


@dataclass(frozen=True)
class _Cut:
    """One batch: the rows of a block that make it, the block's pieces and number, and the event after it."""

    whole: Batch
    rows: Tensor
    pieces: list[tuple[int, int, int]]
    block: int
    after: int
