"""One source of a conversion: what is known of it, and how a part of it becomes a shard.

Its functions are called by whoever makes shards: this process, others, or jobs of a cluster.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lpm.data.batch import Batch
from lpm.data.farm import Failure
from lpm.data.farm.piece import Note, Watch
from lpm.data.io.base import Reader
from lpm.data.io.formats import open_file
from lpm.data.io.parquet import write_batches
from lpm.data.schema import Schema
from lpm.records.hashing import hash_file

__all__ = ["EMPTY", "Cut", "Known", "place_of", "survey", "write_cut"]

EMPTY = "holds no events; leave it out or pass --on-bad skip"


@dataclass(frozen=True)
class Known:
    """What is known of a source before its events are read.

    Args:
        sha256: Of its content.
        events: How many it holds.
        schema: Of its events.
    """

    sha256: str
    events: int
    schema: Schema


@dataclass(frozen=True)
class Cut:
    """A part of a source that becomes a shard.

    Args:
        source: What is known of it.
        start: First event.
        stop: Event after the last.
        target: The shard.
    """

    source: Known
    start: int
    stop: int
    target: Path


def survey(path: Path, options: dict[str, Any]) -> Known | Failure:
    """Open a source and hash it.

    Args:
        path: The source.
        options: As of `open_file`.
    """
    try:
        with open_file(path, **options) as reader:
            if not len(reader):
                raise ValueError(f"{path}: {EMPTY}")
            return Known(hash_file(path), len(reader), reader.schema)
    except Exception as error:
        return Failure.of(str(path), error)


def write_cut(
    path: Path, start: int, stop: int, options: dict[str, Any], origin: dict[str, Any], out: Path, watch: Watch
) -> Note:
    """Write a part of a source; no file if no event of it can be used.

    Args:
        path: The source.
        start: First event.
        stop: Event after the last.
        options: As of `open_file`.
        origin: Kept in the shard.
        out: The shard.
        watch: Told of the event after the last that is done.

    Returns:
        `events` written, `skipped` ones, hash of the `place` of the source, and a `fault` that ended it early.

    Raises:
        ValueError: If an event cannot be used and none may be skipped, or the shard cannot be written.
    """
    note: Note = {"events": 0, "skipped": 0, "place": place_of(path)}

    def usable(reader: Reader) -> Iterator[Batch]:
        done = start
        try:
            for batch in reader.batches(start, stop):
                yield batch
                done += len(batch)
                watch(done)
        except ValueError as error:
            if options["on_bad"] == "stop":
                raise
            note["fault"] = str(error)  # damage on the way ends a source

    with open_file(path, **options) as reader:
        batches = usable(reader)
        first = next(batches, None)
        if first is not None:
            whole = itertools.chain([first], batches)
            note["events"] = write_batches(out, whole, schema=reader.schema, provenance=origin)
        note["skipped"] = reader.skipped
    return note


def place_of(path: Path) -> str:
    """Eight digits that stand for where a source lies."""
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
