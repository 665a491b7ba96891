"""`lpm generate RUN OUT -n N`: sample events from a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["generate"]


def generate(
    run: Annotated[str, typer.Argument(help="Folder of a run, or name of a shipped model: jets-base.")],
    out: Annotated[Path, typer.Argument(help="Parquet file to write.")],
    n: Annotated[int, typer.Option("-n", help="Number of events.", min=1)] = 1000,
    classes: Annotated[str, typer.Option(help="Classes to generate in equal parts, by commas, or 'all'.")] = "",
    temperature: Annotated[float, typer.Option(help="Below 1 sharpens; 1 is what was learned.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Keep the k most probable codes; 0 for all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Keep the most probable codes up to this probability.")] = 1.0,
    batch: Annotated[int, typer.Option(help="Events grown together.", min=1)] = 500,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Sample events and write them as they come; with the observables of jets beside the particles.

    Raises:
        ValueError: If the model cannot generate, or the file cannot be written.
    """
    from itertools import chain

    from rich.console import Console
    from rich.progress import track

    from lpm.data.io.parquet import write_batches
    from lpm.model.checkpoint import load
    from lpm.model.sample import SampleConfig
    from lpm.recipes.apply import sample_jets
    from lpm.train.parallel import world

    with world(device) as place:
        model = load(run).to(place.device)
        known = model.config.condition.classes if model.config.condition else ()
        chosen = known if classes == "all" else tuple(c.strip() for c in classes.split(",") if c.strip())
        config = SampleConfig(temperature=temperature, top_k=top_k, top_p=top_p, batch=batch)
        batches = sample_jets(model, n, classes=chosen, config=config, seed=seed)
        total = (n + batch - 1) // batch
        shown = iter(
            track(batches, "generate", total=total, console=Console(stderr=True), disable=quiet, transient=True)
        )
        first = next(shown)
        how = f"--temperature {temperature} --top-k {top_k} --top-p {top_p} --batch {batch} --seed {seed}"
        made = {"command": f"lpm generate {Path(run).name} -n {n} --classes {classes!r} {how}"}
        count = write_batches(out, chain([first], shown), schema=first.schema, provenance=made)
    typer.echo(f"wrote {count} events to {out}")
