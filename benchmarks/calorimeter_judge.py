"""The judge of calorimeter showers: what equal and shifted samples get, how fast it is, and how fast showers are made.

    OMP_NUM_THREADS=1 python benchmarks/calorimeter_judge.py --seeds 3

Equal samples are two of the parametrised simulation with different seeds; the shifted ones are the first with all
energies 1% too large, or with every shower turned into the mean of itself and its mirror image, which leaves energies
and smears what is seen around the axis. The last is also shown to classifiers of few steps.

Speed is compared with the official way, written anew from its definitions, since its script is not a package: all
showers in one array, features by numpy layer by layer, histograms by numpy; FPD from a copy of the events for each
draw, `numpy.cov` and the general root of a matrix (`scipy.linalg.sqrtm`), KPD from the kernel of all pairs, as `jetnet`
does. The script takes its histograms from plots, and plots whether one wants them or not: `separation, plotted` does so
too, in one plain figure an observable that is not saved; all other rows are without. Asked for FPD or KPD it computes
both, which is the last row. Both sides read the same files, must agree to 1e-6, and take turns on one thread; CPU
seconds count. Errors, floors and counts outside, which the official way lacks, are part of lpm's time. What of it is
reading alone has a row too: no other can be less.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import matplotlib
import numpy as np
import torch
from matplotlib import pyplot
from record import Record, Table, median, options_of
from scipy.linalg import sqrtm
from scipy.optimize import curve_fit

from lpm.data.batch import Batch
from lpm.data.io.showers import write_showers
from lpm.data.showers import cells_of, grid_of
from lpm.metrics.calorimeter import features, observables, physics_distances, separations
from lpm.metrics.estimate import Array, Estimate
from lpm.metrics.shower_classifiers import Training, tell_apart
from lpm.metrics.shower_inputs import Level, both, inputs
from lpm.physics.geometry import GEOMETRIES, Geometry
from lpm.sim.calorimeter import incident_energies, simulate
from lpm.sim.calorimeter_card import read_calorimeter_card
from lpm.sim.calorimeter_production import produce_showers
from lpm.tasks.showers import read_showers

GEOMETRY = GEOMETRIES["1-photons"]
TOLERANCE = 1e-6
LEVELS: tuple[Level, ...] = ("high", "low")


def official_features(path: Path, geometry: Geometry) -> tuple[Array, dict[str, Array]]:
    """The vector of features and its parts, from all showers in one array."""
    with h5py.File(path) as file:
        shower, incident = file["showers"][:], file["incident_energies"][:]
    shower[shower < 1.0] = 0
    seen = {"Etot / Einc": shower.sum(1) / incident[:, 0], "Voxel distribution": shower[shower > 0]}
    parts: dict[str, list[Array]] = {name: [] for name in ("E", "EC", "W", "S", "R", "WR")}
    axes: dict[str, list[Array]] = {name: [] for name in ("eta", "phi", "weta", "wphi")}
    for layer, first in zip(geometry.layers, geometry.first, strict=True):
        e = shower[:, first : first + layer.voxels]
        centres = geometry.centres[first : first + layer.voxels].T
        total = e.sum(1)
        parts["E"].append(total)
        number = layer.number
        seen |= {f"E layer {number}": total, f"Sparsity layer {number}": 1 - (e > 0).mean(1)}
        parts["S"].append(1 - (e > 0).mean(1))
        found = []
        for x in centres:
            mean = (x * e).sum(1) / (total + 1e-16)
            square = (x * x * e).sum(1) / (total + 1e-16)
            found.append((mean, np.sqrt((square - mean**2).clip(0))))
        seen |= {f"EC r layer {number}": found[2][0], f"Width r layer {number}": found[2][1]}
        parts["R"].append(found[2][0])
        parts["WR"].append(found[2][1])
        if layer.sectors > 1:
            for i, name in enumerate(("eta", "phi")):
                seen |= {
                    f"{a} {name.title()} layer {number}": v for a, v in zip(("EC", "Width"), found[i], strict=True)
                }
                axes[name].append(found[i][0])
                axes[f"w{name}"].append(found[i][1])
    whole = shower.sum(1)
    columns = [np.log10(incident), np.log10(np.stack(parts["E"], 1) + 1e-8)]
    columns += [np.stack(axes[name], 1) / 100 for name in ("eta", "phi", "weta", "wphi")]
    columns += [np.log10(whole + 1e-8)[:, None], np.stack(parts["S"], 1)]
    columns += [np.stack(parts[name], 1) / 100 for name in ("R", "WR")]
    return np.concatenate(columns, 1).astype(np.float64), seen


def official_fpd(x: Array, y: Array, low: int, high: int) -> float:
    """FPD as jetnet finds it."""
    largest = np.abs(x).max(0)
    x, y = x / largest, y / largest
    rng = np.random.default_rng(42)
    sizes = (1 / np.linspace(1 / low, 1 / high, 10)).astype(np.int32)
    means = []
    for n in sizes:
        found = []
        for _ in range(20):
            a, b = x[rng.choice(len(x), n)], y[rng.choice(len(y), n)]
            s, t = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
            gap = a.mean(0) - b.mean(0)
            found.append(gap @ gap + np.trace(s) + np.trace(t) - 2 * np.trace(sqrtm(s @ t)).real)
        means.append(np.mean(found))
    line = lambda inverse, a, b: a + b * inverse  # noqa: E731
    fit, _ = curve_fit(line, 1 / sizes, means, bounds=([0, 0], [np.inf, np.inf]))
    return float(fit[0])


def official_kpd(x: Array, y: Array, size: int) -> float:
    """KPD as jetnet finds it."""
    largest = np.abs(x).max(0)
    x, y = x / largest, y / largest
    values = []
    for i in range(10):
        rng = np.random.default_rng(42 + 1000 * i)
        a, b = x[rng.choice(len(x), size)], y[rng.choice(len(y), size)]
        k = [(p @ q.T / x.shape[1] + 1) ** 4 for p, q in ((a, a), (b, b), (a, b))]
        inside = (k[0].sum() - np.trace(k[0]) + k[1].sum() - np.trace(k[1])) / (size * (size - 1))
        values.append(inside - 2 * k[2].mean())
    return float(np.median(values))


def official_separations(
    x: dict[str, Array], y: dict[str, Array], edges: dict[str, Array], plotted: bool = False
) -> float:
    """Sum of all separations, from histograms of numpy or from those that were plotted."""

    def apart(name: str, edges: Array) -> float:
        if plotted:
            h, g = plot(name, x[name], y[name], edges)
        else:
            h, g = (np.histogram(v, edges)[0].astype(np.float64) for v in (x[name], y[name]))
        h, g = h / h.sum(), g / g.sum()
        return float(0.5 * ((h - g) ** 2 / (h + g + 1e-16)).sum())

    return sum(apart(name, e) for name, e in edges.items())


def plot(name: str, generated: Array, reference: Array, edges: Array) -> tuple[Array, Array]:
    """Shares of both in the bins of a figure that is laid out and thrown away."""
    figure, axes = pyplot.subplots(figsize=(6, 6))
    sides = (("reference", reference, "stepfilled"), ("generated", generated, "step"))
    h, g = (axes.hist(v, edges, label=n, density=True, histtype=kind)[0] for n, v, kind in sides)
    axes.set(title=name, yscale="log")
    axes.legend()
    figure.tight_layout()
    pyplot.close(figure)
    return g * np.diff(edges), h * np.diff(edges)


def sides(files: tuple[Path, Path], low: int, high: int) -> dict[str, tuple[Callable[[], float], Callable[[], float]]]:
    """Each metric, the official way and ours, from the files."""

    def read() -> list[Batch]:
        return [read_showers(f, cells=False)[0] for f in files]

    def theirs() -> list[tuple[Array, dict[str, Array]]]:
        return [official_features(f, GEOMETRY) for f in files]

    def ours(name: str) -> float:
        draws = {"min_samples": low, "max_samples": high}
        return physics_distances(*read(), GEOMETRY, (name,), **draws)[name].value

    def together(both: list[tuple[Array, dict[str, Array]]]) -> float:
        generated, reference = (t[0] for t in both)
        return official_fpd(reference, generated, low, high) + official_kpd(reference, generated, low)

    def distances() -> float:
        found = physics_distances(*read(), GEOMETRY, min_samples=low, max_samples=high)
        return found["fpd"].value + found["kpd"].value

    def ratio() -> float:
        return sum(s.estimate.value for s in separations(*read(), GEOMETRY).values())

    def unpacked() -> float:
        total = 0.0
        for path in files:
            with h5py.File(path) as file:
                total += float(file["showers"][:][0].sum()) + len(file["incident_energies"][:])
        return total

    edges = {o.name: o.edges for o in observables(*read(), GEOMETRY)}
    return {
        "reading alone": (unpacked, unpacked),
        "features": (
            lambda: float(sum(t[0].sum() for t in theirs())),
            lambda: float(sum(features(b, GEOMETRY).sum() for b in read())),
        ),
        "separation": (lambda: official_separations(*(t[1] for t in theirs()), edges), ratio),
        "separation, plotted": (lambda: official_separations(*(t[1] for t in theirs()), edges, plotted=True), ratio),
        "FPD": (lambda: official_fpd(*(t[0] for t in reversed(theirs())), low, high), lambda: ours("fpd")),
        "KPD": (lambda: official_kpd(*(t[0] for t in reversed(theirs())), low), lambda: ours("kpd")),
        "FPD and KPD": (lambda: together(theirs()), distances),
    }


def speeds(files: tuple[Path, Path], low: int, high: int, repeats: int) -> list[tuple[Estimate | str, ...]]:
    """CPU seconds of both sides, and their ratio."""
    rows: list[tuple[Estimate | str, ...]] = []
    for name, pair in sides(files, low, high).items():
        spent: tuple[list[float], list[float]] = ([], [])
        for _ in range(repeats):
            answers = []
            for call, times in zip(pair, spent, strict=True):
                start = time.process_time()
                answers.append(call())
                times.append(time.process_time() - start)
        if abs(answers[0] - answers[1]) > TOLERANCE * max(abs(answers[0]), 1e-3):
            sys.exit(f"{name}: {answers[0]} and {answers[1]} differ by more than {TOLERANCE:g}: nothing is compared")
        ratio = median([a / b for a, b in zip(*spent, strict=True)])
        rows.append((name, median(spent[0]), median(spent[1]), ratio))
        print(*rows[-1], flush=True)
    return rows


def changed(batch: Batch, how: str) -> Batch:
    """A sample as a generator with one fault would make it."""
    grid = grid_of(batch, GEOMETRY)
    if how == "1% too much energy":
        grid = grid * 1.01
    else:
        for layer, first in zip(GEOMETRY.layers, GEOMETRY.first, strict=True):
            part = slice(first, first + layer.voxels)
            cells = grid[:, part].reshape(-1, layer.sectors, layer.rings)
            grid[:, part] = ((cells + cells.flip(1)) / 2).reshape(len(grid), -1)
    return cells_of(grid, GEOMETRY, {"energy": batch.field("shower.energy").values})


def judged(name: str, generated: Path, reference: Path, o: argparse.Namespace) -> tuple[Estimate | str, ...]:
    """One row of what a sample gets."""
    (a, _), (b, _) = read_showers(generated), read_showers(reference)
    low, high = draws(len(b))
    found = physics_distances(a, b, GEOMETRY, min_samples=low, max_samples=high)
    ratio = separations(a, b, GEOMETRY)["Etot / Einc"]
    published = Training(hidden=o.hidden, epochs=1, steps=o.steps, seeds=o.seeds)
    aucs = told(a, b, published) + told(a, b, replace(published, steps=-(-published.steps // 4), scaled=True))
    thousand = [Estimate(*(1e3 * v for v in (e.value, e.low, e.high))) for e in (found["fpd"], found["kpd"])]
    row = (name, ratio.estimate, f"{ratio.floor:.2g}", *thousand, *aucs)
    print(*row, flush=True)
    return row


def told(a: Batch, b: Batch, training: Training) -> list[Estimate]:
    """AUC of a classifier of each level."""
    rows = (both(inputs(a, GEOMETRY, level), inputs(b, GEOMETRY, level)) for level in LEVELS)
    return [tell_apart(r, len(a), training).auc for r in rows]


def power(generated: Path, reference: Path, o: argparse.Namespace) -> Table:
    """What classifiers of few steps see of a fault that leaves all energies."""
    (a, _), (b, _) = read_showers(generated), read_showers(reference)
    rows: list[tuple[Estimate | str, ...]] = []
    for steps in (o.steps // 32, o.steps // 8, o.steps // 2):
        training = Training(hidden=o.hidden, epochs=1, steps=steps)
        rows.append((f"{steps:,}", *told(a, b, training), *told(a, b, replace(training, scaled=True))))
        print(*rows[-1], flush=True)
    head = ("steps", "AUC high", "AUC low", "AUC high, scaled", "AUC low, scaled")
    return Table("Half of the sway, by classifiers of few steps, one seed", head, rows)


def draws(count: int) -> tuple[int, int]:
    """The challenge's draws, or as many as there are showers."""
    return (10_000, 50_000) if count >= 50_000 else (count // 5, count)


def simulation(count: int) -> list[tuple[Estimate | str, ...]]:
    """Showers a second and response of each data set."""
    rows: list[tuple[Estimate | str, ...]] = []
    for name in GEOMETRIES:
        card, n = read_calorimeter_card(name), max(20, count // GEOMETRIES[name].voxels)
        rng = np.random.default_rng(0)
        energies = incident_energies(n, name, rng)
        start = time.process_time()
        simulate(energies, card, rng)
        rate = n / (time.process_time() - start)
        row: list[Estimate | str] = [name, f"{rate:.0f}"]
        for energy in (1.024, 1048.576) if name[0] == "1" else (1.0, 1000.0):
            r = simulate(np.full(min(n, 500), energy), card, rng).sum(1, dtype=np.float64) / energy
            row += [f"{r.mean():.2f}", f"{r.std() / r.mean():.1%}"]
        rows.append(tuple(row))
    return rows


def main() -> None:
    """Simulate, judge, time, record."""
    parser = options_of(__doc__ or "", seeds=3)
    parser.add_argument("--showers", type=int, default=60_500, help="showers of each sample")
    parser.add_argument("--hidden", type=int, default=128, help="width of classifiers")
    parser.add_argument("--steps", type=int, default=8000, help="of classifiers; a quarter with inputs scaled")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each side")
    o = parser.parse_args()
    if o.quick:
        o.showers, o.hidden, o.steps, o.repeats, o.seeds = 500, 8, 64, 1, 1
    torch.set_num_threads(1)
    matplotlib.use("agg")
    record = Record(o, "The judge of showers takes equal samples for equal, and what it costs beside the official way.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        a, b = folder / "a.hdf5", folder / "b.hdf5"
        for seed, path in ((11, a), (12, b)):
            produce_showers(o.showers, path, card="1-photons", seed=seed)
        low, high = draws(o.showers)
        timed = speeds((a, b), low, high, o.repeats)
        rows = [judged("equal", a, b, o)]
        plain, _ = read_showers(a)
        for how in ("1% too much energy", "half of the sway"):
            path = folder / "changed.hdf5"
            write_showers(path, [changed(plain.select(["cell", "shower.energy"]), how)], GEOMETRY)
            rows.append(judged(how, path, b, o))
        few = power(path, b, o)
    head = ("generated", "separation, Etot / Einc", "floor", "FPD × 1e3", "KPD × 1e3", "AUC high", "AUC low",
            "AUC high, scaled", "AUC low, scaled")  # fmt: skip
    record.tables = [
        Table("What samples get", head, rows),
        few,
        Table("CPU seconds on one thread, files read", ("metric", "official way (s)", "lpm (s)", "ratio"), timed),
        Table("Simulation on one thread", ("data set", "showers/s", "response at 1 GeV", "resolution", "at 1 TeV",
                                           "resolution"), simulation(20_000 if o.quick else 2_000_000)),
    ]  # fmt: skip
    short = [f"{row[0]} ({row[3]})" for row in timed[1:] if isinstance(row[3], Estimate) and row[3].value < 5]
    record.notes = [
        f"{o.showers:,} parametrised photon showers of data set 1-photons each; classifiers of width {o.hidden}, "
        f"{o.steps:,} steps of 1,000 showers as in the challenge and {-(-o.steps // 4):,} with inputs scaled, "
        f"{o.seeds} seeds. FPD draws {low:,} to {high:,}, KPD {low:,}.",
        "All are of both files; without plots, but for the row that says so.",
        "Target: 5 times as fast; " + (f"missed by {', '.join(short)}." if short else "met by all."),
    ]
    record.save()


if __name__ == "__main__":
    main()
