"""Any readable files to shards, in bounded memory, in pieces that survive an interruption.

A folder as output gets one shard for each input file, or several if the file is long, made by one process or many (see
`lpm.data.farm`). Each shard records which part of which source it holds; a second run passes over those that are
finished.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lpm import __version__
from lpm.data.batch import Batch
from lpm.data.farm import Crew, Failure, Farm, Made, Piece, Plan, Unfinished, each, look, make, open_crew
from lpm.data.farm.crew import Alone
from lpm.data.farm.piece import BESIDE
from lpm.data.io.base import OnBad, Reader
from lpm.data.io.cut import EMPTY, Cut, Known, place_of, survey, write_cut
from lpm.data.io.exchange import write_csv, write_hdf5
from lpm.data.io.files import file_or_folder, find_files
from lpm.data.io.formats import FORMATS, open_file
from lpm.data.io.occupied import Origin, check_folder
from lpm.data.io.parquet import write_batches
from lpm.data.schema import FORMAT_VERSION, Schema
from lpm.records.files import locked
from lpm.records.hashing import hash_json

__all__ = ["SINGLE", "Conversion", "convert", "plan"]

SINGLE = (".parquet", ".h5", ".csv")
"""Endings of an output that is one file rather than a folder of shards."""

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
    farm: Farm | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Conversion:
    """Write the events of all sources as shards of one schema.

    Args:
        sources: Files, folders and patterns.
        out: A name ending in `.parquet` for a single shard, in `.h5` or `.csv` for a file for other programs (see
            `lpm.data.io.exchange`), anything else for a folder of shards.
        format: As in `open_file`.
        on_bad: "stop" raises at the first unusable event or file; "skip" leaves it out and counts it.
        events: Most events to read in all.
        shard_events: Most events in one shard of a folder.
        tree: As in `open_file`.
        progress: Told how far things are.
        farm: Who makes the shards of a folder. If given, a file that cannot be used does not stop the others.
        tell: Called with a line when what jobs of a batch system wait for changes.

    Raises:
        ValueError: If a source cannot be read and `on_bad` is "stop" (with a farm: `Unfinished`, after all others are
            converted), schemas differ, nothing was written, the output cannot be written, or the folder holds shards
            that must not be mixed with these (`lpm.data.io.occupied`). Finished shards stay.
    """
    job = _job(sources, out, format, on_bad, events, shard_events, tree, progress)
    out = Path(out)
    if farm is not None and farm.on != "local":  # whose workers may be in another folder
        job.sources = [p.absolute() for p in job.sources]
    if out.suffix in SINGLE:
        if farm is not None and farm != Farm():
            raise ValueError(f"{out}: one file is written by one process; name a folder to use --workers or --on")
        job.to_file(out)
    else:
        job.to_folder(out, farm, tell)
    if job.failures:
        raise Unfinished(job.failures, job.result.to_json(), "all else is done; mend or leave out, and run it again")
    if not job.result.events:
        why = next(iter(job.result.skipped_files.values()), "every source is empty")
        raise ValueError(f"nothing to write: {why}")
    return job.result


def plan(
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    format: str = "auto",  # noqa: A002
    on_bad: OnBad = "stop",
    events: int | None = None,
    shard_events: int = 100_000,
    tree: str | None = None,
) -> Plan:
    """What `convert` to a folder would do; opens and hashes the sources.

    Raises:
        ValueError: If `out` is a file or would be one, or holds shards that must not be mixed with these.
    """
    if Path(out).suffix == ".parquet":
        raise ValueError(f"{out}: one file is written in one go; name a folder to see its pieces")
    job = _job(sources, out, format, on_bad, events, shard_events, tree, None)
    job.strict = False
    pieces = list(job.pieces(Path(out), job.survey(Alone())))
    skipped = [Failure(name, why) for name, why in job.result.skipped_files.items()]
    return look(pieces, [*job.failures, *skipped])


def _job(
    sources: Sequence[str | Path],
    out: str | Path,
    format_: str,
    on_bad: OnBad,
    events: int | None,
    shard_events: int,
    tree: str | None,
    progress: Progress | None,
) -> _Job:
    if events is not None and events < 1:
        raise ValueError(f"events: expected at least 1, got {events}")
    if shard_events < 1:
        raise ValueError(f"shard_events: expected at least 1, got {shard_events}")
    if format_ not in FORMATS:
        raise ValueError(f"format {format_!r}: expected one of {', '.join(FORMATS)}")
    out = Path(out)
    if out.suffix != ".parquet" and out.is_file():
        raise ValueError(f"{out}: is a file; name a folder, or a file ending in .parquet")
    file_or_folder(out, SINGLE)
    # What an earlier run wrote into a folder of sources is no source, however either is spelled.
    here = out.resolve()
    files = [f for f in find_files(sources) if (real := f.resolve()) != here and here not in real.parents]
    if not files:
        raise ValueError(f"{out}: is itself what is to be converted; name another output")
    options = {"format": format_, "on_bad": on_bad, "tree": tree}
    return _Job(files, options, events, shard_events, progress or (lambda path, done, of: None))


class _Job:
    """The sources of one conversion, and what became of them so far."""

    def __init__(
        self, sources: list[Path], options: dict[str, Any], events: int | None, size: int, progress: Progress
    ) -> None:
        self.sources, self.options, self.left, self.size, self.progress = sources, options, events, size, progress
        self.result = Conversion()
        self.failures: list[Failure] = []
        self.strict = True
        self.schema: Schema | None = None
        self.first: Path | None = None
        self.places: dict[Path, tuple[Path, int, int]] = {}

    def to_file(self, out: Path) -> None:
        """All sources into one file."""
        batches = self._all_batches()
        first = next(batches, None)
        if first is None or self.schema is None:
            return
        whole = itertools.chain([first], batches)
        if out.suffix == ".parquet":
            provenance = {"sources": [p.name for p in self.sources]}
            self.result.events = write_batches(out, whole, schema=self.schema, provenance=provenance)
        else:
            write = write_hdf5 if out.suffix == ".h5" else write_csv
            self.result.events = write(out, whole, schema=self.schema)
        self.result.shards.append(out)

    def to_folder(self, out: Path, farm: Farm | None, tell: Callable[[str], None]) -> None:
        """One shard or more for each source."""
        self.strict = farm is None
        if farm is not None and farm.on != "local":
            out = out.absolute()
        beside = out / BESIDE
        try:
            beside.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"{out}: cannot write: {error.strerror}; choose another place") from error
        with locked(beside), open_crew(farm or Farm(), beside, tell) as crew:
            for piece, made in make(self.pieces(out, self.survey(crew)), crew, self._watch):
                self._take(piece, made)
        order = {path: i for i, path in enumerate(self.places)}
        self.result.shards.sort(key=lambda path: order[path])

    def survey(self, crew: Crew) -> dict[Path, Known | Failure]:
        """What is known of each source, and which cannot be opened."""
        return dict(each(partial(survey, options=self.options), self.sources, crew))

    def pieces(self, out: Path, found: dict[Path, Known | Failure]) -> Iterator[Piece]:
        """The shards of a folder, in the order of the sources.

        Raises:
            ValueError: Before the first, if the folder holds shards that they must not be mixed with.
        """
        cuts = self._cuts(out, found)
        coming = {c.target: Origin(path.name, c.source.sha256, place_of(path)) for path in cuts for c in cuts[path]}
        check_folder(out, coming)
        for path in self.sources:
            source = found[path]
            if self.left == 0:
                return
            if isinstance(source, Failure):
                self._refuse(source)
            elif self._fits(path, source.schema):
                for cut in cuts[path]:
                    self.left = None if self.left is None else self.left - (cut.stop - cut.start)
                    self.places[cut.target] = (path, cut.stop, source.events)
                    yield self._piece(path, cut)

    def _cuts(self, out: Path, found: dict[Path, Known | Failure]) -> dict[Path, list[Cut]]:
        """The shards of each source that can be used."""
        stems, left = Counter(p.stem for p in self.sources), self.left
        cuts: dict[Path, list[Cut]] = {}
        usable = [(path, source) for path in self.sources if isinstance(source := found[path], Known)]
        for path, source in usable:
            if source.schema != usable[0][1].schema:
                continue
            name = path.stem if stems[path.stem] == 1 else f"{path.stem}-{place_of(path)}"
            whole = source.events if left is None else min(source.events, left)
            left = None if left is None else left - whole
            cuts[path] = [
                Cut(source, start, min(start + self.size, whole), out / f"{name}-{k:04d}.parquet")
                for k, start in enumerate(range(0, whole, self.size))
            ]
        return cuts

    def _piece(self, path: Path, cut: Cut) -> Piece:
        part = {"name": path.name, "sha256": cut.source.sha256, "start": cut.start, "stop": cut.stop}
        origin = {"source": part, "options": self.options}
        key = hash_json({**origin, "lpm": __version__, "format": FORMAT_VERSION})
        work = partial(write_cut, path, cut.start, cut.stop, self.options, origin)
        return Piece(str(path), cut.target, key, work)

    def _watch(self, piece: Piece, done: int) -> None:
        path, _, events = self.places[piece.output]
        self.progress(path, done, events)

    def _take(self, piece: Piece, made: Made | Failure) -> None:
        """Count what came back."""
        if isinstance(made, Failure):
            self._refuse(made)
            return
        path, stop, events = self.places[piece.output]
        note = made.note or {}
        if note.get("events"):
            self.result.events += note["events"]
            self.result.shards.append(piece.output)
            self.result.resumed += made.kept
        self.result.skipped_events += note.get("skipped", 0)
        if "fault" in note:
            self.result.skipped_files[str(path)] = note["fault"]
        self.progress(path, stop, events)

    def _refuse(self, failure: Failure) -> None:
        """Keep the reason why a source cannot be used, or raise it."""
        if self.options["on_bad"] == "skip":
            self.result.skipped_files[failure.name] = failure.reason
        elif self.strict:
            raise ValueError(failure.reason)
        else:
            self.failures.append(failure)

    def _fits(self, path: Path, schema: Schema) -> bool:
        """Whether a source has the schema of the first."""
        if self.schema is None:
            self.schema, self.first = schema, path
        if schema == self.schema:
            return True
        why = f"{path}: other fields or labels than {self.first}; convert them separately"
        self._refuse(Failure(str(path), why))
        return False

    def _all_batches(self) -> Iterator[Batch]:
        for path in self.sources:
            reader = self._open(path) if self.left != 0 else None
            if reader is not None:
                with reader:
                    stop = len(reader) if self.left is None else min(self.left, len(reader))
                    yield from self._batches(reader, stop)
                    self.result.skipped_events += reader.skipped
                    self.left = None if self.left is None else self.left - stop

    def _batches(self, reader: Reader, stop: int) -> Iterator[Batch]:
        """The first events; damage on the way ends them, if that is to be skipped."""
        done = 0
        try:
            for batch in reader.batches(0, stop):
                yield batch
                done += len(batch)
                self.progress(reader.path, done, len(reader))
        except ValueError as error:
            self._refuse(Failure(str(reader.path), str(error)))

    def _open(self, path: Path) -> Reader | None:
        """The reader of a source of the right schema, or None if the source is skipped."""
        try:
            reader = open_file(path, **self.options)
            if not len(reader):
                reader.close()
                raise ValueError(f"{path}: {EMPTY}")
        except ValueError as error:
            self._refuse(Failure(str(path), str(error)))
            return None
        if not self._fits(path, reader.schema):
            reader.close()
            return None
        return reader
