"""Ten classes of jets, told by every body of lpm, by bodies of others and by boosted trees: one table.

    lpm simulate jets taggers -n 60000 --preset jetclass --seed 7
    python benchmarks/taggers.py --data taggers --jets 50000 --steps 2000
    python benchmarks/taggers.py --data taggers --jets 50000 --steps 2000 --only pfn,weaver --seeds 1   # a part of it

All see the same features of the same particles and train on the same jets: as many jets a step, as many steps, in an
order that the seed decides, with AdamW at the same peak rate, on one cosine without early stopping. What differs
besides the body is said in its row: with `Muon` another optimiser trains, with `edges` each particle also hears of its
pairs (`lpm.model.edges`), `lpm, pre-trained` starts from a shipped body and sees what that was made to see.
Trees are trained on high-level features until a held-out tenth stops improving. Seconds are those of the training, on
as many threads as torch has; run it on a quiet machine.

weaver's Particle Transformer comes with `lpm[peers]`; L-GATr-slim is trained if it is asked for by `--only lgatr` and
`pip install --no-deps lgatr==2.0.0` was done.

Each result is kept in the record by body and seed, and a run adds what is missing: it can be made in pieces, as long as
data and budget stay the same. `--anew` makes those asked for once more.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from parts import Parts, again
from record import Record, Table, options_of, over_seeds
from torch import Tensor, nn

from lpm.data.batch import Batch
from lpm.data.fields import JETCLASS
from lpm.metrics.classification import JETCLASS_POINTS, multiclass_metrics
from lpm.model.backbone import BackboneConfig
from lpm.model.edges import EdgesConfig
from lpm.model.heads.base import class_index
from lpm.model.model import Model, ModelConfig
from lpm.model.pairs import PairBiasConfig
from lpm.model.sets import LorentzConfig, ParticleTransformerConfig
from lpm.recipes import DataConfig, RunConfig, StartConfig
from lpm.recipes import jets as jets_recipes
from lpm.recipes.events import open_data
from lpm.recipes.execute import execute
from lpm.recipes.taggers import BODIES, seen
from lpm.tasks.trees import Trees, TreesConfig, jet_features
from lpm.train.config import TrainConfig
from lpm.train.loop import fit
from lpm.train.parallel import World

PAIRS = PairBiasConfig(of="particle", pt="particle.pt", eta="particle.deta", phi="particle.dphi")
TREES = TreesConfig(target="jet.label", classes=JETCLASS)


@dataclass(frozen=True)
class Row:
    """One row of the table: what it is called, which body it has (None: the plain one), and how that is trained."""

    text: str
    body: str | None = None
    pairs: PairBiasConfig | None = None
    muon: bool = False


ROWS = {
    "trees": Row("boosted trees", "trees"),
    "pfn": Row("PFN (Deep Sets)", "pfn"),
    "particle_net": Row("ParticleNet", "particle_net"),
    "particle_net_muon": Row("ParticleNet, Muon", "particle_net", muon=True),
    "particle_transformer": Row("ParT (lpm)", "particle_transformer"),
    "particle_transformer_muon": Row("ParT (lpm), Muon", "particle_transformer", muon=True),
    "weaver": Row("ParT (weaver)", "weaver"),
    "lorentz": Row("Lorentz-equivariant", "lorentz"),
    "lgatr": Row("L-GATr-slim (lgatr)", "lgatr"),
    "plain": Row("lpm, no pairs"),
    "plain_muon": Row("lpm, no pairs, Muon", muon=True),
    "pairs": Row("lpm", pairs=PAIRS),
    "muon": Row("lpm, Muon", pairs=PAIRS, muon=True),
    "edges": Row("lpm, Muon, edges", pairs=replace(PAIRS, edges=EdgesConfig()), muon=True),
    "finetuned": Row("lpm, pre-trained"),
}
"""Rows by what `--only` calls them, in the order of the table."""


@dataclass(frozen=True)
class Found:
    """Scores of the test jets, seconds of the training, and parameters."""

    scores: Tensor
    seconds: float
    parameters: int


class Peer(nn.Module, ABC):
    """A model of others, trained by our loop on our features, padded to the longest jet of each batch."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.encode, self.momenta = model.encode, ParticleTransformerConfig().momenta
        self.net = self.build(model.tokenizer("particle").width)

    @abstractmethod
    def build(self, features: int) -> nn.Module:
        """The network."""

    def padded(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Features (B, T, F), four-momenta (B, T, 4) and mask (B, T)."""
        tokens = self.encode(batch)["particle"].ragged
        (x, mask), (p, _) = tokens.padded(), tokens.with_values(self.momenta(batch)).padded()
        return x, p, mask

    @abstractmethod
    def logits(self, batch: Batch) -> Tensor:
        """(B, C) log-odds."""

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """(B,) cross entropy."""
        labels = class_index(batch, "jet.label", JETCLASS, {})
        return {"label": F.cross_entropy(self.logits(batch), labels, reduction="none")}


class Weaver(Peer):
    """weaver's Particle Transformer, without trimming, which would drop particles at random."""

    def build(self, features: int) -> nn.Module:
        """The published sizes."""
        try:
            from weaver.nn.model.ParticleTransformer import ParticleTransformer
        except ImportError:
            sys.exit("the peer is missing: pip install 'lpm[peers]', or leave it out with --only")
        net: nn.Module = ParticleTransformer(input_dim=features, num_classes=len(JETCLASS), trim=False)
        return net

    def logits(self, batch: Batch) -> Tensor:
        """(B, C) log-odds."""
        x, p, mask = self.padded(batch)
        out: Tensor = self.net(x.transpose(1, 2), p.transpose(1, 2), mask[:, None])
        return out


class Slim(Peer):
    """L-GATr-slim of the package lgatr, with as many scalars, vectors, heads and blocks as our equivariant body."""

    def build(self, features: int) -> nn.Module:
        """Each particle's momentum, and the directions of time and beam, are vectors; the features are scalars."""
        try:
            from lgatr import LGATrSlim
        except ImportError:
            sys.exit("the peer is missing: pip install lgatr==2.0.0, or leave it out with --only")
        c = LorentzConfig()
        net: nn.Module = LGATrSlim(
            num_blocks=c.depth, in_v_channels=3, out_v_channels=0, hidden_v_channels=c.vectors,
            in_s_channels=features, out_s_channels=len(JETCLASS), hidden_s_channels=c.width, num_heads=c.heads,
        )  # fmt: skip
        return net

    def logits(self, batch: Batch) -> Tensor:
        """(B, C) log-odds: the mean over particles. Momenta are in units of 20 GeV, energy first."""
        x, p, mask = self.padded(batch)
        axes = p.new_tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]).expand(*p.shape[:2], 2, 4)
        vectors = torch.cat([p.roll(1, -1)[:, :, None] / 20, axes], 2)
        _, scores = self.net(vectors, x, attn_mask=mask[:, None, None])
        return (scores * mask[:, :, None]).sum(1) / mask.sum(1).clamp_min(1)[:, None]


PEERS: dict[str, type[Peer]] = {"weaver": Weaver, "lgatr": Slim}


def model_of(name: str, o: argparse.Namespace) -> ModelConfig:
    """The model of a row."""
    if name == "finetuned":
        return replace(jets_recipes.classes(o.base_size, start=o.base).model, pairs=PAIRS)
    row, heads = ROWS[name], jets_recipes.classes().model.heads
    body = "pfn" if row.body in PEERS else row.body  # of a peer only the tokenizer is used
    backbone = BODIES[body] if body else BackboneConfig.sized(o.size)
    return ModelConfig(backbone=backbone, tokenizers={"particle": seen(o.inputs)}, heads=heads, pairs=row.pairs)


def run_of(name: str, seed: int, o: argparse.Namespace) -> RunConfig:
    """What trains a row."""
    train = TrainConfig(steps=o.steps, lr=o.lr, warmup=max(1, o.steps // 20), weight_decay=0.05, log_every=100)
    if ROWS[name].muon:
        train = replace(train, optimiser="muon", lr=o.muon_lr)
    if name == "finetuned":
        train = replace(train, layer_decay=0.8)
    start = StartConfig(run=o.base) if name == "finetuned" else None
    data = DataConfig(train=("jets",), budget=o.batch * 129, most=o.batch, held=0.0)
    return RunConfig(name=name, data=data, model=model_of(name, o), train=train, start=start, seed=seed)


def trained(run: RunConfig, train: Batch, test: Batch) -> Found:
    """A model of ours."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        model = execute(run, Path(folder), batch=train)
        seconds = time.perf_counter() - start
    return Found(answers(test, lambda b: model.predict(b)["label"]), seconds, size_of(model))


def peer(run: RunConfig, train: Batch, test: Batch) -> Found:
    """A model of others, with the tokens, the order of jets and the loop of ours."""
    start = time.perf_counter()
    torch.manual_seed(run.seed)
    data = open_data(run, World(0, 1, torch.device("cpu")), train)
    model = Model(run.model, train.schema)
    model.tokenizer("particle").fit(data.once())
    module = PEERS[run.name](model)
    fit(module, data.train, run.train, record=lambda event, **content: None)
    seconds = time.perf_counter() - start
    module.eval()
    return Found(answers(test, torch.no_grad()(lambda b: module.logits(b).softmax(1))), seconds, size_of(module))


def boosted(seed: int, train: Batch, test: Batch) -> Found:
    """Boosted trees; computing their features counts as training."""
    start = time.perf_counter()
    trees = Trees(TREES)
    features = in_parts(train)
    trees.fit(features, trees.labels(train), seed)
    seconds = time.perf_counter() - start
    return Found(trees.predict(in_parts(test)), seconds, 0)


def in_parts(jets: Batch) -> dict[str, Tensor]:
    """Features of many jets, a few at a time."""
    parts = [jet_features(jets[i : i + 1000]) for i in range(0, len(jets), 1000)]
    return {n: torch.cat([p[n] for p in parts]) for n in parts[0]}


def answers(test: Batch, predict: Callable[[Batch], Tensor]) -> Tensor:
    """(N, C) probabilities."""
    return torch.cat([predict(test[i : i + 256]) for i in range(0, len(test), 256)])


def size_of(module: nn.Module) -> int:
    """Trainable numbers."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def result(found: Found, test: Batch, seed: int) -> dict[str, Any]:
    """What is kept of one training."""
    labels = class_index(test, "jet.label", JETCLASS, {})
    metrics = multiclass_metrics(found.scores.double().numpy(), labels.numpy(), JETCLASS, seed=seed, samples=20)
    values = {n: m.value if math.isfinite(m.value) else None for n, m in metrics.items()}
    return {"seconds": found.seconds, "parameters": found.parameters, **values}


def table(results: list[dict[str, Any]]) -> list[Table]:
    """Accuracy, AUC, time; and the rejections. A rejection without a jet of QCD left is a dash."""
    first, second = [], []
    points = [f"rejection[{n}]@{p:g}" for n, p in JETCLASS_POINTS.items()]
    for name, row in ROWS.items():
        mine = [r for r in results if r["body"] == name]
        if not mine:
            continue
        parameters = f"{mine[0]['parameters']:,}" if mine[0]["parameters"] else "—"
        some = (over_seeds(mine, n) for n in ("accuracy", "auc", "seconds"))
        first.append((row.text, str(len(mine)), *some, parameters))
        second.append((row.text, *(over_seeds(mine, n) for n in points)))
    columns = ("body", "seeds", "accuracy", "AUC", "seconds of training", "parameters")
    return [
        Table("Ten classes, mean ± standard error over seeds", columns, first),
        Table("Rejection of QCD at the efficiency of each class", ("body", *points), second),
    ]


def main() -> None:
    """Train what is asked for and not there, and record."""
    parser = options_of(__doc__ or "", seeds=3)
    parser.add_argument("--data", default="sample:jets", help="file or folder of jets of the ten classes")
    parser.add_argument("--jets", type=int, default=10_000, help="jets to train on; the rest, or --most, are the test")
    parser.add_argument("--most", type=int, default=50_000, help="test jets at most")
    parser.add_argument("--steps", type=int, default=500, help="steps of each training")
    parser.add_argument("--batch", type=int, default=128, help="jets of a step")
    parser.add_argument("--lr", type=float, default=1e-3, help="peak rate of AdamW")
    parser.add_argument("--muon-lr", type=float, default=1e-2, help="peak rate of Muon")
    parser.add_argument("--inputs", choices=("kinematics", "full"), default="kinematics", help="what is seen")
    parser.add_argument("--size", type=int, default=4, help="the dial of the plain body")
    parser.add_argument("--base", default="jets-base", help="pre-trained run")
    parser.add_argument("--base-size", type=int, default=3, help="its dial")
    rows = ",".join(n for n in ROWS if n != "lgatr")
    parser.add_argument("--only", default=rows, help=f"rows by commas, out of {', '.join(ROWS)}")
    again(parser)
    o = parser.parse_args()
    if o.quick:
        o.jets, o.most, o.steps, o.batch, o.seeds = 200, 400, 2, 16, 2
    unknown = [n for n in o.only.split(",") if n not in ROWS]
    if unknown:
        parser.error(f"unknown row {unknown[0]}; there are: {', '.join(ROWS)}")
    record = Record(o, "The same simulated jets, the same budget: every body of lpm beside boosted trees and weaver.")
    fill(record, o)


def fill(record: Record, o: argparse.Namespace) -> None:
    """Train, and save after each training."""
    names = [f"particle.{t.field}" for t in seen(o.inputs).fields]
    jets = record.read(o.data, (*names, "jet.pt", "jet.label"))
    order = torch.randperm(len(jets), generator=torch.Generator().manual_seed(0))
    if len(jets) <= o.jets:
        sys.exit(f"{o.data}: has {len(jets):,} jets, of which {o.jets:,} to train on leave none to test; take fewer")
    train, test = jets[order[: o.jets]], jets[order[o.jets : o.jets + o.most]]
    settings = {
        "data": record.data[0]["sha256"], "jets": o.jets, "test": len(test), "steps": o.steps, "batch": o.batch,
        "lr": o.lr, "muon_lr": o.muon_lr, "inputs": o.inputs, "size": o.size,
        "base": Path(o.base).name,
        "base_size": o.base_size,
    }  # fmt: skip
    lengths = jets.collections["particle"].lengths.float()
    record.notes = [
        f"{o.jets:,} jets to train on, {len(test):,} to test, {float(lengths.mean()):.1f} particles in the mean; "
        f"{o.steps:,} steps of {o.batch} jets, AdamW with {o.lr:g} or Muon with {o.muon_lr:g}; inputs: {o.inputs}.",
        "Seconds are wall time, whatever else the machine did; `best_tagger.py` compares speeds.",
        f"Threads of torch: {torch.get_num_threads()}. weaver-core 0.5.3, padded to the longest jet of each batch.",
    ]

    def tables(results: list[dict[str, Any]]) -> None:
        record.tables = table(results)

    def make(body: str, seed: int) -> dict[str, Any]:
        return result(one(body, seed, o, train, test), test, seed)

    wanted = [(body, seed) for seed in range(o.seeds) for body in o.only.split(",")]
    Parts(record, settings, ("body", "seed"), tables).make(wanted, make)


def one(body: str, seed: int, o: argparse.Namespace, train: Batch, test: Batch) -> Found:
    """Train one row with one seed."""
    if body == "trees":
        return boosted(seed, train, test)
    return (peer if body in PEERS else trained)(run_of(body, seed, o), train, test)


if __name__ == "__main__":
    main()
