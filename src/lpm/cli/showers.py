"""Showers on the command line: `lpm evaluate calorimeter GENERATED REFERENCE`, and `lpm generate RUN OUT.hdf5`."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from lpm.data.batch import Batch
    from lpm.metrics.shower_classifiers import Training
    from lpm.model.flow_sample import FlowSampleConfig
    from lpm.model.model import Model
    from lpm.tasks.judging import Maker

__all__ = ["Options", "generate_showers", "judge_showers"]

MEASURED = ("separation", "fpd", "kpd")
"""What is measured unless --metrics says otherwise."""


_BESIDE = ("separation_error", "separation_floor", "outside", "settings")
"""Parts of the answer that stand in columns of others, or in JSON only."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says of the judge.

    Args:
        metrics: Names; empty for `MEASURED`.
        dataset: Name of a data set of the CaloChallenge, or path of a binning XML; None if the voxels tell.
        threshold: Cells below it do not count, MeV; None for what the data set prescribes.
        min_samples: Smallest number of showers drawn for FPD, and the batch of KPD.
        max_samples: Largest number of showers drawn for FPD.
        seed: Of resampling and of trained judges.
        as_json: Print JSON.
        report: Page to write, or None.
        hidden: Width of classifiers; None for that of the challenge on a GPU, and an eighth of it elsewhere.
        epochs: Passes of classifiers over their showers.
        steps: Fewest steps of them.
        scaled: Whether their inputs are scaled.
        seeds: Classifiers trained.
        training: What the generator was trained on, or None.
        run: A trained generator, for `timing`.
        others: Samples of other generators.
    """

    metrics: tuple[str, ...]
    dataset: str | None
    threshold: float | None
    min_samples: int
    max_samples: int
    seed: int
    as_json: bool
    report: Path | None
    hidden: int | None
    epochs: int
    steps: int
    scaled: bool
    seeds: int
    training: Path | None
    run: Path | None
    others: tuple[Path, ...]


def judge_showers(generated: Path, reference: Path | None, options: Options) -> None:
    """Read both files, measure, print.

    Raises:
        ValueError: If a metric or the threshold makes no sense, the files have another binning, or hold too few showers
            for a metric.
    """
    from lpm.data.io.showers import MEV
    from lpm.tasks.judging import Judging
    from lpm.tasks.showers import JUDGES, read_showers

    if reference is None:
        raise ValueError("calorimeter compares two samples; name the file of true showers as the third argument")
    names = options.metrics or MEASURED
    if unknown := [n for n in names if n not in JUDGES]:
        raise ValueError(f"unknown metric {unknown[0]!r}; this task has: {', '.join(JUDGES)}")
    if options.threshold is not None and not 0 <= options.threshold < math.inf:
        raise ValueError(f"--threshold: expected MeV, 0 or more, got {options.threshold:g}")
    threshold = None if options.threshold is None else options.threshold * MEV
    labels = _labels(options.others)
    cells = any(JUDGES[n].cells for n in names) or options.report is not None
    paths = [generated, reference, *options.others, *([options.training] if options.training else [])]
    read = [read_showers(path, options.dataset, cells=cells, threshold=threshold) for path in paths]
    samples, (first, *_) = [s for s, _ in read], [g for _, g in read]
    for path, (_, geometry) in zip(paths, read, strict=True):
        if geometry != first:
            raise ValueError(f"{path} has the binning {geometry.name}, {generated} {first.name}; compare one binning")
    judging = Judging(
        generated=samples[0], reference=samples[1], geometry=first, min_samples=options.min_samples,
        max_samples=options.max_samples, seed=options.seed, training=_training(options),
        others=dict(zip(labels, samples[2:], strict=False)), threshold=threshold,
        trained_on=samples[-1] if options.training else None,
        maker=_maker(options.run, generated) if options.run else None,
    )  # fmt: skip
    for name in names:
        JUDGES[name].check(judging)
    found: dict[str, Any] = {}
    for name in names:
        found |= JUDGES[name].measure(judging)
    found["settings"] = judging.settings()
    if options.report is not None:
        from lpm.metrics.calorimeter import separations
        from lpm.report.showers import shower_page

        pair = (judging.generated, judging.reference, judging.geometry)
        title = f"{generated.name} against {reference.name}"
        drawn = separations(*pair, threshold=threshold, seed=options.seed)
        shower_page(*pair, drawn, found, title=title, seed=options.seed).write(options.report)
        typer.echo(f"wrote {options.report}: open it in a browser", err=True)
    if options.as_json:
        typer.echo(json.dumps(found))
    else:
        _print(f"{generated.name} against {reference.name}", found)


def _labels(paths: tuple[Path, ...]) -> list[str]:
    """File names, with as many of the folders above as tell each from the others and from `generated`.

    Raises:
        ValueError: If a file is named twice.
    """
    whole = [path.absolute().parts for path in paths]
    if twice := [path for path, parts in zip(paths, whole, strict=True) if whole.count(parts) > 1]:
        raise ValueError(f"--other: {twice[0]} is named {len(twice)} times; name each generator's file once")
    labels = []
    for mine in whole:
        ends = (mine[-depth:] for depth in range(1, len(mine) + 1))
        alone = (end for end in ends if end != ("generated",) and sum(w[-len(end) :] == end for w in whole) == 1)
        labels.append(Path(*next(alone)).as_posix())
    return labels


def _maker(run: Path, generated: Path) -> Maker:
    """A trained generator that makes showers of the particles in a file."""
    import torch

    from lpm.model.checkpoint import load
    from lpm.recipes.showers import incident, make_showers
    from lpm.tasks.judging import Maker

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load(run).to(device)
    given = incident(model, 1000, like=generated)
    parameters = sum(p.numel() for p in model.parameters())
    return Maker(make=lambda n: make_showers(model, given, n), parameters=parameters, device=device)


def _training(options: Options) -> Training:
    import torch

    from lpm.metrics.shower_classifiers import Training

    hidden = options.hidden or (2048 if torch.cuda.is_available() else 256)
    return Training(
        hidden=hidden, epochs=options.epochs, steps=options.steps, scaled=options.scaled, seeds=options.seeds,
        seed=options.seed,
    )  # fmt: skip


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
        elif name not in _BESIDE:
            _rows(table, name, value)
    Console().print(table)


def _rows(table: Table, name: str, value: Any) -> None:
    """A line for each value with its error in a nested answer."""
    from rich.markup import escape

    if isinstance(value, dict) and set(value) == {"value", "error"}:
        table.add_row(escape(name), _short(value["value"]), _short(value["error"]), "")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _rows(table, f"{name}, {key}", inner)
    elif isinstance(value, int | float):
        table.add_row(escape(name), f"{value:,}" if isinstance(value, int) else _short(value), "", "")


def _short(x: float | None) -> str:
    return "" if x is None else f"{x:.3g}"


def generate_showers(
    model: Model,
    given: Batch,
    out: Path,
    config: FlowSampleConfig | None,
    *,
    batch: int,
    seed: int,
    told: str,
    quiet: bool,
) -> None:
    """Make showers of incident particles and write them in the form of the CaloChallenge.

    Args:
        model: That makes them.
        given: The particles.
        out: HDF5 file to write.
        config: How to follow the flow; None for what it was made for.
        batch: Showers made at a time.
        seed: Of all that is drawn.
        told: The command line, kept in the file.
        quiet: Show no progress.

    Raises:
        ValueError: If the name is no HDF5 file's, or the model has diverged.
    """
    from rich.console import Console
    from rich.progress import track

    from lpm.data.io.showers import write_showers
    from lpm.recipes.showers import energies_known, patches_for, sample_showers

    if out.suffix not in (".hdf5", ".h5"):
        raise ValueError(f"{out}: showers are written as HDF5; choose a name that ends in .hdf5")
    patches, incident = patches_for(model, given), given.field("shower.energy").values
    low, high = energies_known(model, patches.geometry.name)
    if beyond := int(((incident < low) | (incident > high)).sum()):
        typer.echo(f"lpm: {beyond:,} of {len(incident):,} energies lie beyond those of the training, {low:g} to "
                   f"{high:g} GeV: these showers are extrapolated, and flagged so in the file", err=True)  # fmt: skip
    made = sample_showers(model, given, config=config, batch=batch, seed=seed)
    bar = {"console": Console(stderr=True), "disable": quiet, "transient": True}
    shown = track(made, "generate", total=-(-len(given) // batch), **bar)  # type: ignore[arg-type]
    note = {"generator": json.dumps({"command": told, "text": "lpm, a trained model; not Geant4"})}
    count = write_showers(out, map(patches.join, shown), patches.geometry, attributes=note)
    typer.echo(f"wrote {count} shower{'s' * (count != 1)} to {out}")
