"""`lpm evaluate TASK PRED [TRUTH]`: the metrics of a task with their intervals, as a table or as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lpm.data.batch import Batch
    from lpm.metrics.estimate import Estimate

__all__ = ["evaluate"]

OF_SHOWERS = ("--dataset", "--threshold", "--min-samples", "--max-samples", "--hidden", "--epochs", "--steps",
              "--scaled", "--seeds", "--run", "--training", "--other", "--report")  # fmt: skip
"""What only showers are judged by."""


def evaluate(
    context: typer.Context,
    task: Annotated[str, typer.Argument(help="Name of a task, e.g. jets.top.")],
    pred: Annotated[Path, typer.Argument(help="File of events with the predictions in it.")],
    truth: Annotated[
        Path | None, typer.Argument(help="File of true events, where the task compares two samples.")
    ] = None,
    metrics: Annotated[str, typer.Option(help="Only these, by commas: auc,rejection.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of resampling and of trained judges.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    dataset: Annotated[
        str | None, typer.Option(help="calorimeter: 1-photons, 1-pions, 2, 3, or the XML of a binning.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="calorimeter: cells below do not count, MeV; else as the data set prescribes.")
    ] = None,
    min_samples: Annotated[int, typer.Option(help="calorimeter: fewest showers drawn for FPD; batch of KPD.")] = 10_000,
    max_samples: Annotated[int, typer.Option(help="calorimeter: most showers drawn for FPD.")] = 50_000,
    hidden: Annotated[
        int | None, typer.Option(help="calorimeter: width of classifiers; 2048 on a GPU, else 256.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="calorimeter: passes of classifiers over their showers.")] = 50,
    steps: Annotated[
        int, typer.Option(help="calorimeter: fewest steps of classifiers; with few showers, more passes are made.")
    ] = 8000,
    scaled: Annotated[
        bool, typer.Option("--scaled", help="calorimeter: scale the inputs of classifiers: tells more, not official.")
    ] = False,
    seeds: Annotated[int, typer.Option(help="calorimeter: classifiers trained, of which the mean is given.")] = 1,
    run: Annotated[Path | None, typer.Option(help="calorimeter: the trained generator, for timing.")] = None,
    training: Annotated[
        Path | None, typer.Option(help="calorimeter: what the generator was trained on, for memorisation.")
    ] = None,
    other: Annotated[
        list[Path] | None, typer.Option(help="calorimeter: sample of another generator, for multiclass; repeatable.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="calorimeter: page with plots to write.")] = None,
) -> None:
    """Measure predictions: each metric with a 68% interval.

    Raises:
        ValueError: If the task, a metric or a field does not exist, or a file cannot be read.
    """
    if task == "calorimeter":
        from lpm.cli.showers import Options, judge_showers

        names = tuple(m.strip() for m in metrics.split(",") if m.strip())
        options = Options(
            metrics=names, dataset=dataset, threshold=threshold, min_samples=min_samples, max_samples=max_samples,
            seed=seed, as_json=as_json, report=report, hidden=hidden, epochs=epochs, steps=steps, scaled=scaled,
            seeds=seeds, training=training, run=run, others=tuple(other or ()),
        )  # fmt: skip
        judge_showers(pred, truth, options)
        return
    _refuse_options_of_showers(context, task)
    chosen = _choose(_measured(task, pred, truth, seed), [m.strip() for m in metrics.split(",") if m.strip()])
    if as_json:
        typer.echo(json.dumps({name: e.to_json() for name, e in chosen.items()}))
    else:
        _print(f"{task}: {pred.name}", chosen)


def _measured(task: str, pred: Path, truth: Path | None, seed: int) -> dict[str, Estimate]:
    from lpm.tasks import TASKS

    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}; there are: {', '.join(TASKS)}")
    events = _load(pred), None if truth is None else _load(truth)
    try:
        return TASKS[task].evaluate(*events, seed)
    except ValueError as error:
        raise ValueError(f"{pred}{'' if truth is None else f' against {truth}'}: {error}") from error


def _refuse_options_of_showers(context: typer.Context, task: str) -> None:
    """What says how showers are judged is of no use to other tasks."""
    sources = {p.opts[0]: context.get_parameter_source(p.name or "") for p in context.command.params}
    unused = [o for o in OF_SHOWERS if (source := sources[o]) is not None and source.name == "COMMANDLINE"]
    if unused:
        raise ValueError(f"{', '.join(unused)}: for lpm evaluate calorimeter only; leave out for {task}")


def _load(path: Path) -> Batch:
    """All events of a file, of the files in a folder, or of those that match a pattern."""
    from lpm.data.batch import Batch
    from lpm.data.io import find_files, open_file

    parts: list[Batch] = []
    for file in find_files(path):
        reader = open_file(file)
        reader.remedy = "mend the file, or leave such events out by lpm convert --on-bad skip"
        parts += reader.batches()
    if not parts:
        raise ValueError(f"{path}: expected events, found none; check how the file was made")
    return Batch.cat(parts)


def _choose(found: dict[str, Estimate], names: list[str]) -> dict[str, Estimate]:
    """The metrics called by name, or by the part of it before '@', '[' or '.': `rejection` means all of them."""

    def wanted(metric: str, name: str) -> bool:
        return metric == name or (metric.startswith(name) and metric[len(name)] in "@[.")

    for name in names:
        if not any(wanted(metric, name) for metric in found):
            raise ValueError(f"unknown metric {name!r}; this task has: {', '.join(found)}")
    return {k: e for k, e in found.items() if not names or any(wanted(k, name) for name in names)}


def _print(title: str, metrics: dict[str, Estimate]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), caption="intervals hold 68%", title_justify="left", caption_justify="left")
    table.add_column("metric")
    for column in ("value", "low", "high"):
        table.add_column(column, justify="right")
    for name, e in metrics.items():
        table.add_row(escape(name), str(e), f"{e.low:.4g}", f"{e.high:.4g}")
    Console().print(table)
