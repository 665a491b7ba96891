"""The options that say who makes the pieces of `lpm simulate` and `lpm convert`, and how failures are shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lpm.data.farm import Farm, Plan

__all__ = ["Account", "DryRun", "Extra", "Memory", "On", "Partition", "Time", "Workers", "failures_shown", "show"]

_PANEL = "Where it runs"


def _option(text: str, *names: str) -> object:
    return typer.Option(*names, help=text, rich_help_panel=_PANEL)


On = Annotated[str, _option("local, dask, slurm, htcondor, or tcp://HOST:PORT of a running Dask scheduler.")]
Workers = Annotated[int | None, _option("Processes or jobs; the default suits this machine.")]
Time = Annotated[str, _option("Longest time of a job, as 1-12:00:00 or 12:00:00; jobs that end are replaced.")]
Memory = Annotated[str, _option("Memory of each job, such as 4G.")]
Partition = Annotated[str, _option("Slurm partition, HTCondor flavour.")]
Account = Annotated[str, _option("Who is charged.")]
Extra = Annotated[list[str] | None, _option("Line to add to each job; may be given again.")]
DryRun = Annotated[bool, _option("Say what is made and what would be, write nothing.", "--dry-run")]

NAMED = 10
"""Names of missing files that a dry run prints."""


def show(plan: Plan, farm: Farm, out: Path, as_json: bool) -> None:
    """Print what would be made, and by which jobs."""
    from lpm.data.farm import job_script
    from lpm.data.farm.claim import folder_of
    from lpm.data.farm.piece import BESIDE

    script = job_script(farm, (folder_of(out) / BESIDE).absolute())
    if as_json:
        typer.echo(json.dumps({**plan.to_json(), "on": farm.on, "workers": farm.workers, "script": script}))
        return
    typer.echo(f"{plan.pieces} pieces: {len(plan.done)} made, {len(plan.missing)} to make")
    for name in plan.missing[:NAMED]:
        typer.echo(f"  {name}")
    if len(plan.missing) > NAMED:
        typer.echo(f"  and {len(plan.missing) - NAMED} more")
    for failure in plan.failures:
        typer.echo(f"cannot be used: {failure.reason}")
    who = f"{farm.workers} worker{'' if farm.workers == 1 else 's'}"
    typer.echo(f"would run on {farm.on}: {who}, at most {farm.workers * farm.ahead} pieces at a time")
    if script:
        typer.echo(f"\n# the job of each worker\n{script}", nl=False)


@contextmanager
def failures_shown(as_json: bool) -> Iterator[None]:
    """Print all that failed, as JSON or one a line; the exit code will be 1.

    Raises:
        Unfinished: As it came, if it was not printed as JSON.
    """
    from lpm.data.farm import Unfinished

    try:
        yield
    except Unfinished as error:
        if as_json:
            typer.echo(json.dumps({**error.summary, "failed": [f.to_json() for f in error.failures]}))
            raise typer.Exit(1) from error
        for failure in error.failures:
            typer.echo(f"failed: {failure.reason}", err=True)
        raise
