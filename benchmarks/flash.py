"""How close a flash simulation comes to the detailed one, and how much faster it is.

    lpm simulate flash charged/ -n 100000                            # some minutes each
    lpm simulate flash photons/ -n 12000 --process photons
    python benchmarks/flash.py --charged charged/ --photons photons/

Without files, smaller samples are simulated. The last fifth of each file is what is compared with; the flash simulation
gets other particles of the same distribution, so that χ² over its degrees of freedom is 1 ± 0.2 for a perfect one. The
bound, 2 for the sizes used here, was set before anything was measured. Every seed trains a model of its own.

Decays of Pythia, which no model was trained on, go through both simulations: the same decays, and their masses and
likelihoods of species are compared. Seconds are those of the process, one core, both simulations in turn in this run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from record import Cell, Record, Table, hash_files, mean, options_of, short

from lpm.data.batch import Batch
from lpm.data.flash import SPECIES
from lpm.data.io import open_file
from lpm.data.io.files import find_files
from lpm.metrics.chi_square import ChiSquare, compared
from lpm.model.model import Model
from lpm.recipes.execute import execute
from lpm.recipes.flash import clusters, tracks
from lpm.recipes.reconstruct import apply
from lpm.sim.flash import generated, generated_photons, gun, neutrals, photon_gun, reconstruct
from lpm.sim.flash_production import simulate
from lpm.tasks.flash import BOUND, comparisons, masses

DECAYS = {"bu2jpsik": ("B⁺ → J/ψ(e⁺e⁻) K⁺", 3, 5.27934), "d02kpi": ("D⁰ → K⁻π⁺", 2, 1.86484)}
T = TypeVar("T")


def timed(what: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and the seconds of this process that it took."""
    start = time.process_time()
    out = what()
    return out, time.process_time() - start


def sample(record: Record, path: str | None, process: str, n: int) -> Batch:
    """Events of files, noted among the data, or simulated ones."""
    if path is None:
        record.notes.append(f"`lpm.sim.flash_production.simulate({n}, {process!r}, seed=2026)`.")
        return Batch.cat([simulate(min(2000, n - i), process, seed=2026 + i) for i in range(0, n, 2000)])
    files = find_files(path)
    batch = Batch.cat([b for f in files for b in open_file(f).batches()])
    what = {"name": short(path), "sha256": hash_files(files), "events": process, "jets": len(batch)}
    record.data.append(what)
    return batch


def made(model: Model, given: Batch, seed: int) -> Batch:
    """What the flash simulation makes of generated particles."""
    return Batch.cat(list(apply(model, [given[i : i + 8192] for i in range(0, len(given), 8192)], seed=seed)))


def trained(recipe: str, train: Batch, seed: int, steps: int) -> Model:
    """A model of one seed."""
    run = tracks() if recipe == "tracks" else clusters()
    steps = min(steps or run.train.steps, run.train.steps)
    run = replace(run, seed=seed, train=replace(run.train, steps=steps, valid_every=0, save_every=0))
    with tempfile.TemporaryDirectory() as folder:
        return execute(run, Path(folder), device="cpu", batch=train)


def table(found: list[dict[str, ChiSquare]], title: str, names: list[str], of: tuple[str, ...]) -> Table:
    """χ² over degrees of freedom, mean over seeds: a row an observable, in all and of each species."""
    rows: list[tuple[Cell, ...]] = []
    for name in names:
        paths = [name, *(f"{name}[{s}]" for s in of)]
        each = [mean([f[p].estimate.value for f in found]) if all(p in f for f in found) else "—" for p in paths]
        worst = max(f[p].estimate.value for f in found for p in paths if p in f)
        rows.append((name, *each, f"{worst:.2f}", "yes" if worst <= BOUND else "**no**"))
    return Table(title, ("observable", "all", *of, "largest of any seed", f"≤ {BOUND:g}"), rows)


def resolution(values: np.ndarray, mass: float) -> tuple[float, float, float]:
    """Median in MeV from the true mass, half the width of the central 68%, and the share more than 100 MeV below."""
    low, middle, high = np.quantile(values, [0.16, 0.5, 0.84])
    return 1000 * (middle - mass), 500 * (high - low), float((values < mass - 0.1).mean())


def decays(models: list[Model], n: int) -> tuple[list[Table], dict[str, Any]]:
    """Masses of decays, and likelihoods of their kaons and pions, from both simulations."""
    spectra: list[tuple[Cell, ...]] = []
    likelihoods: list[tuple[Cell, ...]] = []
    more: dict[str, Any] = {}
    for process, (text, daughters, mass) in DECAYS.items():
        detailed = Batch.cat([simulate(1000, process, seed=7 + i, first=10_000 * i) for i in range(n // 1000)])
        reference = masses(detailed, daughters)
        flash = [made(m, detailed, seed=90 + i) for i, m in enumerate(models)]
        ours = [masses(b, daughters) for b in flash]
        bins = 20 if len(reference) >= 250 else 5
        for what, values in (("detailed", [reference]), ("flash", ours)):
            found = np.array([resolution(v, mass) for v in values])
            cells = [mean(found[:, i].tolist()) if len(found) > 1 else f"{found[0, i]:.3g}" for i in range(3)]
            chi2 = "—" if what == "detailed" else mean([compared(v, reference, bins=bins).estimate.value for v in ours])
            spectra.append((text, what, f"{np.mean([len(v) for v in values]):.0f}", *cells, chi2))
        edges = np.linspace(mass - 0.6, mass + 0.2, 41) if daughters == 3 else np.linspace(mass - 0.05, mass + 0.05, 41)
        more[process] = {
            "edges": edges.tolist(), "detailed": np.histogram(reference, edges)[0].tolist(),
            "flash": [np.histogram(v, edges)[0].tolist() for v in ours],
        }  # fmt: skip
        for name in ("K", "pi") if process == "d02kpi" else ("K", "e"):
            for field in ("rich_K", "rich_p", "rich_e", "ep"):
                sides = [chosen(b, field, name) for b in (detailed, *flash)]
                each = [compared(v, sides[0], bins=20).estimate.value for v in sides[1:]]
                above = [float((v > 5 * (field != "ep") + 0.8 * (field == "ep")).mean()) for v in sides]
                likelihoods.append((text, name, field, mean(each), f"{above[0]:.3f}", mean(above[1:])))
    columns = ("decay", "simulation", "decays", "median − mass (MeV)", "half width of 68% (MeV)", "> 100 MeV below",
               "χ²/ndf")  # fmt: skip
    second = ("decay", "species", "observable", "χ²/ndf", "above cut, detailed", "above cut, flash")
    title = "Likelihoods (cut at 5) and energy over momentum (cut at 0.8) of daughters"
    return [Table("Masses of decays that Pythia made", columns, spectra), Table(title, second, likelihoods)], more


def chosen(batch: Batch, field: str, species: str) -> np.ndarray:
    """One number of the tracks of one species."""
    kind = batch.field("particle.species").values[batch.collections["track"].event]
    return batch.field(f"track.{field}").values[kind == SPECIES.index(species)].numpy()


def speeds(charged: Model, neutral: Model, n: int) -> Table:
    """Microseconds a particle of both simulations, three times in turn, on one core."""
    torch.set_num_threads(1)
    rows: list[tuple[Cell, ...]] = []
    for name, model, size in (("charged particle", charged, n), ("group of photons", neutral, n // 4)):
        slow, fast, ratio = [], [], []
        for seed in range(3):
            rng = np.random.default_rng(1000 + seed)
            if model is charged:
                particles = gun(size, rng)
                batch, seconds = timed(lambda p=particles, s=seed: reconstruct(p, seed=s))  # type: ignore[misc]
            else:
                lengths, photons = photon_gun(size, rng)
                batch, seconds = timed(lambda a=lengths, b=photons, s=seed: neutrals(a, b, seed=s))  # type: ignore[misc]
            many = Batch.cat([batch] * (16_000 // size + 1))
            _, less = timed(lambda m=model, b=many, s=seed: made(m, b, s))  # type: ignore[misc]
            slow.append(1e6 * seconds / len(batch))
            fast.append(1e6 * less / len(many))
            ratio.append(slow[-1] / fast[-1])
        whole = mean(ratio)
        rows.append((name, mean(slow), mean(fast), whole, "yes" if whole.value >= 100 else "**no**"))
    columns = ("what", "detailed (μs)", "flash (μs)", "times as fast", "≥ 100")
    return Table("Seconds of one core, in one run", columns, rows)


def main() -> None:
    """Measure and record."""
    parser = options_of(__doc__ or "", seeds=3)
    parser.add_argument("--charged", help="folder of lpm simulate flash; simulated if absent")
    parser.add_argument("--photons", help="folder of lpm simulate flash --process photons; simulated if absent")
    parser.add_argument("--steps", type=int, default=0, help="most steps of training; as in the recipes if 0")
    parser.add_argument("--decays", type=int, default=4000, help="particles of each decay")
    o: argparse.Namespace = parser.parse_args()
    sizes = (30_000, 6000, 3000)
    if o.quick:
        o.seeds, o.steps, o.decays, sizes = 2, 60, 1000, (6000, 6000, 400)
    claim = f"A flash simulation beside the detailed one: χ²/ndf of every observable against a bound of {BOUND:g}, "
    record = Record(o, claim + "its speed against a hundred times.")
    torch.set_num_threads(1)
    whole, groups = sample(record, o.charged, "charged", sizes[0]), sample(record, o.photons, "photons", sizes[1])
    models, found, neutral, of_groups = [], [], [], []
    for seed in range(o.seeds):
        cut = len(whole) * 4 // 5
        models.append(trained("tracks", whole[:cut], seed, o.steps))
        # Other particles of the same distribution: what a gun makes needs no detector.
        other = generated(gun(len(whole) - cut, np.random.default_rng(500 + seed)))
        found.append(comparisons(made(models[-1], other, seed), whole[cut:], seed))
        print(f"seed {seed}", {k: round(v.estimate.value, 2) for k, v in found[-1].items() if "[" not in k}, flush=True)
        cut = len(groups) * 4 // 5
        neutral.append(trained("clusters", groups[:cut], seed, o.steps))
        photons = generated_photons(*photon_gun(len(groups) - cut, np.random.default_rng(600 + seed)))
        of_groups.append(comparisons(made(neutral[-1], photons, seed), groups[cut:], seed))
        print(f"seed {seed}", {k: round(v.estimate.value, 2) for k, v in of_groups[-1].items()}, flush=True)
    names = list(dict.fromkeys(k.partition("[")[0] for k in found[0]))
    counts = next(iter(found[0].values())).counts, found[0]["dp"].counts, of_groups[0]["energy"].counts
    first = table(found, f"Tracks: χ²/ndf, mean of {o.seeds} seeds", names, SPECIES)
    second = table(of_groups, f"Clusters: χ²/ndf, mean of {o.seeds} seeds", list(of_groups[0]), ())
    physics, more = decays(models, o.decays)
    record.tables = [first, second, *physics, speeds(models[0], neutral[0], sizes[2])]
    inside = [f[k].estimate.value <= BOUND for f in (*found, *of_groups) for k in f]
    record.notes += [
        f"Sizes compared: {counts[1][1]:,} tracks and {counts[2][1]:,} clusters of the detailed simulation. "
        f"Within the bound: {sum(inside)} of {len(inside)} comparisons of observables, species and seeds.",
        "The detailed simulation is lpm's own (`lpm.sim.flash`): field and material step by step, Kalman filter, "
        "photon by photon, spot by spot, vectorised over particles. It is no Geant4.",
    ]
    record.more = {
        "tracks": [{k: v.estimate.to_json() for k, v in f.items()} for f in found],
        "clusters": [{k: v.estimate.to_json() for k, v in f.items()} for f in of_groups], "masses": more,
    }  # fmt: skip
    record.save()


if __name__ == "__main__":
    main()
