"""A tagger trained on simulated jets holds on public samples that it never saw, and gains by fine-tuning on them.

    python benchmarks/public_taggers.py --run jets-top --body jets-base

Top tagging: the tagger as it is on all jets of the public sample, then fine-tuned on half of it and measured on the
other half, beside what the tagger as it is gives on that same half. Quark or gluon: a new head on the pre-trained body,
fine-tuned on half and measured on the other. A seed decides the halves, the order and the new weights. Values are means
over the seeds; the intervals hold 68% and are those of one half of the jets, not divided by the root of the number of
seeds, because all halves come from the same jets.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from record import Cell, Record, Table, options_of, short, trained_on

from lpm.data.batch import Batch
from lpm.metrics.classification import binary_metrics
from lpm.metrics.estimate import Estimate
from lpm.model.checkpoint import load
from lpm.model.heads import ClassifyConfig
from lpm.model.model import Model, ModelConfig
from lpm.recipes import DataConfig, RunConfig, StartConfig
from lpm.recipes.apply import predict
from lpm.recipes.execute import execute
from lpm.train.config import TrainConfig

METRICS = ("auc", "accuracy", "rejection@0.3", "rejection@0.5")
BODY = ("tokenizers", "embeds", "prefix", "backbone")
PUBLIC = Path("../shared/data/jets")


def measure(model: Model, jets: Batch) -> dict[str, Estimate]:
    """All metrics of the second class against the first; the label counts from 0."""
    parts = predict(model, (jets[i : i + 256] for i in range(0, len(jets), 256)), "the public jets")
    score = torch.cat([p.field("jet.score").values for p in parts]).double().numpy()
    return binary_metrics(score, jets.field("jet.label").values.long().numpy())


def tune(
    config: ModelConfig, start: str, parts: tuple[str, ...], jets: Batch, seed: int, o: argparse.Namespace
) -> Model:
    """A model with the named parts of `start`, trained on `jets`."""
    lower = 1.0 if "heads" in parts else 0.8
    train = TrainConfig(steps=o.steps, lr=o.lr, warmup=o.steps // 10, ema=0.95, weight_decay=0.1, layer_decay=lower)
    run = RunConfig(
        name="public", data=DataConfig(train=("public jets",), most=64, held=0.0), model=config, train=train,
        start=StartConfig(run=start, parts=parts), seed=seed,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        return execute(run, Path(folder), batch=jets)


def halves(jets: Batch, seed: int) -> tuple[Batch, Batch]:
    """Two random halves."""
    order = torch.randperm(len(jets), generator=torch.Generator().manual_seed(seed))
    return jets[order[: len(jets) // 2]], jets[order[len(jets) // 2 :]]


def over_seeds(found: Sequence[dict[str, Estimate]]) -> tuple[Cell, ...]:
    """Means of values and of the ends of their intervals, and the spread of the AUC over seeds."""
    cells: list[Cell] = []
    for name in METRICS:
        ends = np.array([(e.value, e.low, e.high) for e in (f[name] for f in found)]).mean(0)
        cells.append(Estimate(*map(float, ends)))
    spread = np.std([f["auc"].value for f in found], ddof=1) if len(found) > 1 else None
    return (*cells, "—" if spread is None else f"{spread:.4f}")


def tops(record: Record, o: argparse.Namespace) -> Table:
    """The top tagger, as it is and fine-tuned."""
    jets, model = record.read(o.top, most=o.most), load(o.run)
    before, after = [], []
    for seed in range(o.seeds):
        mine, other = halves(jets, seed)
        before.append(measure(model, other))
        parts = tuple(sorted({n.split(".")[0] for n in model.state_dict()}))
        after.append(measure(tune(model.config, o.run, parts, mine, seed, o), other))
    rows = [
        (f"as trained, all {len(jets):,} jets", *over_seeds([measure(model, jets)])),
        (f"as trained, {len(other):,} test jets", *over_seeds(before)),
        (f"fine-tuned on {len(mine):,}, same test jets", *over_seeds(after)),
    ]
    record.notes.append(f"The tagger `{short(o.run)}` was trained on {', '.join(trained_on(o.run))}.")
    return Table("Top against QCD", ("tagger", *METRICS, "spread of AUC over seeds"), rows)


def quarks(record: Record, o: argparse.Namespace) -> Table:
    """A new quark/gluon head on the pre-trained body."""
    jets, body = record.read(o.quark_gluon, most=o.most), load(o.body)
    head = ClassifyConfig(target="jet.label", classes=jets.schema.field("jet.label").labels)
    config = replace(body.config, heads={"label": head}, condition=None)
    found = []
    for seed in range(o.seeds):
        mine, other = halves(jets, seed)
        found.append(measure(tune(config, o.body, BODY, mine, seed, o), other))
    rows = [(f"`{short(o.body)}` fine-tuned on {len(mine):,}, {len(other):,} test jets", *over_seeds(found))]
    zero = over_seeds([measure(load(o.quark_gluon_run), jets)])
    rows.insert(0, (f"`{short(o.quark_gluon_run)}` as trained, all {len(jets):,} jets", *zero))
    record.notes.append(
        f"The tagger `{short(o.quark_gluon_run)}` was trained on {', '.join(trained_on(o.quark_gluon_run))}."
    )
    return Table("Quark against gluon", ("tagger", *METRICS, "spread of AUC over seeds"), rows)


def main() -> None:
    """Measure and record."""
    parser = options_of(__doc__ or "", seeds=5)
    parser.add_argument("--run", default="jets-top", help="top tagger")
    parser.add_argument("--body", default="jets-base", help="pre-trained body for quark/gluon")
    parser.add_argument("--quark-gluon-run", default="jets-quark-gluon", help="quark/gluon tagger")
    parser.add_argument("--top", type=Path, default=PUBLIC / "top_landscape_1000.npz")
    parser.add_argument("--quark-gluon", type=Path, default=PUBLIC / "quark_gluon_1000.npz")
    parser.add_argument("--steps", type=int, default=60, help="of each fine-tuning, 64 jets each")
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--most", type=int, default=0, help="use only so many jets of each file; 0 for all")
    o = parser.parse_args()
    if o.quick:
        o.seeds, o.steps, o.most = 1, 2, o.most or 200
    record = Record(o, "Taggers trained on simulated jets hold on public jets that they never saw.")
    record.tables = [tops(record, o), quarks(record, o)]
    record.notes.append(f"Fine-tuning: {o.steps} steps of 64 jets, peak learning rate {o.lr:g}.")
    record.save()


if __name__ == "__main__":
    main()
