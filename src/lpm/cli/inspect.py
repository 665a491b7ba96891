"""`lpm inspect PATH`: what is in a file, and what is wrong with it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from lpm.data.batch import Batch
    from lpm.data.schema import Schema
    from lpm.data.summary import FieldSummary, Summary

__all__ = ["inspect"]

_BARS = " ▁▂▃▄▅▆▇█"


def inspect(
    path: Annotated[Path, typer.Argument(help="A file, or a folder of files of one kind.")],
    events: Annotated[int | None, typer.Option(help="Look at the first so many events only.")] = None,
    format_: Annotated[str, typer.Option("--format", help="Format of the file; auto looks at the content.")] = "auto",
    tree: Annotated[str | None, typer.Option(help="Tree, table or kind of jets, where a file holds several.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Show schema, counts, ranges, faults and histograms of a file; check a shard against its specification.

    Raises:
        ValueError: If a file cannot be read, or the files of a folder differ in schema.
    """
    from rich.console import Console

    from lpm.data.io import find_files, open_file
    from lpm.data.summary import summarise

    if events is not None and events < 1:
        raise ValueError(f"--events: expected at least 1, got {events}")
    files = find_files(path)
    with open_file(files[0], format=format_, on_bad="keep", tree=tree) as reader:
        head: dict[str, Any] = {"path": str(path), "format": reader.format, "files": len(files), "entries": 0}
        head |= {"schema": json.loads(reader.schema.to_json()), "problems": {}}
        schema = reader.schema
    summary = summarise(_batches(files, head, schema, events, format_, tree), schema)
    if as_json:
        typer.echo(json.dumps({**head, **summary.to_json()}))
        return
    console = Console()
    # A table cut off by the width of a pipe is of no use to whom it is piped to.
    _print(console if console.is_terminal else Console(width=120), head, summary, schema)


def _batches(
    files: list[Path], head: dict[str, Any], schema: Schema, events: int | None, format_: str, tree: str | None
) -> Iterator[Batch]:
    """Events of all files, one file open at a time; entries and problems are noted in `head`."""
    from rich.progress import track

    from lpm.data.io import ShardReader, open_file
    from lpm.data.io.spec import check_shard

    left = events
    for file in track(files, "reading", transient=True, disable=len(files) == 1 or not sys.stderr.isatty()):
        if left == 0:
            return
        with open_file(file, format=format_, on_bad="keep", tree=tree) as reader:
            if reader.schema != schema:
                raise ValueError(f"{file}: other fields or labels than {files[0]}; inspect them one by one")
            if isinstance(reader, ShardReader) and (problems := check_shard(file)):
                head["problems"][str(file)] = problems
            head["entries"] += reader.entries
            for batch in reader.batches(stop=left):
                left = None if left is None else left - len(batch)
                yield batch


def _print(console: Console, head: dict[str, Any], summary: Summary, schema: Schema) -> None:
    from rich.markup import escape
    from rich.table import Table

    of = "" if head["entries"] == summary.events else f" of {head['entries']:,} entries"
    files = f"{head['files']} file{'' if head['files'] == 1 else 's'}"
    console.print(f"{escape(head['path'])}: {head['format']}, {files}, {summary.events:,} {schema.name}{of}")
    for name, c in summary.collections.items():
        if not schema[name].single:
            console.print(f"  {name}: {c.rows:,} rows, {c.min} to {c.max} an event, {c.mean:.1f} on average")
    table = Table(box=None, pad_edge=False)
    for column in ("field", "unit"):
        table.add_column(column, no_wrap=True)
    for column in ("min", "mean", "max", "no value", "inf", "out of range"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("1% to 99%", no_wrap=True, overflow="crop")
    for name, f in summary.fields.items():
        outside = f.low + f.high
        table.add_row(
            name, schema.field(name).unit, f"{f.min:.4g}", f"{f.mean:.4g}", f"{f.max:.4g}",
            _count(f.nan), _count(f.inf), _count(outside), _shape(f),
        )  # fmt: skip
    console.print(table)
    for name, f in summary.fields.items():
        if f.categories:
            shown = ", ".join(f"{label} {n:,}" for label, n in f.categories.items() if n)
            console.print(f"  {name}: {escape(shown) or 'no value'}", highlight=False)
    if summary.bad:
        console.print(
            f"{summary.bad:,} events cannot be used (not finite, negative energy, or empty): skip or mend them"
        )
    for file, found in head["problems"].items():
        for problem in found:
            console.print(f"{escape(file)}: {escape(problem)}")


def _count(n: int) -> str:
    return f"{n:,}" if n else "·"


def _shape(f: FieldSummary) -> str:
    """A histogram in one line of text."""
    if len(f.histogram) < 2:
        return "one value" if f.histogram else ""
    top = max(f.histogram)
    # Any entry at all shows as the lowest bar.
    return "".join(_BARS[0 if n == 0 else max(1, round(8 * n / top))] for n in f.histogram)
