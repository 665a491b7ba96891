"""What each task of `lpm simulate` makes, and which options it takes."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from lpm.cli import farm as options

if TYPE_CHECKING:
    from lpm.data.farm import Farm
    from lpm.sim.calorimeter_production import Engine
    from lpm.theory.shards import Draw, Request

__all__ = ["TASKS", "Asked", "make"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked for; an option that was not given has the value here."""

    task: str
    out: Path
    number: int
    preset: str | None = None
    dataset: str | None = None
    engine: str = "parametrised"
    process: str | None = None
    classes: str = ""
    pt: tuple[float, float] | None = None
    detector: str | None = None
    seed: int = 0
    resume: bool = False
    compact: bool = False
    as_json: bool = False
    on: str = "local"
    workers: int | None = None
    time: str = ""
    memory: str = ""
    partition: str = ""
    account: str = ""
    extra: tuple[str, ...] = ()
    dry_run: bool = False

    @property
    def card(self) -> str:
        """The preset that was named, or the usual one of the task."""
        return self.preset or self.dataset or TASKS[self.task].preset

    @property
    def command(self) -> str:
        """The command line, to be kept beside what it made."""
        return shlex.join(["lpm", *sys.argv[1:]])

    def farm(self, workers: int) -> Farm:
        """Who makes the pieces, with so many workers if no number was asked for."""
        from lpm.data.farm import Farm

        return Farm(
            on=self.on, workers=workers if self.workers is None else self.workers, time=self.time, memory=self.memory,
            partition=self.partition, account=self.account, extra=self.extra,
        )  # fmt: skip

    def tell(self, made: Mapping[str, Any], text: str) -> None:
        """Say what was made: for machines, or in words."""
        typer.echo(json.dumps({"out": str(self.out), **made}) if self.as_json else f"{self.out}: {text}")

    @contextmanager
    def bar(self, title: str) -> Iterator[Callable[[int], None]]:
        """A bar that each call moves on, shown if anybody can see it."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, disable=self.as_json or not console.is_terminal) as bar:
            line = bar.add_task("", total=self.number)
            yield lambda made: bar.advance(line, made)


def make(asked: Asked) -> None:
    """Make a sample.

    Raises:
        ValueError: If the task is unknown, does not take an option, or cannot be done.
    """
    if asked.task not in TASKS:
        raise ValueError(f"unknown task {asked.task!r}; there are: {', '.join(TASKS)}")
    task = TASKS[asked.task]
    for option in fields(Asked):
        allowed = ("task", "out", "number", "seed", "as_json", *task.takes)
        if option.name not in allowed and getattr(asked, option.name) != option.default:
            *some, last = (f"--{name.replace('_', '-')}" for name in ("seed", "json", *task.takes))
            given = f"--{option.name.replace('_', '-')}"
            raise ValueError(f"{asked.task}: leave {given} out; it takes {', '.join(some)} and {last}")
    task.make(asked)


def _particles(a: Asked) -> None:
    """Jets or whole events of Pythia."""
    from lpm.sim.card_files import read_preset
    from lpm.sim.chunk import Request
    from lpm.sim.production import plan, produce

    find = read_preset(a.card).find
    makes = "events" if find in ("objects", "matched") else "jets"
    if makes != a.task:
        raise ValueError(f"preset {a.card} makes {makes}: lpm simulate {makes} {a.out} …, or choose another preset")
    wanted = tuple(c.strip() for c in a.classes.split(",") if c.strip())
    request = Request(
        n=a.number, preset=a.card, seed=a.seed, classes=wanted, pt=a.pt, detector=a.detector, compact=a.compact
    )  # fmt: skip
    farm = a.farm(min(os.cpu_count() or 1, request.chunks))
    if a.dry_run:
        options.show(plan(request, a.out, resume=a.resume), farm, a.out, a.as_json)
        return
    with options.failures_shown(a.as_json), a.bar(f"simulating {a.task}") as done:
        manifest = produce(
            request, a.out, farm=farm, resume=a.resume, command=a.command, done=done,
            tell=lambda text: typer.echo(text, err=True),
        )  # fmt: skip
    what = "generated objects" if find == "matched" else a.task
    a.tell(manifest, f"{a.number:,} {what} of {', '.join(request.labels)}")


def _tracks(a: Asked) -> None:
    from lpm.sim.track_production import produce_tracks

    with a.bar("simulating tracks") as done:
        manifest = produce_tracks(
            a.number, a.out, card=a.card, seed=a.seed, resume=a.resume, command=a.command, done=done
        )  # fmt: skip
    a.tell(manifest, f"{a.number:,} tracks of {', '.join(manifest['request']['card']['species'])}")


def _flash(a: Asked) -> None:
    from lpm.sim.flash_production import produce_flash

    process = a.process or "charged"
    with a.bar("simulating a spectrometer") as done:
        manifest = produce_flash(
            a.number, a.out, process=process, card=a.card, seed=a.seed, resume=a.resume, command=a.command, done=done
        )  # fmt: skip
    what = "groups of photons" if process == "photons" else f"particles of {process}"
    a.tell(manifest, f"{a.number:,} {what}, in detail: {manifest['request']['card']['text']}")


def _showers(a: Asked) -> None:
    from lpm.sim.calorimeter_production import produce_showers

    with a.bar("simulating showers") as done:
        manifest = produce_showers(
            a.number, a.out, card=a.card, engine=cast("Engine", a.engine), seed=a.seed, command=a.command, done=done
        )  # fmt: skip
    how = "parametrised" if a.engine == "parametrised" else "of Geant4"
    a.tell(manifest, f"{a.number:,} shower{'s' * (a.number != 1)}, {how}: {manifest['request']['card']['text']}")


def _paths(a: Asked) -> None:
    from lpm.theory.ibp.family import read_family
    from lpm.theory.ibp.sample import CHUNK, PathRequest, draw

    request = PathRequest(n=a.number, family=read_family(a.card), seed=a.seed)
    states, name = _states(a, request, draw, CHUNK), request.family.name
    told = {"states": states, "paths": a.number, "family": name}
    a.tell(told, f"{a.number:,} paths with {states:,} states of family {name}")


def _scrambles(a: Asked) -> None:
    from lpm.theory.scrambles import CHUNK, ScrambleRequest, draw

    states = _states(a, ScrambleRequest(n=a.number, domain=a.card, seed=a.seed), draw, CHUNK)
    told = {"states": states, "sums": a.number, "domain": a.card}
    a.tell(told, f"{a.number:,} scrambled sums of {a.card} with {states:,} states on the way back")


def _states(a: Asked, request: Request, draw: Draw, chunk: int) -> int:
    """Shards of states that a policy learns from; how many there are."""
    from lpm.theory.shards import write_shards

    with options.failures_shown(a.as_json), a.bar("solving examples") as done:
        return write_shards(
            request, a.out, draw, chunk, farm=a.farm(1), resume=a.resume, done=done,
            tell=lambda text: typer.echo(text, err=True),
        )  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A task of `lpm simulate`.

    Args:
        preset: What is simulated unless another preset is named.
        make: Makes it.
        takes: Options besides --seed and --json.
    """

    preset: str
    make: Callable[[Asked], None]
    takes: tuple[str, ...]


_FARM = ("on", "workers", "time", "memory", "partition", "account", "extra")
_PARTICLES = ("preset", "classes", "pt", "detector", "resume", "compact", *_FARM, "dry_run")

TASKS = {
    "jets": Task("jetclass", _particles, _PARTICLES),
    "events": Task("four-tops", _particles, _PARTICLES),
    "pid": Task("alice", _tracks, ("preset", "resume")),
    "calorimeter": Task("1-photons", _showers, ("dataset", "engine")),
    "flash": Task("forward", _flash, ("preset", "process", "resume")),
    "reductions": Task("trianglebox", _paths, ("preset", "resume", *_FARM)),
    "scrambles": Task("spinor", _scrambles, ("preset", "resume", *_FARM)),
}
"""What can be simulated."""
