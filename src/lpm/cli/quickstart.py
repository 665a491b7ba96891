"""`lpm quickstart`: the whole story in minutes on a laptop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from lpm.recipes.quickstart import Story

__all__ = ["quickstart"]


def quickstart(
    data: Annotated[str, typer.Option(help="Your own file of jets, of any readable format.")] = "sample:jets",
    out: Annotated[Path, typer.Option(help="Folder for runs and report; must be new.")] = Path("quickstart"),
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A few steps of everything: to see that all works.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Jets in, a trained model out: inspect, tokenize, pre-train, generate, fine-tune, evaluate, report.

    Raises:
        ValueError: If the data cannot be used, or the folder holds an earlier quick start.
    """
    import time

    from rich.console import Console

    from lpm.cli.inspect import inspect
    from lpm.cli.progress import training
    from lpm.data.samples import locate
    from lpm.recipes.quickstart import Effort, tell_story
    from lpm.report.runs import report_runs

    if (out / "run.jsonl").exists():
        raise ValueError(f"{out}: holds an earlier quick start; choose another folder with --out, or remove it")
    console, begun = Console(), time.perf_counter()
    inspect(locate(data))
    effort = Effort()
    if quick:
        effort = Effort(size=1, pretrain=5, finetune=(2, 2, 2), generate=100)

    def say(line: str) -> None:
        console.print(f"[dim]{time.perf_counter() - begun:5.0f} s[/dim]  {line}")

    with training("train", quiet=quiet) as bar:
        story = tell_story(data, out, effort=effort, seed=seed, say=say, bar=bar)
    folders = [out, *sorted(p.parent for p in out.glob("*/run.jsonl"))]
    report_runs(folders, title="lpm quick start").write(out / "report.html")
    say("done")
    _print(console, story, out)


def _print(console: Console, story: Story, out: Path) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title="Taggers: AUC on the test jets", caption="± 68% interval of the test sample", title_justify="left"
    )
    table.add_column("labels", justify="right")
    starts = list(dict.fromkeys(s for s, _ in story.taggers))
    for start in starts:
        table.add_column(start, justify="right")
    for n in sorted({n for _, n in story.taggers}):
        table.add_row(f"{n:,}", *(str(story.taggers[s, n]) for s in starts))
    if story.taggers:
        console.print(table)
    made = Table(
        title="Generated jets: distance to true ones", caption="floor: true against true", title_justify="left"
    )
    for column in ("distance", "generated", "floor"):
        made.add_column(column, justify="left" if column == "distance" else "right")
    for name, value in story.generation.items():
        floor = story.generation.get(f"{name}.floor")
        if floor is not None:
            made.add_row(escape(name), str(value), str(floor))
    console.print(made)
    console.print(
        f"Look at [bold]{out / 'report.html'}[/bold]. Next: lpm quickstart --data YOUR_FILE, or lpm train --help"
    )
