"""Pre-training pays: with few labels, a pre-trained body tells tops from QCD better than the same model from scratch.

    python benchmarks/label_efficiency.py --pretrain 600   # a body that meets neither labels nor test jets
    python benchmarks/label_efficiency.py --pretrain 600 --bodies 5 --test-data FILE
    python benchmarks/label_efficiency.py --body jets-base

Both are the same architecture, trained on the same labelled jets for the same number of steps of 64 jets. The seed
decides which jets have labels, the weights that are new, and the order. The test jets are the same for all, and no
training on labels sees them. Whether pre-training met the same jets, and whether it was told their classes (as a body
that generates by class is), is said below the table: only a body pre-trained without labels makes a fair comparison.
`--bodies 5` pre-trains as many bodies from different seeds and gives each seed of the fine-tuning its own, so that the
error covers the spread of bodies too. `--test-data` takes the test jets from a file that nothing else has seen.
`--longer 4` adds a model from scratch that trains four times as long, in case the given steps are too few for it.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from record import KINEMATICS, Cell, Record, Table, mean, options_of, short, trained_on

from lpm.data.batch import Batch
from lpm.metrics.roc import roc_auc
from lpm.model.checkpoint import load
from lpm.model.heads import ClassifyConfig
from lpm.model.model import ModelConfig
from lpm.recipes import DataConfig, RunConfig, StartConfig
from lpm.recipes import jets as jets_recipes
from lpm.recipes.apply import predict
from lpm.recipes.execute import execute
from lpm.tasks.jets import TOP_GROUPS, top_labels
from lpm.train.config import TrainConfig

STEPS = {100: 40, 1_000: 100, 10_000: 300}
PRE, SCRATCH = "pre-trained", "from scratch"


def auc(config: ModelConfig, start: str | None, labels: int, steps: int, seed: int, rest: Batch, test: Batch) -> float:
    """AUC on the test jets after training on so many labelled jets."""
    train = TrainConfig(steps=steps, lr=1e-3, warmup=max(1, steps // 10), ema=0.95, weight_decay=0.1)
    data = DataConfig(train=("labelled jets",), most=64, limit=labels, held=0.002)
    begin = StartConfig(run=start) if start else None
    run = RunConfig(name="labels", data=data, model=config, train=train, start=begin, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        model = execute(run, Path(folder), batch=rest)
    parts = predict(model, (test[i : i + 256] for i in range(0, len(test), 256)), "the test jets")
    score = torch.cat([p.field("jet.score").values for p in parts]).double().numpy()
    return roc_auc(score, top_labels(test).numpy(), samples=2).value


def pretrain(o: argparse.Namespace, rest: Batch, folder: Path, seed: int) -> str:
    """A body that learned the next particle and the substructure of all jets but the test jets, without any label."""
    run = replace(jets_recipes.base(o.size), seed=seed)
    every = replace(run.train, steps=o.pretrain, warmup=max(1, o.pretrain // 10), ema=0.99, valid_every=0)
    name = short(o.data) if o.test_data else f"{short(o.data)} without the test jets"
    data = DataConfig(train=(name,), budget=5_000, held=0.0)
    model = replace(run.model, condition=None)
    execute(replace(run, train=replace(every, save_every=0), model=model, data=data), folder, batch=rest)
    return str(folder)


def row(labels: int, found: dict[str, list[float]]) -> tuple[Cell, ...]:
    """Means, and the difference of the two starts seed by seed in units of its standard error."""
    difference = mean(np.subtract(found[PRE], found[SCRATCH]).tolist())
    times = "—" if not difference.error > 0 else f"{difference.value / difference.error:.1f}"
    return (f"{labels:,}", *(mean(v) for v in found.values()), difference, times)


def main() -> None:
    """Measure and record."""
    parser = options_of(__doc__ or "", seeds=5)
    parser.add_argument("--body", default="jets-base", help="pre-trained run")
    parser.add_argument("--pretrain", type=int, default=0, help="steps of pre-training a body on the other jets")
    parser.add_argument("--bodies", type=int, default=1, help="so many of them, with the seeds 0, 1, …")
    parser.add_argument("--size", type=int, default=3, help="the dial of that body")
    parser.add_argument("--data", default="sample:jets", help="jets with labels of tops and QCD")
    parser.add_argument("--full", action="store_true", help="also at 10,000 labels")
    parser.add_argument("--test", type=int, default=1_500, help="test jets")
    parser.add_argument("--test-data", help="file of the test jets; part of --data if absent")
    parser.add_argument("--longer", type=int, default=1, help="also from scratch with so many times the steps")
    o = parser.parse_args()
    o.at = {n: s for n, s in STEPS.items() if o.full or n < max(STEPS)}
    if o.quick:
        o.seeds, o.test, o.at = 2, 100, {50: 2}
    record = Record(o, "Pre-training pays where labels are few and trainings are equal and short.")
    with tempfile.TemporaryDirectory() as folder:
        fill(record, o, Path(folder))
    record.save()


def fill(record: Record, o: argparse.Namespace, folder: Path) -> None:
    """Split the jets, pre-train if asked for, train both starts, and put what was found into the record."""
    asked = [head.target for head in jets_recipes.observables().values()]
    paths = (*KINEMATICS, "jet.label", *asked)
    jets = record.read(o.data, paths)
    other = record.read(o.test_data, paths) if o.test_data else jets
    known = (top_labels(other) >= 0).nonzero()[:, 0]
    picked = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(0))[: o.test]]
    held = torch.zeros(len(other), dtype=torch.bool).index_fill(0, picked, True)
    test, rest = other[held], jets if o.test_data else jets[~held]
    bodies = [o.body]
    if o.pretrain:
        bodies = [pretrain(o, rest, folder / f"body-{seed}", seed) for seed in range(o.bodies)]
    head = ClassifyConfig(target="jet.label", classes=tuple(TOP_GROUPS), groups=TOP_GROUPS)
    body = load(bodies[0]).config
    told = f"told {body.condition.field} of each jet" if body.condition else "without labels"
    config = replace(body, heads={"label": head}, condition=None)
    found = {n: measure(config, n, s, bodies, o.seeds, o.longer, rest, test) for n, s in o.at.items()}
    columns = ("labels", *next(iter(found.values())), f"{PRE} − {SCRATCH}", "in standard errors")
    title = f"AUC of top against QCD, mean ± standard error over {o.seeds} seeds"
    record.tables = [Table(title, columns, [row(n, f) for n, f in found.items()])]
    record.notes = [
        f"{len(test):,} test jets; steps of 64 jets, pre-trained or not: "
        f"{', '.join(f'{s} at {n:,} labels' for n, s in o.at.items())}.",
        f"{f'{len(bodies)} bodies were' if o.pretrain else f'The body `{short(o.body)}` was'} pre-trained on "
        f"{', '.join(trained_on(bodies[0]))}, {told}" + (f", for {o.pretrain:,} steps." if o.pretrain else "."),
    ]
    record.more["curve"] = curve(found)


def measure(
    config: ModelConfig, labels: int, steps: int, bodies: list[str], seeds: int, longer: int, rest: Batch, test: Batch
) -> dict[str, list[float]]:
    """AUC of every seed, by start; each seed takes the next of the bodies."""
    starts: dict[str, tuple[list[str | None], int]] = {PRE: ([*bodies], steps), SCRATCH: ([None], steps)}
    if longer > 1:
        starts[f"{SCRATCH}, {longer} × steps"] = ([None], longer * steps)
    return {
        name: [auc(config, start[seed % len(start)], labels, count, seed, rest, test) for seed in range(seeds)]
        for name, (start, count) in starts.items()
    }


def curve(found: dict[int, dict[str, list[float]]]) -> dict[str, object]:
    """AUC by number of labels, as `lpm report` draws curves, with the values of all seeds beside it."""
    series = {}
    for name in next(iter(found.values())):
        points = [mean(f[name]) for f in found.values()]
        ends = {k: [p.to_json()[k] for p in points] for k in ("value", "low", "high")}
        series[name] = {**ends, "all": [f[name] for f in found.values()]}
    return {
        "name": "labels",
        "x_label": "labelled jets",
        "y_label": "AUC",
        "x_log": True,
        "x": list(found),
        "series": series,
    }


if __name__ == "__main__":
    main()
