"""`lpm generate RUN OUT -n N`: sample events from a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lpm.cli.showers import generate_showers

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
    from itertools import chain

    from rich.console import Console
    from rich.progress import track

    from lpm.data.io.parquet import write_batches
    from lpm.model.checkpoint import load
    from lpm.model.flow_sample import FlowSampleConfig
    from lpm.model.sample import SampleConfig
    from lpm.recipes.apply import flows, sample_jets
    from lpm.recipes.showers import incident, makes_showers
    from lpm.train.parallel import world

    with world(device) as place:
        model = load(run).to(place.device)
        if makes_showers(model):
            if classes or (temperature, top_k, top_p) != (1.0, 0, 1.0):
                raise ValueError("showers have no classes and no codes: leave --classes, --temperature, --top-k and "
                                 "--top-p out")  # fmt: skip
            follow = FlowSampleConfig(steps=steps or 8, solver=solver or "midpoint") if steps or solver else None
            given = incident(model, n, geometry=geometry, like=like, energies=energy, seed=seed)
            said = (f"--like {like.name}" if like else f"--energy {energy!r}") + f" --geometry {geometry!r}"
            how = f"{said} --steps {steps} --solver {solver!r} --batch {batch} --seed {seed}"
            generate_showers(model, given, out, follow, batch=batch, seed=seed, quiet=quiet,
                             told=f"lpm generate {Path(run).name} -n {n} {how}")  # fmt: skip
            return
        if like or energy or geometry:
            raise ValueError("this model makes no showers of particles: leave --like, --energy and --geometry out")
        known = model.config.condition.classes if model.config.condition else ()
        chosen = known if classes == "all" else tuple(c.strip() for c in classes.split(",") if c.strip())
        config: SampleConfig | FlowSampleConfig
        if flows(model):
            if (temperature, top_k, top_p) != (1.0, 0, 1.0):
                raise ValueError("a flow has no codes to sharpen: leave --temperature, --top-k and --top-p out")
            config = FlowSampleConfig(steps=steps or 8, solver=solver or "midpoint", batch=batch)
            how = f"--steps {config.steps} --solver {config.solver}"
        else:
            if steps or solver:
                raise ValueError("this model has no flow to follow: leave --steps and --solver out")
            config = SampleConfig(temperature=temperature, top_k=top_k, top_p=top_p, batch=batch)
            how = f"--temperature {temperature} --top-k {top_k} --top-p {top_p}"
        batches = sample_jets(model, n, classes=chosen, config=config, seed=seed)
        total = (n + batch - 1) // batch
        shown = iter(
            track(batches, "generate", total=total, console=Console(stderr=True), disable=quiet, transient=True)
        )
        first = next(shown)
        how = f"--classes {classes!r} {how} --batch {batch} --seed {seed}"
        made = {"command": f"lpm generate {Path(run).name} -n {n} {how}"}
        count = write_batches(out, chain([first], shown), schema=first.schema, provenance=made)
    typer.echo(f"wrote {count} events to {out}")
