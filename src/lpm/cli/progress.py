"""The progress of training on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lpm.train.loop import Record

__all__ = ["counting", "training"]

WAITING = 0.03
"""Share of the time spent waiting for data from which on it is said."""


@contextmanager
def training(title: str, *, quiet: bool = False) -> Iterator[Record]:
    """A bar that follows the events of a run: step, losses, events and tokens a second, time left.

    Args:
        title: Stands before the bar.
        quiet: Show nothing.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task(title, total=None, text="")

        def tell(event: str, **content: Any) -> None:
            if event.endswith("step"):
                text = _text(content)
                bar.update(task, completed=content["step"], total=content["steps"], text=text)

        yield tell


@contextmanager
def counting(title: str) -> Iterator[Callable[[], None]]:
    """A count that rises at each call, shown if anybody can see it.

    Args:
        title: What is counted.
    """
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.completed} {task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda: bar.advance(task)


def _text(content: dict[str, Any]) -> str:
    losses = " ".join(f"{n} {v:.3f}" for n, v in content["loss"].items())
    mfu = f" MFU {content['mfu']:.0%}" if "mfu" in content else ""
    wait = f" {content['data_wait']:.0%} waiting for data" if content.get("data_wait", 0.0) >= WAITING else ""
    minutes, seconds = divmod(int(content["eta_s"]), 60)
    rates = f"{content['events_per_s']:,.0f} events/s {content['tokens_per_s']:,.0f} tokens/s"
    return f"{losses} · {rates}{mfu}{wait} · {minutes}:{seconds:02d} left"
