"""`lpm convert SRC… OUT`: files of any known format to shards."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lpm.cli import farm as options

if TYPE_CHECKING:
    from lpm.data.farm import Farm
    from lpm.data.io.convert import Conversion

__all__ = ["convert"]

WORTH = 64 << 20
"""Bytes of sources for which it pays to start one more process."""


class OnBad(StrEnum):
    """What to do with an event or a file that cannot be used."""

    stop = "stop"
    skip = "skip"


def convert(
    paths: Annotated[
        list[Path], typer.Argument(metavar="SRC… OUT", help="Files, folders or patterns; at the end, where to write.")
    ],
    format_: Annotated[
        str, typer.Option("--format", help="Format of the sources; auto looks at the content.")
    ] = "auto",
    on_bad: Annotated[
        OnBad, typer.Option(help="Stop at what cannot be used, or leave it out and count it.")
    ] = OnBad.stop,
    events: Annotated[int | None, typer.Option(help="Most events to read.")] = None,
    shard_events: Annotated[int, typer.Option(help="Most events in one shard of a folder.")] = 100_000,
    tree: Annotated[str | None, typer.Option(help="Tree, table or kind of jets, where a file holds several.")] = None,
    croissant: Annotated[
        str,
        typer.Option(metavar="TEXT", help="Describe the sample to others, in a croissant.json beside it."),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    on: options.On = "local",
    workers: options.Workers = None,
    time: options.Time = "",
    memory: options.Memory = "",
    partition: options.Partition = "",
    account: options.Account = "",
    extra: options.Extra = None,
    dry_run: options.DryRun = False,
) -> None:
    """Convert ROOT, HDF5, Parquet, npz and CSV files to Parquet shards with a schema.

    OUT ending in .parquet makes one shard, in .h5 or .csv one file for other programs, any other name a folder of
    shards, by several processes or a cluster (--on). There, a file that cannot be converted does not stop the others,
    and the same command given again converts what is missing or has changed. A trained RUN and OUT ending in .onnx make
    a model for other programs.

    Raises:
        ValueError: If a source cannot be read, schemas differ, or OUT cannot be written.
    """
    from lpm.data.farm import Farm

    if len(paths) < 2:
        raise ValueError("expected SRC… OUT: at least one source and where to write; got one path")
    *sources, out = paths
    if out.suffix == ".onnx":
        _export(sources, out, as_json)
        return
    farm = Farm(
        on=on, workers=_workers(sources, out) if workers is None else workers, time=time, memory=memory,
        partition=partition, account=account, extra=tuple(extra or ()),
    )  # fmt: skip
    how: dict[str, Any] = {
        "format": format_, "on_bad": on_bad.value, "events": events, "shard_events": shard_events, "tree": tree
    }  # fmt: skip
    if dry_run:
        from lpm.data.io.convert import plan

        options.show(plan(sources, out, **how), farm, out, as_json)
    else:
        _convert(sources, out, farm, how, croissant, as_json)


def _workers(sources: list[Path], out: Path) -> int:
    """How many processes this machine is worth, for that many bytes."""
    from lpm.data.io import find_files
    from lpm.data.io.convert import SINGLE

    size = 0 if out.suffix in SINGLE else sum(path.stat().st_size for path in find_files(sources))
    return min(os.cpu_count() or 1, 1 + size // WORTH)


def _convert(sources: list[Path], out: Path, farm: Farm, how: dict[str, Any], croissant: str, as_json: bool) -> None:
    """Convert, describe, and say what was done."""
    from lpm.data.io.convert import SINGLE
    from lpm.data.io.convert import convert as run

    with options.failures_shown(as_json), _progress(sources, quiet=as_json) as show:
        result = run(sources, out, **how, progress=show, farm=farm, tell=lambda text: typer.echo(text, err=True))
    if croissant:
        _describe(result.shards, out.parent if out.suffix in SINGLE else out, out.stem, croissant)
    _tell(result, out, as_json)


def _export(sources: list[Path], out: Path, as_json: bool) -> None:
    """A model for other programs."""
    from lpm.model.export import export

    if len(sources) != 1:
        raise ValueError(f"expected RUN {out.name}: a run, or name of a shipped model; got {len(sources)} sources")
    made = export(sources[0], out)
    typer.echo(json.dumps(made) if as_json else f"wrote {out}, inputs {made['inputs']}, outputs {made['outputs']}")


def _describe(shards: Sequence[Path], folder: Path, name: str, text: str) -> None:
    """What the shards hold, as others read it."""
    from lpm.data.io import open_file
    from lpm.data.io.croissant import write_croissant

    with open_file(shards[0]) as reader:
        schema = reader.schema
    write_croissant(folder / "croissant.json", shards, schema, name=name, text=text)


def _tell(result: Conversion, out: Path, as_json: bool) -> None:
    """Say what was written and what was left out."""
    if as_json:
        typer.echo(json.dumps(result.to_json()))
        return
    earlier = f", {result.resumed} of them finished before" if result.resumed else ""
    files = f"{len(result.shards)} shard{'' if len(result.shards) == 1 else 's'}"
    typer.echo(f"wrote {result.events:,} events to {out} ({files}{earlier})")
    if result.skipped_events:
        typer.echo(f"left out {result.skipped_events:,} events that cannot be used")
    for why in result.skipped_files.values():
        typer.echo(f"left out: {why}")


@contextmanager
def _progress(sources: list[Path], *, quiet: bool) -> Iterator[Callable[[Path, int, int], None]]:
    """A bar for the file in hand."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from lpm.data.io import find_files

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bars:
        task = bars.add_task("opening", total=None)
        place = {path.absolute(): i for i, path in enumerate(find_files(sources), 1)}

        def show(path: Path, done: int, of: int) -> None:
            name = f"{place[path.absolute()]}/{len(place)} {path.name}"
            bars.update(task, description=name, completed=done, total=of)

        yield show
