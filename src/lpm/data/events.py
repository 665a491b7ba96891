"""Where the events of a source lie: in memory, or in many files of one schema."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from lpm.data.batch import Batch
from lpm.data.io import OnBad, open_file
from lpm.data.schema import Schema

__all__ = ["Events", "InFiles", "InMemory"]

OPEN_FILES = 16
"""Files kept open at a time."""

MEMORY_GROUP = 10_000
"""Events of a group of those in memory."""


class Events(Protocol):
    """Where events lie: groups (file, start, stop) and a way to read a piece of one."""

    schema: Schema
    groups: list[tuple[int, int, int]]

    def read(self, file: int, start: int, stop: int) -> Batch:
        """The events of a piece."""
        ...

    def name(self, file: int, start: int, stop: int, entry: int, length: int) -> str:
        """What an event is called, the number `entry` of the `length` that were read of a piece."""
        ...


class InMemory:
    """Events of one batch."""

    def __init__(self, batch: Batch, origin: Callable[[int], str] | None) -> None:
        self.schema, self._batch, self._origin = batch.schema, batch, origin
        n = len(batch)
        self.groups = [(0, i, min(i + MEMORY_GROUP, n)) for i in range(0, n, MEMORY_GROUP)]

    def read(self, file: int, start: int, stop: int) -> Batch:
        """The events of a piece."""
        return self._batch[start:stop]

    def name(self, file: int, start: int, stop: int, entry: int, length: int) -> str:
        """What an event is called: by its origin, or its number."""
        number = start + entry
        return self._origin(number) if self._origin else f"{number} of those in memory"


class InFiles:
    """Events of many files of one schema; few are open at a time."""

    def __init__(self, paths: Sequence[Path], columns: Sequence[str] | None, on_bad: OnBad) -> None:
        self._paths, self._columns, self._on_bad = paths, columns, on_bad
        self._open: OrderedDict[int, Any] = OrderedDict()
        self.groups: list[tuple[int, int, int]] = []
        self.schema = self._schema(0)
        for i, path in enumerate(paths):
            if self._schema(i) != self.schema:
                raise ValueError(
                    f"{path}: other fields or labels than {paths[0]}; convert both to one schema, or select columns"
                )
            self.groups += [(i, a, b) for a, b in self._reader(i).groups]

    def _schema(self, file: int) -> Schema:
        schema: Schema = self._reader(file).schema
        return schema if self._columns is None else schema.select(self._columns)

    def _reader(self, file: int) -> Any:
        if file not in self._open:
            self._open[file] = open_file(self._paths[file], on_bad=self._on_bad)
            if len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(file)
        return self._open[file]

    def read(self, file: int, start: int, stop: int) -> Batch:
        """The events of a piece."""
        reader = self._reader(file)
        parts = list(reader.batches(start, stop, size=stop - start, columns=self._columns))
        return Batch.cat(parts) if parts else reader.read(start, start, self._columns)

    def name(self, file: int, start: int, stop: int, entry: int, length: int) -> str:
        """What an event of a piece is called; where some were left out, by the range of the piece."""
        exact = length == stop - start
        return f"{self._paths[file].name}:{start + entry if exact else f'{start}-{stop - 1}'}"
