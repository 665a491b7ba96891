"""The options of `lpm train` that say where it runs, and what happens with them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lpm.train.launch import LAUNCHERS, Job, LaunchConfig, carry_out

if TYPE_CHECKING:
    from lpm.recipes.base import RunConfig

__all__ = ["Account", "Cpus", "DryRun", "Extra", "Gpus", "Launch", "Lead", "Memory", "Nodes", "Partition", "Ranks",
           "Rendezvous", "Sweep", "Time", "jobs", "start"]  # fmt: skip

_PANEL = "Where it runs"


def _option(text: str, *names: str) -> object:
    return typer.Option(*names, help=text, rich_help_panel=_PANEL)


Launch = Annotated[str, _option(f"One of {', '.join(LAUNCHERS)}.")]
Nodes = Annotated[int, _option("Machines.")]
Ranks = Annotated[int, _option("Processes on each machine; else one a GPU.")]
Gpus = Annotated[int, _option("GPUs of each machine.")]
Cpus = Annotated[int, _option("Cores of each process.")]
Memory = Annotated[str, _option("Memory of each machine, such as 16G.")]
Time = Annotated[str, _option("Longest time of one start, as 1-12:00:00 or 12:00:00; it saves and is queued again.")]
Lead = Annotated[int, _option("Seconds before that time at which the training is asked to save.")]
Partition = Annotated[str, _option("Slurm partition, HTCondor flavour.")]
Account = Annotated[str, _option("Who is charged.")]
Extra = Annotated[list[str] | None, _option("Line to add to what is submitted; may be given again.")]
Rendezvous = Annotated[str, _option("HOST:PORT of the first machine, for torchrun on several.")]
Sweep = Annotated[list[str] | None, _option("FIELD=V1,V2,…: one run for each, in folders of their own.")]
DryRun = Annotated[bool, _option("Print what would be submitted, write nothing.", "--dry-run")]


def start(jobs: Sequence[Job], config: LaunchConfig, dry_run: bool) -> None:
    """Submit the jobs, or print what would be submitted; leaves with the exit code of what was run.

    Raises:
        ValueError: If the launcher cannot do what is asked, or a folder holds a run that is not to be resumed.
    """
    plan = LAUNCHERS[config.kind](jobs, config)
    if dry_run:
        typer.echo(str(plan))
        return
    for job in jobs:
        if (job.folder / "training").is_dir() and "--resume" not in job.words:
            raise ValueError(f"{job.folder}: holds a run already; choose another folder, or --resume to go on with it")
    if code := carry_out(plan):
        raise typer.Exit(code)


def jobs(words: Sequence[str], out: Path, sweep: Sequence[str], recipe: RunConfig, resume: bool) -> list[Job]:
    """One job for each combination of the values of a sweep, in a folder named after them; else one in `out`.

    Args:
        words: Arguments of `lpm train` without `--out` and `--resume`.
        out: Folder of the run, or of the runs.
        sweep: `FIELD=V1,V2,…` each.
        recipe: The run as the words describe it, in which the fields of the sweep are tried.
        resume: Go on with those runs that had begun.

    Raises:
        ValueError: If a sweep is misspelt or does not fit the recipe, or two runs would share a folder.
    """
    from lpm.records.config import set_path

    out = out.absolute()

    def job(folder: Path, *sets: str) -> Job:
        again = ("--resume",) if resume and (folder / "recipe.json").is_file() else ()
        return Job(folder, ("-m", "lpm.cli", "train", *words, *sets, *again, "--out", str(folder)))

    if not sweep:
        return [job(out)]
    axes = []
    for entry in sweep:
        field, equal, values = entry.partition("=")
        if not equal or not all(values.split(",")):
            raise ValueError(f"--sweep {entry}: expected FIELD=V1,V2,…, such as --sweep train.lr=1e-3,2e-3")
        for value in values.split(","):
            set_path(recipe, field, value)
        axes.append([f"{field}={value}" for value in values.split(",")])
    made = []
    for choice in itertools.product(*axes):
        folder = out / re.sub(r"[^\w.=+-]", "_", "+".join(choice))
        made.append(job(folder, *(word for entry in choice for word in ("--set", entry))))
    if len({one.folder for one in made}) < len(made):
        raise ValueError(f"--sweep {' '.join(sweep)}: two runs would share a folder; give each value once")
    return made
