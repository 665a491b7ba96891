"""Any readable files to shards, in bounded memory, in pieces that survive an interruption.

A folder as output gets one shard for each input file, or several if the file is long. Each shard records which part of
which source it holds; a second run passes over those that are finished.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lpm.data.batch import Batch
from lpm.data.io.base import OnBad, Reader
from lpm.data.io.files import find_files
from lpm.data.io.formats import open_file
from lpm.data.io.parquet import ShardReader, read_provenance, write_batches
from lpm.data.schema import Schema

__all__ = ["Conversion", "convert", "fingerprint"]

Progress = Callable[[Path, int, int], None]
"""Called with the present source, the events of it that are done, and all its events."""


@dataclass
class Conversion:
    """What became of the sources.

    Args:
        events: Events written, or found finished.
        shards: Files that hold them.
        resumed: How many of these shards an earlier run had finished.
        skipped_events: Events left out because they cannot be used.
        skipped_files: Sources left out, or left before their end, with the reason.
    """

    events: int = 0
    shards: list[Path] = field(default_factory=list)
    resumed: int = 0
    skipped_events: int = 0
    skipped_files: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**asdict(self), "shards": [str(p) for p in self.shards]}


def convert(
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    format: str = "auto",  # noqa: A002
    on_bad: OnBad = "stop",
    events: int | None = None,
    shard_events: int = 100_000,
    tree: str | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Write the events of all sources as shards of one schema.

    Args:
        sources: Files, folders and patterns.
        out: A name ending in `.parquet` for a single shard, anything else for a folder of shards.
        format: As in `open_file`.
        on_bad: "stop" raises at the first unusable event or file; "skip" leaves it out and counts it.
        events: Most events to read in all.
        shard_events: Most events in one shard of a folder.
        tree: As in `open_file`.
        progress: Told how far things are.

    Raises:
        ValueError: If a source cannot be read and `on_bad` is "stop", schemas differ, nothing was written, or the
            output cannot be written. Finished shards stay.
    """
    if events is not None and events < 1:
        raise ValueError(f"events: expected at least 1, got {events}")
    if shard_events < 1:
        raise ValueError(f"shard_events: expected at least 1, got {shard_events}")
    out = Path(out)
    # What an earlier run wrote into a folder of sources is no source.
    files = [f for f in find_files(sources) if f != out and out not in f.parents]
    job = _Job(files, format, on_bad, tree, events, progress or (lambda path, done, of: None))
    if out.suffix == ".parquet":
        job.to_file(out)
    elif out.is_file():
        raise ValueError(f"{out}: is a file; name a folder, or a file ending in .parquet")
    else:
        job.to_folder(out, shard_events)
    if not job.result.events:
        why = next(iter(job.result.skipped_files.values()), "every source is empty")
        raise ValueError(f"nothing to write: {why}")
    return job.result


def fingerprint(path: Path) -> str:
    """SHA-256 of the length, the first and the last MiB of a file: enough to see that it changed."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as f:
        digest.update(f.read(1 << 20))
        f.seek(max(size - (1 << 20), 0))
        digest.update(f.read())
    return digest.hexdigest()


class _Job:
    """The sources of one conversion, and what became of them so far."""

    def __init__(
        self, sources: list[Path], format_: str, on_bad: OnBad, tree: str | None, events: int | None, progress: Progress
    ) -> None:
        self.sources, self.left, self.progress = sources, events, progress
        self.options: dict[str, Any] = {"format": format_, "on_bad": on_bad, "tree": tree}
        self.result = Conversion()
        self.schema: Schema | None = None
        self.first: Path | None = None

    def to_file(self, out: Path) -> None:
        """All sources into one shard."""
        batches = self._all_batches()
        first = next(batches, None)
        if first is None or self.schema is None:
            return

        def rest() -> Iterator[Batch]:
            yield first
            yield from batches

        names = [p.name for p in self.sources]
        self.result.events = write_batches(out, rest(), schema=self.schema, provenance={"sources": names})
        self.result.shards.append(out)

    def to_folder(self, out: Path, size: int) -> None:
        """One shard or more for each source."""
        stems = Counter(p.stem for p in self.sources)
        for path in self.sources:
            reader = self._open(path)
            if reader is None:
                continue
            name = path.stem if stems[path.stem] == 1 else f"{path.stem}-{_short_hash(path)}"
            with reader:
                for k, start in enumerate(range(0, len(reader), size)):
                    if self.left == 0:
                        return
                    stop = min(start + size, len(reader), start + (size if self.left is None else self.left))
                    self._shard(reader, out / f"{name}-{k:04d}.parquet", start, stop)

    def _shard(self, reader: Reader, target: Path, start: int, stop: int) -> None:
        """One piece of a source, unless an earlier run finished it."""
        source = {"name": reader.path.name, "sha256": fingerprint(reader.path), "start": start, "stop": stop}
        wanted = {"source": source, "options": self.options}
        done = _finished(target, wanted)
        if done is not None:
            self.result.resumed += 1
        else:
            skipped = reader.skipped
            batches = self._batches(reader, start, stop)
            first = next(batches, None)
            if first is None:
                return

            def rest() -> Iterator[Batch]:
                yield first
                yield from batches

            # Known only at the end, so a shard says how many events it holds and how many it was made from.
            done = write_batches(target, rest(), schema=reader.schema, provenance=wanted)
            self.result.skipped_events += reader.skipped - skipped
        self.result.events += done
        self.result.shards.append(target)
        self.left = None if self.left is None else self.left - (stop - start)
        self.progress(reader.path, stop, len(reader))

    def _all_batches(self) -> Iterator[Batch]:
        for path in self.sources:
            reader = self._open(path) if self.left != 0 else None
            if reader is not None:
                with reader:
                    stop = len(reader) if self.left is None else min(self.left, len(reader))
                    yield from self._batches(reader, 0, stop)
                    self.result.skipped_events += reader.skipped
                    self.left = None if self.left is None else self.left - stop

    def _batches(self, reader: Reader, start: int, stop: int) -> Iterator[Batch]:
        """Events of a range; damage on the way ends it, if that is to be skipped."""
        done = start
        try:
            for batch in reader.batches(start, stop):
                yield batch
                done += len(batch)
                self.progress(reader.path, done, len(reader))
        except ValueError as error:
            self._note(reader.path, error)

    def _open(self, path: Path) -> Reader | None:
        """The reader of a source of the right schema, or None if the source is skipped."""
        try:
            reader = open_file(path, **self.options)
            if not len(reader):
                reader.close()
                raise ValueError(f"{path}: holds no events; leave it out or pass --on-bad skip")
            if self.schema is not None and reader.schema != self.schema:
                reader.close()
                raise ValueError(f"{path}: other fields or labels than {self.first}; convert them separately")
        except ValueError as error:
            self._note(path, error)
            return None
        if self.schema is None:
            self.schema, self.first = reader.schema, path
        return reader

    def _note(self, path: Path, error: ValueError) -> None:
        """Keep the reason why a source is skipped, or raise it."""
        if self.options["on_bad"] == "stop":
            raise error
        self.result.skipped_files[str(path)] = str(error)


def _short_hash(path: Path) -> str:
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]


def _finished(target: Path, wanted: dict[str, Any]) -> int | None:
    """Events of a shard made before from the same piece in the same way, or None."""
    try:
        if target.is_file() and wanted.items() <= read_provenance(target).items():
            with ShardReader(target) as shard:
                return len(shard)
    except ValueError:
        return None  # damaged: it is made anew
    return None
