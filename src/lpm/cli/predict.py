"""`lpm predict RUN DATA OUT`: a model's answers beside the events of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lpm.data.batch import Batch

__all__ = ["predict"]


def predict(
    run: Annotated[str, typer.Argument(help="Folder of a run, or a shipped model: jets-top, jets-quark-gluon.")],
    data: Annotated[str, typer.Argument(help="Any readable file of events, or sample:jets.")],
    out: Annotated[Path, typer.Argument(help="File to write: .parquet or .root.")],
    on_bad: Annotated[str, typer.Option(help="stop at, or skip and count, events that cannot be used.")] = "stop",
    friend: Annotated[
        bool, typer.Option("--friend", help="Write the scores alone, an entry for each of the input: a friend tree.")
    ] = False,
    batch: Annotated[int, typer.Option(help="Events at once; of a flash simulation eight times.", min=1)] = 512,
    seed: Annotated[int, typer.Option(help="Of a flash simulation: equal seeds give equal tracks.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Apply the heads of a model to events; writes the events with their scores, in the order of the input.

    A flash simulation writes what would be reconstructed of generated particles.

    Raises:
        ValueError: If the file is not of the model's kind, or cannot be read or written.
    """
    from typing import cast

    from lpm.data.io import open_file
    from lpm.data.io.base import OnBad
    from lpm.model.checkpoint import load
    from lpm.recipes.apply import predict as answers
    from lpm.recipes.calibrate import read_calibrations
    from lpm.recipes.reconstruct import apply, is_flash
    from lpm.train.parallel import world

    _check(data, out, on_bad, friend)
    model = load(run)
    with world(device) as place, open_file(data, on_bad=cast(OnBad, on_bad)) as reader:
        if friend and reader.entries != len(reader):
            raise ValueError(
                f"{data}: an event is one of {len(reader):,} jets, its tree has {reader.entries:,} entries; "
                "leave out --friend"
            )
        model.to(place.device)
        if is_flash(model):
            if friend:
                raise ValueError("--friend: is for scores; a flash simulation writes whole events")
            batch *= 8
            found = _told(apply(model, reader.batches(size=batch), seed=seed), data)
        else:
            given = reader.batches(size=batch)
            found = answers(model, given, data, alone=friend, calibrations=read_calibrations(run))
        made = {"command": f"lpm predict {Path(run).name} {Path(data).name}"}
        count = _write(found, out, (len(reader) + batch - 1) // batch, data, made, quiet)
        skipped = reader.skipped
    typer.echo(f"wrote {count} events {'' if is_flash(model) else 'with scores '}to {out}")
    if skipped:
        typer.echo(f"left out {skipped:,} events that cannot be used")


def _check(data: str, out: Path, on_bad: str, friend: bool) -> None:
    """That the options fit together, and the events stay."""
    from typing import get_args

    from lpm.data.io.base import OnBad
    from lpm.data.io.files import another_file

    if out.suffix not in (".parquet", ".root"):
        raise ValueError(f"{out}: expected a name that ends in .parquet or .root")
    another_file(out, data)
    if on_bad not in get_args(OnBad):
        raise ValueError(f"--on-bad: expected {' or '.join(get_args(OnBad))}, got {on_bad!r}")
    if friend and on_bad == "skip":
        raise ValueError("--friend: needs an answer for every entry, --on-bad skip leaves some out; choose one of both")


def _write(batches: Iterator[Batch], out: Path, total: int, data: str, made: dict[str, str], quiet: bool) -> int:
    """Write events as they come, with a bar; how many there were."""
    from itertools import chain

    from rich.console import Console
    from rich.progress import track

    from lpm.data.io.parquet import write_batches

    bar = track(batches, "predict", total=total, console=Console(stderr=True), disable=quiet, transient=True)
    shown = iter(bar)
    first = next(shown, None)
    if first is None:
        raise ValueError(f"{data}: no events to predict")
    if out.suffix == ".root":
        from lpm.data.io.root import write_root

        return write_root(out, chain([first], shown), schema=first.schema)
    return write_batches(out, chain([first], shown), schema=first.schema, provenance=made)


def _told(batches: Iterator[Batch], data: str) -> Iterator[Batch]:
    """The events of a flash simulation, and in the end a word about those it was not made for."""
    unusual = total = 0
    for batch in batches:
        for name in ("particle", "generated", "photon"):
            if f"{name}.unusual" in batch.schema:
                values = batch.field(f"{name}.unusual").values
                unusual, total = unusual + int(values.sum()), total + len(values)
        yield batch
    if unusual:
        typer.echo(
            f"{data}: {unusual:,} of {total:,} are unlike what the model was trained on; they are flagged `unusual`",
            err=True,
        )
