"""Generators of calorimeter showers, trained on the same showers and judged by the same judge: one table.

    lpm simulate calorimeter train.hdf5 -n 60000 --dataset 1-photons --seed 1
    lpm simulate calorimeter test.hdf5 -n 30000 --dataset 1-photons --seed 2
    python benchmarks/shower_generators.py --train train.hdf5 --test test.hdf5 --runs runs
    python benchmarks/shower_generators.py --train train.hdf5 --test test.hdf5 --runs runs --only coupling --steps 400

Each generator is trained by its recipe, `calorimeter.NAME`, and makes a shower for every incident particle of the test
file. The judge is that of `lpm evaluate calorimeter`: classifiers of the features (high) and of the cells (low), with
as many steps as in the challenge, and once more with inputs scaled, which tells more; the mean separation of all
observables, FPD and KPD. `simulation` are training showers in the place of generated ones: what a perfect generator
gets. Times are CPU milliseconds a shower on one thread, energies of the layers included.

Each result is appended to `shower_generators.jsonl` in the folder of the record, by generator, size, steps and seed,
and a run adds what is missing: a long one can be made in parts, as long as data and judge stay the same. `--runs` keeps
the trained models, from which an interrupted training goes on; `distilled` starts from the `flow` of the same size and
seed. Beside the table stand the challenge's own numbers; those generators learned from showers of Geant4, ours from the
parametrised simulation, so that only orders of magnitude can be compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from record import RESULTS, Cell, Record, Table, command, options_of, short

from lpm.data.batch import Batch
from lpm.data.io.showers import CaloChallengeReader, write_showers
from lpm.metrics.estimate import Estimate
from lpm.metrics.shower_classifiers import Training
from lpm.metrics.timing import milliseconds
from lpm.model.backbone import BackboneConfig
from lpm.model.checkpoint import load
from lpm.model.model import Model
from lpm.recipes import RECIPES, RunConfig
from lpm.recipes.execute import execute
from lpm.recipes.showers import patches_in, sample_showers
from lpm.records.hashing import hash_file
from lpm.sim.calorimeter_production import produce_showers
from lpm.tasks.showers import JUDGES, Judging, read_showers
from lpm.train.checkpoint import has_state

ROWS = {
    "simulation": "simulation",
    "flow": "flow of patches",
    "distilled": "the same, 4 steps",
    "layers": "flows from layer to layer",
    "coupling": "coupling flow on voxels",
    "codes": "codes of patches, one by one",
    "adversarial": "adversarial",
    "autoencoder": "variational autoencoder",
}
"""Generators and what they are called in the table, in its order."""

REPEATS = {1: 10, 100: 5, 10_000: 2}
"""Timed calls of each batch."""

MEASURES = ("high", "low", "high scaled", "low scaled", "separation", "fpd", "kpd")


def recipe(o: argparse.Namespace, name: str, seed: int, folder: Path) -> RunConfig:
    """The run of a generator."""
    start = {"start": str(folder / f"flow-{o.size}-{seed}")} if name == "distilled" else {}
    run = RECIPES[f"calorimeter.{name}"](size=o.size, data=(str(o.train),), dataset=o.dataset, **start)
    run = replace(run, seed=seed, train=replace(run.train, save_every=50))
    if o.steps:
        train = replace(run.train, steps=o.steps, warmup=min(run.train.warmup, o.steps // 5), valid_every=0)
        run = replace(run, train=train)
    if o.quick:
        tiny = BackboneConfig(width=32, depth=1, heads=2)
        run = replace(run, model=replace(run.model, backbone=tiny), data=replace(run.data, most=16))
    return run


def trained(run: RunConfig, folder: Path) -> tuple[Model, float]:
    """The model of a run, trained if it is not there or as far as it is not, and CPU seconds of all its training."""
    clock = folder / "seconds.json"
    spent = float(json.loads(clock.read_text(encoding="utf-8"))) if clock.is_file() else 0.0
    if (folder / "weights.safetensors").is_file():
        return load(folder), spent
    print(f"# {folder.name}", flush=True)

    def tell(event: str, **content: Any) -> None:
        if event == "step" and content["step"] % 100 == 0:
            losses = {n: round(v, 4) for n, v in content["loss"].items()}
            print(content["step"], losses, f"{content['eta_s']:.0f} s to go", flush=True)

    start = time.process_time()
    try:
        model = execute(run, folder, tell=tell, resume=has_state(folder / "training"))
    finally:
        spent += time.process_time() - start
        folder.mkdir(parents=True, exist_ok=True)
        clock.write_text(json.dumps(spent), encoding="utf-8")
    return model, spent


def made(model: Model, given: Batch, path: Path, seed: int) -> None:
    """Write one shower of each incident particle."""
    patches = patches_in(model)
    write_showers(path, (patches.join(b) for b in sample_showers(model, given, batch=500, seed=seed)), patches.geometry)


def judged(o: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Every metric of a file of showers as (value, error); with a floor for separations."""
    (generated, geometry), (reference, _) = read_showers(path, o.dataset), read_showers(o.test, o.dataset)
    n = min(len(generated), len(reference))
    generated, reference = generated[:n], reference[:n]
    low, high = (10_000, 50_000) if n >= 50_000 else (n // 5, n)
    judging = Judging(
        generated=generated, reference=reference, geometry=geometry, min_samples=low, max_samples=high,
        training=Training(hidden=o.hidden, epochs=1, steps=o.judged, seeds=o.classifiers),
    )  # fmt: skip
    stricter = replace(judging, training=replace(judging.training, steps=-(-o.judged // 4), scaled=True))
    found: dict[str, Any] = {}
    for name in ("separation", "fpd", "kpd"):
        found |= JUDGES[name].measure(judging)
    out: dict[str, Any] = {"separations": found["separation"]}
    names = [n for n in found["separation"] if " at E = " not in n]  # those of single energies would count twice
    s, e, f = ([found[k][n] for n in names] for k in ("separation", "separation_error", "separation_floor"))
    out["separation"] = (statistics.fmean(s), sum(x * x for x in e) ** 0.5 / len(e))
    out["floor"] = statistics.fmean(f)
    for name in ("fpd", "kpd"):
        out[name] = (found[name]["value"], found[name]["error"])
    for name in ("high", "low"):
        for kind, judge in ((name, judging), (f"{name} scaled", stricter)):
            told = JUDGES[f"classifier-{name}"].measure(judge)[f"classifier-{name}"]
            out[kind] = (told["auc"]["value"], told["auc"]["error"])
            out[f"{kind} kept after"] = told["kept_after"]
    return out


def timed(o: argparse.Namespace, model: Model, given: Batch) -> dict[str, tuple[float, float]]:
    """CPU milliseconds a shower, by size of the batch."""
    out = {}
    for size, repeats in REPEATS.items():
        if size > o.longest:
            continue
        some = Batch.cat([given] * -(-size // len(given)))[:size]

        def call(n: int, some: Batch = some) -> None:
            for _ in sample_showers(model, some[:n], batch=n):
                pass

        found = milliseconds(call, batches=(size,), repeats=repeats, clock=time.process_time)[size]
        out[str(size)] = (found.value, found.error)
    return out


def result(o: argparse.Namespace, name: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train, sample, judge and time one generator."""
    path = folder / "generated.hdf5"
    with CaloChallengeReader(o.test) as reader:
        given = reader.read(0, min(o.showers or len(reader), len(reader))).select(["shower.energy"])
    if name == "simulation":
        with CaloChallengeReader(o.train) as reader:
            write_showers(path, [reader.read(0, min(len(given), len(reader)))], reader.geometry)
        return {"name": name, "seed": seed, "settings": settings(o), **judged(o, path)}
    run = recipe(o, name, seed, folder)
    model, spent = trained(run, folder / f"{name}-{o.size}-{seed}")
    made(model, given, path, seed)
    head = model.head("cells")
    return {
        "name": name, "seed": seed, "size": o.size, "steps": run.train.steps, "events": run.data.most,
        "settings": settings(o), "seconds": spent, "parameters": sum(p.numel() for p in model.parameters()),
        "head": sum(p.numel() for p in head.parameters()), **judged(o, path), "ms": timed(o, model, given),
    }  # fmt: skip


def settings(o: argparse.Namespace) -> dict[str, Any]:
    """What results of one table share."""
    judge = {"hidden": o.hidden, "judged": o.judged, "classifiers": o.classifiers, "showers": o.showers}
    return {"dataset": o.dataset, "train": o.hashes[0], "test": o.hashes[1], **judge}


def kept(path: Path, o: argparse.Namespace) -> list[dict[str, Any]]:
    """Results of these data and this judge, the newest of each kind."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            r = json.loads(line)
            if r["settings"] == settings(o):
                found[r["name"], r.get("size"), r.get("steps"), r["seed"]] = r
    return list(found.values())


def over(results: list[dict[str, Any]], name: str, scale: float = 1.0) -> Estimate:
    """Mean over seeds; its error is that of the judge, or of the spread over seeds if that is larger."""
    values, errors = zip(*(r[name] for r in results), strict=True)
    n = len(values)
    error = sum(e * e for e in errors) ** 0.5 / n
    if n > 1:
        error = max(error, statistics.stdev(values) / n**0.5)
    return Estimate.symmetric(scale * statistics.fmean(values), scale * error)


def table(results: list[dict[str, Any]]) -> Table:
    """One row a generator, size and number of steps."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for r in results:
        groups.setdefault((r["name"], r.get("size"), r.get("steps")), []).append(r)
    names = list(ROWS)
    rows: list[tuple[Cell, ...]] = []
    for key in sorted(groups, key=lambda k: (names.index(k[0]), k[1] or 0, k[2] or 0)):
        some = groups[key]
        first = some[0]
        scales = {"separation": 1e3, "fpd": 1e3, "kpd": 1e3}
        numbers = [over(some, m, scales.get(m, 1.0)) for m in MEASURES]
        sizes = ("", "", "") if "parameters" not in first else (
            f"{first['parameters'] / 1e6:.2f}M", f"{first['steps']:,} × {first['events']}",
            f"{statistics.fmean(r['seconds'] for r in some) / 60:.0f}",
        )  # fmt: skip
        rows.append((ROWS[first["name"]], *sizes, str(len(some)), *numbers))
    head = ("generator", "parameters", "steps × showers", "CPU min", "seeds", "AUC high", "AUC low",
            "AUC high, scaled", "AUC low, scaled", "separation × 1e3", "FPD × 1e3", "KPD × 1e3")  # fmt: skip
    return Table("Generated against simulated showers", head, rows)


def times(results: list[dict[str, Any]]) -> Table:
    """Milliseconds a shower."""
    rows: list[tuple[Cell, ...]] = []
    for name, text in ROWS.items():
        for size in sorted({r["size"] for r in results if r["name"] == name and "ms" in r}):
            some = [r["ms"] for r in results if r["name"] == name and r["size"] == size]
            cells = [over(some, str(b)) if all(str(b) in m for m in some) else "—" for b in REPEATS]
            rows.append((text, str(size), *cells))
    return Table("CPU milliseconds a shower on one thread", ("generator", "size", *(f"batch {b:,}" for b in REPEATS)),
                 rows)  # fmt: skip


def published(dataset: str) -> Table:
    """The challenge's table of the same data set, of Geant4 showers (arXiv 2410.21611)."""
    rows: list[tuple[Cell, ...]] = []
    for r in json.loads(Path(__file__).with_name("calochallenge.json").read_text(encoding="utf-8"))[dataset]:
        size = f"{r['parameters'] / 1e6:.2f}M" if "parameters" in r else ""
        keys = ("high", "low", "fpd", "kpd", "cpu1", "cpu100", "cpu10000")
        cells = [Estimate.symmetric(r[k], r.get(f"{k}_error", float("nan"))) if k in r else "—" for k in keys]
        rows.append((r["name"], size, *cells))
    head = ("submission", "parameters", "AUC high", "AUC low", "FPD × 1e3", "KPD × 1e3", "CPU ms, batch 1", "100",
            "10,000")  # fmt: skip
    return Table("The CaloChallenge's numbers, on showers of Geant4 and a CPU of its own", head, rows)


def main() -> None:
    """Train, judge, record."""
    parser = options_of(__doc__ or "", seeds=1)
    parser.add_argument("--dataset", default="1-photons", help="1-photons, 1-pions, 2 or 3")
    parser.add_argument("--train", type=Path, help="training showers")
    parser.add_argument("--test", type=Path, help="test showers, not among those")
    parser.add_argument("--only", default=",".join(ROWS), help="some of the generators, by commas")
    parser.add_argument("--steps", type=int, default=0, help="training steps; those of each recipe if absent")
    parser.add_argument("--size", type=int, default=4, help="the dial of the recipes")
    parser.add_argument("--runs", type=Path, help="folder of the trained models; forgotten if absent")
    parser.add_argument("--showers", type=int, default=0, help="showers judged; all of the test file if absent")
    parser.add_argument("--hidden", type=int, default=256, help="width of classifiers")
    parser.add_argument("--judged", type=int, default=8000, help="steps of classifiers; a quarter of inputs scaled")
    parser.add_argument("--classifiers", type=int, default=1, help="classifiers trained of each kind")
    parser.add_argument("--longest", type=int, default=10_000, help="largest batch that is timed")
    parser.add_argument("--anew", action="store_true", help="make results once more that are there already")
    o = parser.parse_args()
    names = o.only.split(",")
    if unknown := [n for n in names if n not in ROWS]:
        parser.error(f"--only: no generator {unknown[0]!r}; there are {', '.join(ROWS)}")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = o.runs or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if o.quick:
            o.steps, o.size, o.hidden, o.judged, o.longest = o.steps or 2, 1, 8, 4, 1
            o.train, o.test = (folder / f"{n}.hdf5" for n in ("train", "test"))
            for seed, path in enumerate((o.train, o.test)):
                if not path.is_file():
                    produce_showers(400, path, card=o.dataset, seed=seed)
        if not (o.train and o.test):
            sys.exit("name files of showers with --train and --test; lpm simulate calorimeter makes them")
        o.hashes = [hash_file(p) for p in (o.train, o.test)]
        record = Record(o, "Generators of showers against each other, by the judge that is used for any.")
        lines = (o.out or RESULTS) / "shower_generators.jsonl"
        for name in [n for n in ROWS if n in names]:
            for seed in range(o.seeds if name != "simulation" else 1):
                if o.anew or not there(kept(lines, o), o, name, seed, folder):
                    begun = time.perf_counter()
                    found = result(o, name, seed, folder)
                    found |= {"command": command(), "commit": record.environment["commit"]}
                    found["took"] = round(time.perf_counter() - begun, 1)
                    lines.parent.mkdir(parents=True, exist_ok=True)
                    with lines.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(found) + "\n")
                    print(name, seed, {m: found[m] for m in MEASURES}, found.get("ms"), flush=True)
        fill(record, o, kept(lines, o))
    record.save()


def there(results: list[dict[str, Any]], o: argparse.Namespace, name: str, seed: int, folder: Path) -> bool:
    """Whether a result is kept already."""
    if name == "simulation":
        return any(r["name"] == name for r in results)
    key = (name, o.size, recipe(o, name, seed, folder).train.steps, seed)
    return any((r["name"], r["size"], r["steps"], r["seed"]) == key for r in results if r["name"] != "simulation")


def fill(record: Record, o: argparse.Namespace, results: list[dict[str, Any]]) -> None:
    """Tables and notes."""
    record.tables = [table(results), times([r for r in results if "ms" in r]), published(o.dataset)]
    for path, sha in zip((o.train, o.test), o.hashes, strict=True):
        with CaloChallengeReader(path) as reader:
            record.data.append({"name": short(path), "sha256": sha, "jets": len(reader), "events": "showers"})
    floor = next((r["floor"] for r in results), float("nan"))
    judged_too = any(r["name"] == "simulation" for r in results)
    late = [r["name"] for r in results for kind in ("high", "low") if min(r[f"{kind} kept after"]) > 0.75]
    record.notes = [
        f"Data set {o.dataset}, parametrised simulation. Classifiers of width {o.hidden}, {o.judged:,} steps of 1,000 "
        f"showers as in the challenge and {-(-o.judged // 4):,} with inputs scaled, {o.classifiers} of each kind; the "
        f"best epoch of each is kept. The mean separation of equal samples is {1e3 * floor:.2g} × 1e-3; "
        + (
            "what a perfect generator gets in each column stands in the row of the simulation."
            if judged_too
            else "equal samples have not been shown to these classifiers yet."
        ),
        "CPU min are minutes of one core that the training took: compare rows that took as many.",
        "The challenge's numbers are those of Geant4 showers and of larger classifiers (arXiv 2410.21611): they say "
        "what such generators reach when trained to the end, not who is better.",
    ]
    if late:
        names = ", ".join(ROWS[n] for n in dict.fromkeys(late))
        record.notes.append(f"All classifiers of one kind were best in the last quarter of their steps for: {names}. "
                            "Longer training of these would tell more.")  # fmt: skip
    parts = {r["command"]: (r["commit"] or "unknown")[:12] for r in results}
    if set(parts) != {command()}:
        made_by = "; ".join(f"`{text}` (commit {commit})" for text, commit in parts.items())
        record.notes.append(f"Made in parts, {sum(r['took'] for r in results):,.0f} s in all: {made_by}.")
    record.more["results"] = results


if __name__ == "__main__":
    main()
