"""A generator of showers for a calorimeter that it has not seen, from few showers: what earlier geometries are worth.

    python benchmarks/new_geometry.py --boxes geant4_em_showers_1000.root --runs runs

One flow (`calorimeter.universal`) learns simulated showers in several geometries of the CaloChallenge. It is then
fine-tuned (`calorimeter.adapted`) to a box of 12 × 12 × 12 cells, with some of 1,000 public showers of Geant4 of 2 GeV;
beside it, the same network learns the same showers for as many steps, from nothing. The judge is that of `lpm evaluate
calorimeter`, with the classifier of features, on the 400 showers that none has seen, drawn by the seed. So few say
little: training showers are judged as well, in the place of generated ones, and what they get is the floor.

Trained models are kept in `--runs`, from which an interrupted training goes on.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from record import Cell, Record, Table, options_of, short
from shower_generators import over

from lpm.data.batch import Batch
from lpm.data.io import open_file
from lpm.data.showers import grid_of
from lpm.metrics.shower_classifiers import Training
from lpm.model.checkpoint import load
from lpm.model.model import Model
from lpm.physics.geometry import Planes
from lpm.recipes import RECIPES, RunConfig
from lpm.recipes.calorimeter import BOX
from lpm.recipes.execute import execute
from lpm.recipes.jets import tiny
from lpm.recipes.showers import patches_in, sample_showers
from lpm.records.hashing import hash_file
from lpm.sim.calorimeter_production import produce_showers
from lpm.tasks.calorimeter import describe_grid
from lpm.tasks.showers import JUDGES, Judging

HELD = 400
"""Showers that generated ones are compared with."""

FROM = {"universal": "fine-tuned", "nothing": "from nothing", "Geant4": "showers of the training"}
"""Where a generator starts from, and what it is called."""

MEASURES = {"separation": 1e3, "fpd": 1e3, "kpd": 1e3, "high": 1.0}
"""What is measured, and its scale in the table."""


def known(o: argparse.Namespace, folder: Path) -> tuple[str, ...]:
    """Files of the geometries that are learned first."""
    paths = []
    for seed, name in enumerate(o.datasets.split(",")):
        path = folder / f"{name}.hdf5"
        if not path.is_file():
            produce_showers(o.showers, path, card=name, seed=seed)
        paths.append(str(path))
    return tuple(paths)


def trained(run: RunConfig, folder: Path, batch: Batch | None = None) -> Model:
    """The model of a run, trained if it is not there."""
    if (folder / "weights.safetensors").is_file():
        return load(folder)
    print(f"# {folder.name}", flush=True)
    return execute(run, folder, batch=batch, resume=(folder / "training").is_dir())


def steps(run: RunConfig, number: int) -> RunConfig:
    """A run of so many steps."""
    train = replace(run.train, steps=number, warmup=min(run.train.warmup, number // 5), valid_every=0, save_every=50)
    return replace(run, train=train)


def learned(o: argparse.Namespace, start: str, some: Batch, seed: int, folder: Path) -> Model:
    """A generator of the new geometry."""
    first = folder / f"universal-{o.size}-{o.steps}-{seed}"
    run = RECIPES["calorimeter.adapted"](size=o.size, dataset="boxes", start=str(first), data=(o.boxes.name,))
    run = steps(replace(run, seed=seed, data=replace(run.data, most=min(128, len(some)))), o.tune)
    if start == "nothing":
        run = replace(run, start=None, train=replace(run.train, lr=3 * run.train.lr))  # that of `calorimeter.flow`
    return trained(tiny(run) if o.quick else run, folder / f"{start}-{o.size}-{len(some)}-{o.tune}-{seed}", some)


def showers(model: Model, given: Batch, seed: int) -> Batch:
    """What a model makes of incident particles, in cells."""
    patches = patches_in(model)
    wanted = given.select([p for p in given.schema.paths if p.startswith("shower.")])
    return Batch.cat([patches.join(b) for b in sample_showers(model, wanted, seed=seed)])


def described(batch: Batch) -> Batch:
    """Showers in cells with all that is measured of them."""
    energy = batch.field("shower.energy").values.double()
    return describe_grid(grid_of(batch, BOX).double(), energy, Planes.of(BOX))


def judged(o: argparse.Namespace, made: Batch, held: Batch) -> dict[str, Any]:
    """Every metric as (value, error)."""
    n = min(len(made), len(held))
    judging = Judging(
        generated=described(made[:n]), reference=described(held[:n]), geometry=Planes.of(BOX),
        min_samples=n // 5, max_samples=n,
        training=Training(hidden=o.hidden, epochs=1, steps=o.judged, seeds=o.classifiers, scaled=True),
    )  # fmt: skip
    found: dict[str, Any] = {}
    for name in ("separation", "fpd", "kpd", "classifier-high"):
        found |= JUDGES[name].measure(judging)
    values, errors = (list(found[k].values()) for k in ("separation", "separation_error"))
    auc = found["classifier-high"]["auc"]
    return {
        "separation": (statistics.fmean(values), sum(x * x for x in errors) ** 0.5 / len(errors)),
        **{name: (found[name]["value"], found[name]["error"]) for name in ("fpd", "kpd")},
        "high": (auc["value"], auc["error"]),
    }


def results(o: argparse.Namespace, all_: Batch, folder: Path) -> list[dict[str, Any]]:
    """Every generator of every seed, judged."""
    out: list[dict[str, Any]] = []
    for seed in range(o.seeds):
        order = torch.randperm(len(all_), generator=torch.Generator().manual_seed(seed))
        held, rest = all_[order[:HELD]], all_[order[HELD:]]
        first = RECIPES["calorimeter.universal"](
            size=o.size, data=known(o, folder), datasets=tuple(o.datasets.split(","))
        )
        first = steps(replace(first, seed=seed), o.steps)
        trained(tiny(first) if o.quick else first, folder / f"universal-{o.size}-{o.steps}-{seed}")
        for count in map(int, o.counts.split(",")):
            for start in ("nothing", "universal"):
                model = learned(o, start, rest[:count], seed, folder)
                out.append(
                    {"start": start, "count": count, "seed": seed, **judged(o, showers(model, held, seed), held)}
                )
                print(out[-1], flush=True)
        out.append({"start": "Geant4", "count": 0, "seed": seed, **judged(o, rest[:HELD], held)})
        print(out[-1], flush=True)
    return out


def table(found: list[dict[str, Any]]) -> Table:
    """One row a start and number of showers, over the seeds."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for r in found:
        groups.setdefault((r["start"], r["count"]), []).append(r)
    rows: list[tuple[Cell, ...]] = [
        (FROM[start], str(count or HELD), str(len(some)), *(over(some, m, scale) for m, scale in MEASURES.items()))
        for (start, count), some in sorted(groups.items(), key=lambda g: (g[0][1], g[0][0]))
    ]
    head = ("", "showers", "seeds", "separation × 1e3", "FPD × 1e3", "KPD × 1e3", "AUC high")
    return Table(f"Against {HELD} showers of Geant4 that none has seen", head, rows)


def main() -> None:
    """Train, judge, record."""
    parser = options_of(__doc__ or "", seeds=1)
    parser.add_argument("--boxes", type=Path, help="the 1,000 public showers, ROOT")
    parser.add_argument("--datasets", default="1-photons,1-pions,2", help="geometries that are learned first")
    parser.add_argument("--showers", type=int, default=20_000, help="simulated showers of each of them")
    parser.add_argument("--counts", default="100,600", help="showers of the new geometry")
    parser.add_argument("--size", type=int, default=2, help="the dial of the recipes")
    parser.add_argument("--steps", type=int, default=4000, help="training steps in the known geometries")
    parser.add_argument("--tune", type=int, default=500, help="training steps in the new one")
    parser.add_argument("--runs", type=Path, help="folder of the trained models; forgotten if absent")
    parser.add_argument("--hidden", type=int, default=256, help="width of classifiers")
    parser.add_argument("--judged", type=int, default=2000, help="steps of classifiers")
    parser.add_argument("--classifiers", type=int, default=5, help="classifiers trained")
    o = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = o.runs or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if o.quick:
            o.counts, o.size, o.showers, o.hidden, o.judged, o.classifiers = "20", 1, 100, 8, 1, 1
            o.datasets, o.tune, o.steps = "1-photons", 2, 2
        if not o.boxes:
            sys.exit("name the showers in boxes with --boxes; docs/tasks/calorimeter.md says where they are")
        record = Record(o, "A generator of showers fine-tuned to a new calorimeter, beside one from nothing.")
        with open_file(o.boxes) as reader:
            found = results(o, reader.read(0, len(reader)), folder)
            record.data.append({"name": short(o.boxes), "sha256": hash_file(o.boxes), "jets": len(reader),
                                "events": "showers"})  # fmt: skip
    record.tables = [table(found)]
    record.notes = [
        f"First {o.steps:,} steps in {o.datasets.replace(',', ', ')}, {o.showers:,} simulated showers of each; then "
        f"{o.tune:,} steps in the new geometry, as many as from nothing. Size {o.size}.",
        f"Classifiers of width {o.hidden}, {o.judged:,} steps, inputs scaled, {o.classifiers} of each pair.",
    ]
    record.more["results"] = found
    record.save()


if __name__ == "__main__":
    main()
