"""`lpm evaluate calorimeter GENERATED REFERENCE`: the judge of showers, as JSON, as a table and as a page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

__all__ = ["Options", "judge_showers"]

MEASURED = ("separation", "fpd", "kpd")
"""What is measured unless --metrics says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says of the judge.

    Args:
        metrics: Names; empty for `MEASURED`.
        dataset: Name of a data set of the CaloChallenge, or path of a binning XML; None if the voxels tell.
        min_samples: Smallest number of showers drawn for FPD, and the batch of KPD.
        max_samples: Largest number of showers drawn for FPD.
        seed: Of resampling and of trained judges.
        as_json: Print JSON.
        report: Page to write, or None.
    """

    metrics: tuple[str, ...]
    dataset: str | None
    min_samples: int
    max_samples: int
    seed: int
    as_json: bool
    report: Path | None


def judge_showers(generated: Path, reference: Path | None, options: Options) -> None:
    """Read both files, measure, print.

    Raises:
        ValueError: If a metric is unknown, the files have another binning, or hold too few showers for a metric.
    """
    from lpm.tasks.showers import JUDGES, Judging, read_showers

    if reference is None:
        raise ValueError("calorimeter compares two samples; name the file of true showers as the third argument")
    names = options.metrics or MEASURED
    if unknown := [n for n in names if n not in JUDGES]:
        raise ValueError(f"unknown metric {unknown[0]!r}; this task has: {', '.join(JUDGES)}")
    cells = any(JUDGES[n].cells for n in names) or options.report is not None
    samples = [read_showers(path, options.dataset, cells=cells) for path in (generated, reference)]
    (made, geometry), (true, other) = samples
    if geometry != other:
        raise ValueError(f"{generated} has the binning {geometry.name}, {reference} {other.name}; compare one binning")
    judging = Judging(
        generated=made, reference=true, geometry=geometry, min_samples=options.min_samples,
        max_samples=options.max_samples, seed=options.seed,
    )  # fmt: skip
    found: dict[str, Any] = {}
    for name in names:
        found |= JUDGES[name].measure(judging)
    found["settings"] = judging.settings()
    if options.as_json:
        typer.echo(json.dumps(found))
    else:
        _print(f"{generated.name} against {reference.name}", found)


def _print(title: str, found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left")
    table.add_column("metric")
    for column in ("value", "error", "floor"):
        table.add_column(column, justify="right")
    for name, value in found.items():
        if name == "separation":
            for observable, s in value.items():
                error, floor = (found[f"separation_{kind}"][observable] for kind in ("error", "floor"))
                table.add_row(f"separation, {escape(observable)}", *(_short(x) for x in (s, error, floor)))
        elif isinstance(value, dict) and "value" in value:
            table.add_row(escape(name), _short(value["value"]), _short(value.get("error")), "")
    Console().print(table)


def _short(x: float | None) -> str:
    return "" if x is None else f"{x:.3g}"
