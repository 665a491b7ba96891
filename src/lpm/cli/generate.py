"""`lpm generate RUN OUT -n N`: sample events from a trained model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lpm.cli.showers import generate_showers

if TYPE_CHECKING:
    from lpm.model.flow_sample import FlowSampleConfig
    from lpm.model.model import Model
    from lpm.model.sample import SampleConfig

__all__ = ["generate"]


def generate(
    run: Annotated[str, typer.Argument(help="Folder of a run, or name of a shipped model: jets-base.")],
    out: Annotated[Path, typer.Argument(help="Parquet file to write; of showers HDF5, as of the CaloChallenge.")],
    n: Annotated[int, typer.Option("-n", help="Number of events.", min=1)] = 1000,
    classes: Annotated[str, typer.Option(help="Classes to generate in equal parts, by commas, or 'all'.")] = "",
    temperature: Annotated[float, typer.Option(help="Of codes: below 1 sharpens; 1 is what was learned.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Of codes: keep the k most probable; 0 for all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Of codes: keep the most probable up to this probability.")] = 1.0,
    steps: Annotated[int, typer.Option(help="Of a flow: steps from noise to data; 0 for 8.", min=0)] = 0,
    solver: Annotated[
        Literal["", "euler", "midpoint", "heun"], typer.Option(help="Of a flow; midpoint if not named.")
    ] = "",
    like: Annotated[
        Path | None, typer.Option(help="Of showers: a file whose incident particles are taken, from the first on.")
    ] = None,
    energy: Annotated[
        str, typer.Option(help="Of showers: incident energies in GeV in equal parts, by commas; else the data set's.")
    ] = "",
    geometry: Annotated[
        str, typer.Option(help="Of showers: in which geometry, if the model knows several and no file says it.")
    ] = "",
    batch: Annotated[int, typer.Option(help="Events grown together.", min=1)] = 500,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Sample events and write them as they come; jets with their observables, showers with the energies asked for.

    Raises:
        ValueError: If the model cannot generate, or the file cannot be written.
    """
    from lpm.model.checkpoint import load
    from lpm.recipes.showers import makes_showers
    from lpm.train.parallel import world

    asked = _Asked(
        run=run, out=out, n=n, classes=classes, temperature=temperature, top_k=top_k, top_p=top_p, steps=steps,
        solver=solver, like=like, energy=energy, geometry=geometry, batch=batch, seed=seed, quiet=quiet,
    )  # fmt: skip
    with world(device) as place:
        model = load(run).to(place.device)
        (_showers if makes_showers(model) else _jets)(model, asked)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What the command line says."""

    run: str
    out: Path
    n: int
    classes: str
    temperature: float
    top_k: int
    top_p: float
    steps: int
    solver: Literal["", "euler", "midpoint", "heun"]
    like: Path | None
    energy: str
    geometry: str
    batch: int
    seed: int
    quiet: bool

    @property
    def codes(self) -> tuple[float, int, float]:
        """How codes are drawn."""
        return self.temperature, self.top_k, self.top_p

    def command(self, how: str) -> str:
        """The command line, to be kept beside what it made."""
        return f"lpm generate {Path(self.run).name} -n {self.n} {how} --batch {self.batch} --seed {self.seed}"


PLAIN = (1.0, 0, 1.0)
"""Codes drawn as they were learned."""


def _showers(model: Model, a: _Asked) -> None:
    from lpm.data.io.files import another_file
    from lpm.model.flow_sample import FlowSampleConfig
    from lpm.recipes.showers import incident

    if a.like:
        another_file(a.out, a.like)
    if a.classes or a.codes != PLAIN:
        raise ValueError(
            "showers have no classes and no codes: leave --classes, --temperature, --top-k and --top-p out"
        )
    follow = FlowSampleConfig(steps=a.steps or 8, solver=a.solver or "midpoint") if a.steps or a.solver else None
    given = incident(model, a.n, geometry=a.geometry, like=a.like, energies=a.energy, seed=a.seed)
    said = (f"--like {a.like.name}" if a.like else f"--energy {a.energy!r}") + f" --geometry {a.geometry!r}"
    told = a.command(f"{said} --steps {a.steps} --solver {a.solver!r}")
    generate_showers(model, given, a.out, follow, batch=a.batch, seed=a.seed, quiet=a.quiet, told=told)


def _jets(model: Model, a: _Asked) -> None:
    from itertools import chain

    from rich.console import Console
    from rich.progress import track

    from lpm.data.io.parquet import write_batches
    from lpm.recipes.apply import sample_jets

    if a.out.suffix != ".parquet":
        raise ValueError(f"{a.out}: expected a name that ends in .parquet")
    if a.like or a.energy or a.geometry:
        raise ValueError("this model makes no showers of particles: leave --like, --energy and --geometry out")
    config, how = _sampling(model, a)
    known = model.config.condition.classes if model.config.condition else ()
    chosen = known if a.classes == "all" else tuple(c.strip() for c in a.classes.split(",") if c.strip())
    batches = sample_jets(model, a.n, classes=chosen, config=config, seed=a.seed)
    total, console = (a.n + a.batch - 1) // a.batch, Console(stderr=True)
    shown = iter(track(batches, "generate", total=total, console=console, disable=a.quiet, transient=True))
    first = next(shown)
    made = {"command": a.command(f"--classes {a.classes!r} {how}")}
    count = write_batches(a.out, chain([first], shown), schema=first.schema, provenance=made)
    typer.echo(f"wrote {count} events to {a.out}")


def _sampling(model: Model, a: _Asked) -> tuple[SampleConfig | FlowSampleConfig, str]:
    """How the model is sampled, and the options that say so."""
    from lpm.model.flow_sample import FlowSampleConfig
    from lpm.model.sample import SampleConfig
    from lpm.recipes.apply import flows

    if flows(model):
        if a.codes != PLAIN:
            raise ValueError("a flow has no codes to sharpen: leave --temperature, --top-k and --top-p out")
        flow = FlowSampleConfig(steps=a.steps or 8, solver=a.solver or "midpoint", batch=a.batch)
        return flow, f"--steps {flow.steps} --solver {flow.solver}"
    if a.steps or a.solver:
        raise ValueError("this model has no flow to follow: leave --steps and --solver out")
    config = SampleConfig(temperature=a.temperature, top_k=a.top_k, top_p=a.top_p, batch=a.batch)
    return config, f"--temperature {a.temperature} --top-k {a.top_k} --top-p {a.top_p}"
