"""`lpm simulate TASK OUT -n N`: a sample from the generator, through a detector, into shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lpm.cli import farm as options
from lpm.cli.samples import TASKS, Asked, make

__all__ = ["simulate"]

Preset = Annotated[
    str | None,
    typer.Option(
        help="For jets: jetclass (if none is named), fine, sample, top-landscape, top-landscape-wide, quark-gluon, "
        "jet-origin-higgs, jet-origin-z, taus, taus-mismodelled; for events: four-tops, four-tops-higgs, "
        "four-tops-phase-space, matched; for pid: alice, mismodelled; for flash: forward. Or a .toml file like "
        "them. For reductions: a family of integrals, by name or as a JSON file. For scrambles: spinor, dilog."
    ),
]


def simulate(
    task: Annotated[str, typer.Argument(help=f"One of {', '.join(TASKS)}.")],
    out: Annotated[Path, typer.Argument(help="Folder for shards, or one file: .parquet; showers .hdf5.")],
    number: Annotated[
        int,
        typer.Option("-n", "--number", help="How many jets, events, objects, tracks, showers or paths, in all."),
    ],
    preset: Preset = None,
    dataset: Annotated[
        str | None, typer.Option(help="For calorimeter: 1-photons (if none is named), 1-pions, 2, 3, or a .toml file.")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="For calorimeter: parametrised, or geant4 where it and its data files are installed.")
    ] = "parametrised",
    process: Annotated[
        str | None, typer.Option(help="For flash: charged (if none is named), photons, bu2jpsik, d02kpi, minbias.")
    ] = None,
    classes: Annotated[str, typer.Option(help="Only these classes, by commas: QCD,Tbqq.")] = "",
    pt: Annotated[tuple[float, float] | None, typer.Option(help="Transverse momentum, MIN MAX in GeV.")] = None,
    detector: Annotated[
        str | None, typer.Option(help="cms, atlas-delphes, cepc, none, or a .toml file like them.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal jets.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Complete an interrupted sample.")] = False,
    compact: Annotated[bool, typer.Option("--compact", help="Round to what is measurable: a small file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    on: options.On = "local",
    workers: options.Workers = None,
    time: options.Time = "",
    memory: options.Memory = "",
    partition: options.Partition = "",
    account: options.Account = "",
    extra: options.Extra = None,
    dry_run: options.DryRun = False,
) -> None:
    """Simulate jets or whole events with Pythia and a parametrised detector.

    An interrupted run is completed with --resume.

    Chunks of the sample are made by all cores of this machine, or by a cluster (--on). The sample is the same for any
    number of workers. A chunk that fails does not stop the others.

    Raises:
        ValueError: If an option is out of range or unknown, or the output cannot be written.
    """
    from lpm.data.io.files import file_or_folder

    file_or_folder(out, (".hdf5", ".h5") if task == "calorimeter" else (".parquet",))
    make(
        Asked(
            task=task, out=out, number=number, preset=preset, dataset=dataset, engine=engine, process=process,
            classes=classes, pt=pt, detector=detector, seed=seed, resume=resume, compact=compact, as_json=as_json,
            on=on, workers=workers, time=time, memory=memory, partition=partition, account=account,
            extra=tuple(extra or ()), dry_run=dry_run,
        )
    )  # fmt: skip
