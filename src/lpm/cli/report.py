"""`lpm report RUN…`: one self-contained HTML page from the records of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["report"]


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, each with a run.jsonl.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "",
) -> None:
    """Write a page with curves, histograms, tables, event displays and the provenance of runs.

    Raises:
        ValueError: If a run has no record, or the page cannot be written.
    """
    from lpm.report.runs import report_runs

    page = report_runs(runs, title=title)
    page.write(out)
    typer.echo(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB): open it in a browser")
