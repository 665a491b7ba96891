"""How close `flash.objects` comes to the simulations it learns from, and how much faster it is.

    lpm simulate events pairs/ -n 120000 --preset matched
    python benchmarks/flash_objects.py --data pairs/
    python benchmarks/flash_objects.py --data pairs/ --nanoaod nano.root

Half of the pairs are learned from; what was generated in the third quarter is given to the flash simulation, and what
it makes is compared with the last quarter: other objects of the same distribution, so that χ² over its degrees of
freedom is about 1 for a perfect one. Every seed divides the pairs anew and trains a model of its own. Beside each
number stands what the detailed simulation gets against itself, the third quarter against the last.

Of a file of NanoAOD (`--nanoaod`), even collisions are learned from and odd ones compared with. A sample of a few
hundred collisions is a test that it can be done at all.

Seconds are those of the process, on one core, both simulations in turn in this run: of the detailed one the detector
and the search for objects, without the generator, of the flash one all that follows the generated objects. The detailed
one is a parametrised detector, no full simulation.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from record import Cell, Record, Table, hash_files, mean, options_of, short

from lpm.data.batch import Batch
from lpm.data.io import open_file
from lpm.data.io.files import find_files
from lpm.data.matched import FATES, KINDS, MATCHED
from lpm.metrics.chi_square import ChiSquare, compared
from lpm.model.model import Model
from lpm.recipes.execute import execute
from lpm.recipes.flash import objects
from lpm.recipes.reconstruct import apply
from lpm.records.hashing import hash_file
from lpm.sim.card_files import process, read_detector
from lpm.sim.chunk import Request, simulate_chunk
from lpm.sim.detector import reconstruct
from lpm.sim.matched import find_matched
from lpm.sim.objects import jets_of, leptons_and_photons
from lpm.sim.pythia import generate
from lpm.tasks.flash import BOUND, comparisons

Found = dict[str, ChiSquare]


def pairs(record: Record, path: str | None, n: int) -> Batch:
    """Pairs of files, noted among the data, or simulated ones."""
    if path is None:
        request = Request(n=n, preset="matched", seed=2026)
        record.notes.append(f"`lpm.sim.chunk.Request(n={n}, preset='matched', seed=2026)`.")
        return Batch.cat([simulate_chunk(request, i) for i in range(request.chunks)])
    files = find_files(path)
    batch = Batch.cat([b for f in files for b in open_file(f).batches()])
    record.data.append(
        {"name": short(path), "sha256": hash_files(files), "events": "generated objects", "jets": len(batch)}
    )
    return batch


def trained(train: Batch, seed: int, steps: int) -> Model:
    """A model of one seed."""
    run = objects()
    steps = steps or run.train.steps
    run = replace(run, seed=seed, train=replace(run.train, steps=steps, warmup=min(100, steps // 5), valid_every=0))
    with tempfile.TemporaryDirectory() as folder:
        return execute(run, Path(folder), device="cpu", batch=train)


def made(model: Model, given: Batch, seed: int) -> Batch:
    """What the flash simulation makes of generated objects."""
    return Batch.cat(list(apply(model, [given[i : i + 8192] for i in range(0, len(given), 8192)], seed=seed)))


def quarters(batch: Batch, seed: int) -> tuple[Batch, Batch, Batch]:
    """Pairs to learn from, whose truth is given, and to compare with."""
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(3000 + seed))
    a, b = len(batch) // 2, len(batch) * 3 // 4
    return batch[order[:a]], batch[order[a:b]], batch[order[b:]]


def table(flash: list[Found], floor: list[Found]) -> Table:
    """χ² over degrees of freedom, mean over seeds, in brackets that of the detailed simulation against itself."""
    rows: list[tuple[Cell, ...]] = []
    for name in ("outcome", *MATCHED["object"].names):
        paths = [f"{name}[{kind}]" for kind in KINDS]
        cells = []
        for p in paths:
            ours, own = ([f[p].estimate.value for f in side if p in f] for side in (flash, floor))
            cells.append(f"{over(ours)} ({np.mean(own):.2f})" if own else over(ours) if ours else "—")
        values = [f[p].estimate.value for f in flash for p in paths if p in f]
        worst = max(values, default=float("nan"))
        rows.append((name, *cells, f"{worst:.2f}", "yes" if worst <= BOUND else "**no**"))
    head = ("observable", *KINDS, "largest of any seed", f"≤ {BOUND:g}")
    return Table(f"χ²/ndf, mean of {len(flash)} seeds (in brackets: detailed against itself)", head, rows)


def over(values: list[float]) -> str:
    """Mean with its standard error; of one value itself."""
    return str(mean(values)) if len(values) > 1 else f"{values[0]:.2f}"


def of_cms(record: Record, path: str, steps: int, seeds: int) -> Table:
    """Objects of NanoAOD: odd collisions against what a model of even ones makes of them."""
    with open_file(path, "cms-matched") as reader:
        batch = Batch.cat(list(reader.batches()))
    record.data.append(
        {"name": short(path), "sha256": hash_file(Path(path)), "events": "generated objects", "jets": len(batch)}
    )
    odd = batch.field("generated.event").values % 2 == 1
    train, test = batch[~odd], batch[odd]
    flash = [made(trained(train, seed, steps), test, seed) for seed in range(seeds)]
    rows: list[tuple[Cell, ...]] = []
    for name, kinds in (("found", KINDS), ("tagged", ("b_jet",)), *((n, KINDS) for n in ("response", "deta", "mass"))):
        sides = [numbers(b, name, kinds) for b in (test, *flash)]
        average = (f"{sides[0].mean():.3f}", over([float(s.mean()) for s in sides[1:]]))
        width = (f"{sides[0].std():.3f}", over([float(s.std()) for s in sides[1:]]))
        few = max(2, min(20, len(sides[0]) // 20))
        chi2 = over([compared(s, sides[0], bins=few).estimate.value for s in sides[1:]]) if name not in FATES else "—"
        rows.append((name, "all" if kinds is KINDS else ", ".join(kinds), str(len(sides[0])), *average, *width, chi2))
    head = ("observable", "of", "objects", "mean, CMS", "mean, flash", "spread, CMS", "spread, flash", "χ²/ndf")
    return Table(f"NanoAOD, {len(train):,} generated objects to learn from", head, rows)


def numbers(batch: Batch, name: str, kinds: tuple[str, ...]) -> np.ndarray:
    """One number of the objects of some kinds, or whether each has come so far."""
    collection = "generated" if name in FATES else "object"
    kind = batch.field("generated.kind").values[batch.collections[collection].event]
    wanted = torch.isin(kind, torch.tensor([float(KINDS.index(k)) for k in kinds]))
    if name in FATES:
        return (batch.field("generated.outcome").values[wanted] >= FATES.index(name)).double().numpy()
    return batch.field(f"object.{name}").values[wanted].double().numpy()


def speed(model: Model, given: Batch, n: int) -> Table:
    """Microseconds a generated object of both simulations, three times in turn, on one core."""
    detector = read_detector("atlas-delphes")
    assert detector is not None
    assert detector.objects is not None
    card, slow, fast, ratio = detector.objects, [], [], []
    for seed in range(3):
        rng = np.random.default_rng(1000 + seed)
        events = next(iter(generate(["Beams:eCM = 13000.", *process("Tbl")], 1 + seed, n)))
        start = time.process_time()
        seen = reconstruct(events.particles, detector, rng)
        _, free = leptons_and_photons(seen, card, rng)
        jets_of(seen.take(free), events.size, card)
        seconds = time.process_time() - start
        slow.append(1e6 * seconds / len(find_matched(seen, events, card, rng)))
        many = Batch.cat([given] * (1 + 20_000 // len(given)))
        start = time.process_time()
        made(model, many, seed)
        fast.append(1e6 * (time.process_time() - start) / len(many))
        ratio.append(slow[-1] / fast[-1])
    columns = ("parametrised detector and reconstruction (μs)", "flash (μs)", "times as fast")
    rows: list[tuple[Cell, ...]] = [(mean(slow), mean(fast), mean(ratio))]
    return Table("Time of one core for a generated object of top pairs, in one run", columns, rows)


def main() -> None:
    """Measure and record."""
    parser = options_of(__doc__ or "", seeds=3)
    parser.add_argument("--data", help="folder of lpm simulate events --preset matched; simulated if absent")
    parser.add_argument("--nanoaod", help="NanoAOD of simulated collisions")
    parser.add_argument("--steps", type=int, default=0, help="steps of each training; as in the recipe if 0")
    o: argparse.Namespace = parser.parse_args()
    size, events = 40_000, 400
    if o.quick:
        o.seeds, o.steps, size, events = 2, 20, 4800, 20
    record = Record(o, "Leptons, photons and jets from a flash simulation beside those of the simulations it learned.")
    torch.set_num_threads(1)
    batch = pairs(record, o.data, size)
    flash, floor = [], []
    for seed in range(o.seeds):
        train, given, test = quarters(batch, seed)
        model = trained(train, seed, o.steps)
        flash.append(comparisons(made(model, given, seed), test, seed))
        floor.append(comparisons(given, test, seed))
        print(f"seed {seed}", {k: round(v.estimate.value, 2) for k, v in flash[-1].items()}, flush=True)
    inside = [c.estimate.value <= BOUND for f in flash for c in f.values()]
    record.tables = [table(flash, floor)]
    if o.nanoaod:
        record.tables.append(of_cms(record, o.nanoaod, o.steps, o.seeds))
    record.tables.append(speed(model, given, events))
    record.notes += [
        f"{len(train):,} pairs to learn from, {len(test):,} to compare with. Within the bound: {sum(inside)} of "
        f"{len(inside)} comparisons of observables, kinds and seeds.",
        "The detailed simulation is lpm's own, a parametrised detector (card `atlas-delphes`); its tracks have exact "
        "directions.",
    ]
    record.more = {
        "flash": [{k: v.estimate.to_json() for k, v in f.items()} for f in flash],
        "floor": [{k: v.estimate.to_json() for k, v in f.items()} for f in floor],
    }
    record.save()


if __name__ == "__main__":
    main()
