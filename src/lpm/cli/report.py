"""`lpm report RUN…`: one self-contained HTML page from the records of runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lpm.data.batch import Batch

__all__ = ["report"]


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, each with a run.jsonl.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "",
    data: Annotated[
        str, typer.Option(metavar="FILE", help="Events on which to explain the answers of classifiers.")
    ] = "",
    events: Annotated[int, typer.Option(help="So many of them.", min=2)] = 200,
    head: Annotated[str, typer.Option(help="Which classifier, where a model has several.")] = "",
) -> None:
    """Write a page with curves, histograms, tables, event displays and the provenance of runs.

    With --data also why classifiers answer as they do: contributions of fields and particles, and attention.

    Raises:
        ValueError: If a run has no record, the events are not of a model's kind, or the page cannot be written.
    """
    from lpm.report.runs import report_runs

    if data:
        from lpm.model.checkpoint import load
        from lpm.recipes.explain import explain

        batch = _first(data, events)

        def more(folder: Path) -> list[dict[str, Any]]:
            return explain(load(folder), batch, source=data, head=head)

        page = report_runs(runs, title=title, more=more)
    else:
        page = report_runs(runs, title=title)
    page.write(out)
    typer.echo(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB): open it in a browser")


def _first(path: str, count: int) -> Batch:
    """The first events of a file."""
    from lpm.data.batch import Batch
    from lpm.data.io import open_file

    with open_file(path) as reader:
        if not len(reader):
            raise ValueError(f"{path}: no events to explain; name a file that holds some")
        return Batch.cat(list(reader.batches(stop=count)))
