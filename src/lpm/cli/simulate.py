"""`lpm simulate TASK OUT -n N`: a sample from the generator, through a detector, into shards."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lpm.cli import farm as options

if TYPE_CHECKING:
    from lpm.data.farm import Farm
    from lpm.theory.shards import Draw, Request

__all__ = ["simulate"]

TASKS = {
    "jets": "jetclass", "events": "four-tops", "pid": "alice", "calorimeter": "1-photons",
    "flash": "forward", "reductions": "trianglebox", "scrambles": "spinor",
}  # fmt: skip
"""What can be simulated, and the preset unless one is named."""


def simulate(
    task: Annotated[str, typer.Argument(help=f"One of {', '.join(TASKS)}.")],
    out: Annotated[Path, typer.Argument(help="Folder for shards, or one file: .parquet; showers .hdf5.")],
    number: Annotated[
        int,
        typer.Option("-n", "--number", help="How many jets, events, tracks, showers or paths, all classes together."),
    ],
    preset: Annotated[
        str | None,
        typer.Option(
            help="For jets: jetclass (if none is named), fine, top-landscape, quark-gluon, jet-origin-higgs, "
            "jet-origin-z; "
            "for events: four-tops; for pid: alice, mismodelled; for flash: forward. "
            "Or a .toml file like them. For reductions: a family "
            "of integrals, by name or as a JSON file. For scrambles: spinor, dilog."
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="For calorimeter: 1-photons (if none is named), 1-pions, 2, 3, or a .toml file.")
    ] = None,
    process: Annotated[
        str | None, typer.Option(help="For flash: charged (if none is named), photons, bu2jpsik, d02kpi, minbias.")
    ] = None,
    classes: Annotated[str, typer.Option(help="Only these classes, by commas: QCD,Tbqq.")] = "",
    pt: Annotated[tuple[float, float] | None, typer.Option(help="Transverse momentum, MIN MAX in GeV.")] = None,
    detector: Annotated[
        str | None, typer.Option(help="cms, atlas-delphes, cepc, none, or a .toml file like them.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal jets.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Complete an interrupted sample.")] = False,
    compact: Annotated[bool, typer.Option("--compact", help="Round to what is measurable: a small file.")] = False,
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
    """Simulate jets or whole events with Pythia and a parametrised detector.

    An interrupted run is completed with --resume.

    Chunks of the sample are made by all cores of this machine, or by a cluster (--on). The sample is the same for any
    number of workers. A chunk that fails does not stop the others.

    Raises:
        ValueError: If an option is out of range or unknown, or the output cannot be written.
    """
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}; there are: {', '.join(TASKS)}")
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from lpm.data.farm import Farm
    from lpm.sim.card import read_preset
    from lpm.sim.production import Request, plan, produce

    if dataset and task != "calorimeter":
        raise ValueError(f"--dataset: is for calorimeter; leave it out with {task}")
    if process and task != "flash":
        raise ValueError(f"--process: is for flash; leave it out with {task}")
    if task == "calorimeter":
        if preset or classes or pt or detector or compact or resume or on != "local" or dry_run:
            raise ValueError("calorimeter: takes --dataset, --seed and --json only; all else is in its card")
        _showers(out, number, dataset or TASKS[task], seed, as_json)
        return
    preset = preset or TASKS[task]
    if task == "pid":
        if classes or pt or detector or compact or on != "local" or dry_run:
            raise ValueError("pid: takes --preset, --seed, --resume and --json only; all else is in its card")
        _tracks(out, number, preset, seed, resume, as_json)
        return
    if task == "flash":
        if classes or pt or detector or compact or on != "local" or dry_run:
            raise ValueError(
                "flash: takes --preset, --process, --seed, --resume and --json only; all else is in its card"
            )
        _flash(out, number, process or "charged", preset, seed, resume, as_json)
        return
    if task in ("reductions", "scrambles"):
        if classes or pt or detector or compact:
            raise ValueError(f"{task}: has no classes, pt, detector or compact form")
        farm = Farm(on=on, workers=workers or 1, time=time, memory=memory, partition=partition, account=account,
                    extra=tuple(extra or ()))  # fmt: skip
        make = _paths if task == "reductions" else _scrambles
        make(out, number, preset, seed, resume, farm, as_json)
        return
    makes = "events" if read_preset(preset).find == "objects" else "jets"
    if makes != task:
        raise ValueError(f"preset {preset} makes {makes}: lpm simulate {makes} {out} …, or choose another preset")
    wanted = tuple(c.strip() for c in classes.split(",") if c.strip())
    request = Request(
        n=number, preset=preset, seed=seed, classes=wanted, pt=pt, detector=detector, compact=compact
    )  # fmt: skip
    if workers is None:
        workers = min(os.cpu_count() or 1, request.chunks)
    farm = Farm(
        on=on, workers=workers, time=time, memory=memory, partition=partition, account=account, extra=tuple(extra or ())
    )  # fmt: skip
    if dry_run:
        options.show(plan(request, out, resume=resume), farm, out, as_json)
        return
    console = Console(stderr=True)
    columns = (TextColumn(f"simulating {task}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    command = shlex.join(["lpm", *sys.argv[1:]])
    with (
        options.failures_shown(as_json),
        Progress(*columns, console=console, disable=as_json or not console.is_terminal) as bar,
    ):
        line = bar.add_task("", total=number)
        manifest = produce(
            request, out, farm=farm, resume=resume, command=command, done=lambda made: bar.advance(line, made),
            tell=lambda text: typer.echo(text, err=True),
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps({"out": str(out), **manifest}))
    else:
        typer.echo(f"{out}: {number:,} {task} of {', '.join(request.labels)}")


def _tracks(out: Path, number: int, card: str, seed: int, resume: bool, as_json: bool) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from lpm.sim.track_production import produce_tracks

    console = Console(stderr=True)
    with Progress(console=console, disable=as_json or not console.is_terminal) as bar:
        line = bar.add_task("simulating tracks", total=number)
        command = shlex.join(["lpm", *sys.argv[1:]])
        manifest = produce_tracks(
            number, out, card=card, seed=seed, resume=resume, command=command, done=lambda made: bar.advance(line, made)
        )
    if as_json:
        typer.echo(json.dumps({"out": str(out), **manifest}))
    else:
        typer.echo(f"{out}: {number:,} tracks of {', '.join(manifest['request']['card']['species'])}")


def _flash(out: Path, number: int, process: str, card: str, seed: int, resume: bool, as_json: bool) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from lpm.sim.flash_production import produce_flash

    console = Console(stderr=True)
    with Progress(console=console, disable=as_json or not console.is_terminal) as bar:
        line = bar.add_task("simulating a spectrometer", total=number)
        command = shlex.join(["lpm", *sys.argv[1:]])
        manifest = produce_flash(
            number, out, process=process, card=card, seed=seed, resume=resume, command=command,
            done=lambda made: bar.advance(line, made),
        )  # fmt: skip
    what = "groups of photons" if process == "photons" else f"particles of {process}"
    if as_json:
        typer.echo(json.dumps({"out": str(out), **manifest}))
    else:
        typer.echo(f"{out}: {number:,} {what}, in detail: {manifest['request']['card']['text']}")


def _showers(out: Path, number: int, card: str, seed: int, as_json: bool) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from lpm.sim.calorimeter_production import produce_showers

    console = Console(stderr=True)
    with Progress(console=console, disable=as_json or not console.is_terminal) as bar:
        line = bar.add_task("simulating showers", total=number)
        command = shlex.join(["lpm", *sys.argv[1:]])
        manifest = produce_showers(
            number, out, card=card, seed=seed, command=command, done=lambda made: bar.advance(line, made)
        )
    if as_json:
        typer.echo(json.dumps({"out": str(out), **manifest}))
    else:
        typer.echo(f"{out}: {number:,} showers, parametrised: {manifest['request']['card']['text']}")


def _paths(out: Path, number: int, family: str, seed: int, resume: bool, farm: Farm, as_json: bool) -> None:
    from lpm.theory.ibp.family import read_family
    from lpm.theory.ibp.sample import CHUNK, PathRequest, draw

    request = PathRequest(n=number, family=read_family(family), seed=seed)
    states = _states(request, draw, CHUNK, out, resume, farm, as_json)
    if as_json:
        typer.echo(json.dumps({"out": str(out), "states": states, "paths": number, "family": request.family.name}))
    else:
        typer.echo(f"{out}: {number:,} paths with {states:,} states of family {request.family.name}")


def _scrambles(out: Path, number: int, domain: str, seed: int, resume: bool, farm: Farm, as_json: bool) -> None:
    from lpm.theory.scrambles import CHUNK, ScrambleRequest, draw

    states = _states(ScrambleRequest(n=number, domain=domain, seed=seed), draw, CHUNK, out, resume, farm, as_json)
    if as_json:
        typer.echo(json.dumps({"out": str(out), "states": states, "sums": number, "domain": domain}))
    else:
        typer.echo(f"{out}: {number:,} scrambled sums of {domain} with {states:,} states on the way back")


def _states(request: Request, draw: Draw, chunk: int, out: Path, resume: bool, farm: Farm, as_json: bool) -> int:
    """Shards of states that a policy learns from; how many there are."""
    from rich.console import Console
    from rich.progress import Progress

    from lpm.theory.shards import write_shards

    console = Console(stderr=True)
    with options.failures_shown(as_json), Progress(console=console, disable=as_json or not console.is_terminal) as bar:
        line = bar.add_task("solving examples", total=request.n)
        return write_shards(
            request, out, draw, chunk, farm=farm, resume=resume, done=lambda made: bar.advance(line, made),
            tell=lambda text: typer.echo(text, err=True),
        )  # fmt: skip
