"""`lpm fetch NAME`: a public data set on this disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lpm.data.catalog import DataSet

__all__ = ["fetch"]


def fetch(
    name: Annotated[str | None, typer.Argument(help="Data set; see --list.")] = None,
    folder: Annotated[Path, typer.Option("--dir", help="Where it goes; a folder of its name is made there.")] = Path(
        "data"
    ),
    only: Annotated[
        list[str] | None, typer.Option("--file", help="Files whose name has this in it; repeatable.")
    ] = None,
    unpack: Annotated[bool, typer.Option(help="Unpack archives.")] = True,
    list_: Annotated[bool, typer.Option("--list", help="Show the data sets and their files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Download a public data set: continues where it stopped, checks every file, tries mirrors in turn.

    Raises:
        ValueError: If there is no such data set or file, no mirror delivers, or a checksum is wrong.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from lpm.data.catalog import CATALOG
    from lpm.data.fetch import fetch as run
    from lpm.data.fetch import find

    if list_ or name is None:
        _show([find(name)] if name else list(CATALOG), as_json)
        return
    entry = find(name)
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=as_json or not console.is_terminal) as bars:
        task = bars.add_task("connecting", total=None)

        def show(file: str, done: int, of: int) -> None:
            bars.update(task, description=file, completed=done, total=of or None)

        paths = run(entry, folder / entry.name, only=only or (), unpack=unpack, progress=show)
    if as_json:
        typer.echo(
            json.dumps({"name": entry.name, "doi": entry.doi, "licence": entry.licence, "paths": list(map(str, paths))})
        )
        return
    for path in paths:
        typer.echo(str(path))
    typer.echo(f"{entry.title}, {entry.licence}; cite https://doi.org/{entry.doi} and {entry.paper}")


def _show(entries: list[DataSet], as_json: bool) -> None:
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table

    if as_json:
        typer.echo(json.dumps([asdict(e) for e in entries]))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("name", "files", "licence", "DOI", "what"):
        table.add_column(column, overflow="fold")
    for e in entries:
        table.add_row(e.name, str(len(e.files)), e.licence, e.doi, e.text)
    console = Console()
    console.print(table)
    if len(entries) == 1:
        for f in entries[0].files:
            console.print(f"  {f.name}  {f.checksum or 'no published checksum'}", highlight=False)
