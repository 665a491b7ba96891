"""The very same Particle Transformer, ours and weaver's: equal answers first, then time and memory.

    python benchmarks/particle_transformer.py --threads 2

Both have the published size (8 layers, 128 wide, 17 features, pairwise interactions) and equal weights; the program
stops if their log-odds in evaluation differ by more than 1e-5. Then they take turns in one process, on the same jets,
as many as `--repeats` times: a training step (forward, backward, AdamW; dropout as published) and inference. A ratio is
that of two turns that follow one another; the median is given with the interval that holds 68% of the medians of
resampled turns. Peak memory is that of a fresh process for each side, model, jets and optimiser included.

weaver (`pip install --no-deps weaver-core==0.5.3`; the model needs nothing else) gets its padded tensors ready-made;
ours starts from packed jets and makes tokens and four-momenta within the measured time. weaver's sequence trimmer is
off (`trim=False`) in the comparison that counts: with it, weaver cuts each batch to its longest jet in inference, and
in training shuffles particles and drops those beyond a random length. Both columns are given.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from record import Record, Table, median, options_of
from torch import Tensor, nn

from lpm.data.batch import Batch
from lpm.data.fields import JETCLASS, jets_schema
from lpm.data.schema import Field
from lpm.metrics.estimate import Estimate
from lpm.model.heads import ClassifyConfig
from lpm.model.model import Model, ModelConfig
from lpm.model.sets.particle_transformer import ParticleTransformerConfig
from lpm.model.sets.weaver import load_weaver
from lpm.model.view import View
from lpm.records.environment import peak_memory
from lpm.tokens import ContinuousConfig, Transform
from lpm.train.muon import Muon
from lpm.train.optim import parameter_groups

LONGEST = 128
FIELDS = ("pt", "deta", "dphi", "energy", "charge", "type", "d0", "d0_err", "dz", "dz_err", "puppi")
SEEN = ContinuousConfig(
    collection="particle",
    fields=(
        *(Transform(field=n, form="log") for n in ("pt", "energy", "pt_share", "energy_share")),
        *(Transform(field=n) for n in ("deta", "dphi", "charge")),
        Transform(field="type", form="category"),
        *(Transform(field=n, form="asinh") for n in ("d0", "d0_err", "dz", "dz_err")), Transform(field="puppi"),
    ),
    classes=(5,),
)  # fmt: skip
CONFIG = ModelConfig(
    backbone=ParticleTransformerConfig(energy="particle.energy"),
    tokenizers={"particle": SEEN},
    heads={"label": ClassifyConfig(target="jet.label", classes=JETCLASS)},
)
WORK = ("training", "inference")


def jets(count: int, seed: int) -> Batch:
    """Jets as long as those of JetClass: 46 particles in the mean, 128 at most."""
    rng, g = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    lengths = torch.tensor(rng.gamma(6.5, 46 / 6.5, count).round().clip(1, LONGEST)).long()
    size = int(lengths.sum())
    pt, kind = torch.empty(size).exponential_(0.1, generator=g) + 0.5, torch.randint(0, 5, (size,), generator=g)
    columns = {f"particle.{n}": torch.randn(size, generator=g).abs() for n in FIELDS}
    columns |= {f"particle.{n}": 0.3 * torch.randn(size, generator=g) for n in ("deta", "dphi")}
    mass = torch.where(kind == 2, 0.0, 0.13957)
    energy = ((pt * columns["particle.deta"].cosh()) ** 2 + mass**2).sqrt()
    columns |= {"particle.pt": pt, "particle.type": kind.float(), "particle.energy": energy}
    columns["jet.label"] = torch.randint(0, len(JETCLASS), (count,), generator=g).float()
    columns["jet.pt"] = torch.ones(count)
    batch = Batch.build(jets_schema(FIELDS, ["pt"], JETCLASS), columns, {"particle": lengths})
    for name in ("pt", "energy"):
        rows = batch.field(f"particle.{name}")
        share = rows.values / rows.sum()[rows.event]
        batch = batch.with_field("particle", Field(name=f"{name}_share", text=f"share of the jet's {name}"), share)
    return batch


def padded(model: Model, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Features, four-momenta and mask as weaver takes them."""
    tokens = model.encode(batch)["particle"].ragged
    config = model.config.backbone
    assert isinstance(config, ParticleTransformerConfig)
    out = []
    for rows in (tokens.values, config.momenta(batch)):
        x, mask = tokens.with_values(rows).padded()
        out.append(F.pad(x, (0, 0, 0, LONGEST - x.shape[1])).transpose(1, 2).contiguous())
    return out[0], out[1], F.pad(mask, (0, LONGEST - mask.shape[1]))[:, None]


def weaver(trim: bool) -> nn.Module:
    """A model of weaver; a few tensors are moved from their start, so that all of them matter."""
    try:
        from weaver.nn.model.ParticleTransformer import ParticleTransformer
    except ImportError:
        sys.exit("the peer is missing: pip install --no-deps weaver-core==0.5.3")
    torch.manual_seed(0)
    model: nn.Module = ParticleTransformer(input_dim=SEEN.build().width, num_classes=len(JETCLASS), trim=trim)
    for p in model.parameters():
        p.data += 0.02 * torch.randn_like(p)
    return model


def ours(batch: Batch) -> Model:
    """Our model, with weights of its own."""
    torch.manual_seed(0)
    model = Model(CONFIG, batch.schema)
    model.tokenizer("particle").fit([batch])
    return model


def parity(batch: Batch) -> tuple[dict[str, nn.Module], Model, float]:
    """Both models with equal weights, weaver's twice, and the largest difference of their log-odds in evaluation."""
    model, peers = ours(batch), {"trim=False": weaver(False), "trim=True": weaver(True)}
    x, p, mask = padded(model, batch)
    with torch.no_grad():
        peers["trim=False"].train()(x, p, mask)  # batch norms that have seen data
    for peer in peers.values():
        peer.load_state_dict(peers["trim=False"].state_dict())
    load_weaver(model, peers["trim=False"].state_dict())
    model.eval()
    with torch.no_grad():
        theirs = peers["trim=False"].eval()(x, p, mask)
        mine = model.head("label").logits(model.hidden(batch, model.encode(batch), View()))
    return peers, model, float((theirs - mine).abs().max())


def turns(peers: dict[str, nn.Module], model: Model, batch: Batch, work: str) -> dict[str, Callable[[], object]]:
    """One turn of each side: a training step, or inference."""
    tensors, index = padded(model, batch), batch.field("jet.label").values.long()
    sides = {"lpm": turn(model, work, lambda: torch.mean(model(batch)["label"]), lambda: model.predict(batch))}
    for name, peer in peers.items():
        sides[name] = turn(
            peer,
            work,
            lambda peer=peer: F.cross_entropy(peer(*tensors), index),
            lambda peer=peer: peer(*tensors).softmax(1),
        )
    return sides


def turn(
    model: nn.Module, work: str, loss: Callable[[], Tensor], answer: Callable[[], object], muon: bool = False
) -> Callable[[], object]:
    """One turn of one side."""
    return torch.no_grad()(answer) if work == "inference" else training_step(model, loss, muon)


def training_step(model: nn.Module, loss: Callable[[], Tensor], muon: bool = False) -> Callable[[], object]:
    """Forward, backward and update, by AdamW or Muon."""
    groups = parameter_groups(model, lr=1e-4, weight_decay=0.05)
    optimiser = Muon(groups, lr=1e-4) if muon else torch.optim.AdamW(model.parameters(), 1e-4)

    def step() -> None:
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    return step


def timed(sides: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each turn. Trimming begins after five batches, so each side first runs six times unmeasured."""
    for call in sides.values():
        for _ in range(6 if repeats > 2 else 1):
            call()
    seconds: dict[str, list[float]] = {n: [] for n in sides}
    for _ in range(repeats):
        for name, call in sides.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def peak(side: str, work: str, o: argparse.Namespace) -> float:
    """MiB that a fresh process of one side needs for two turns."""
    words = ["--side", side, "--work", work, "--threads", o.threads, "--train-jets", o.train_jets, "--jets", o.jets]
    call = [sys.executable, str(Path(__file__).resolve()), *map(str, words)]
    return float(subprocess.run(call, check=True, capture_output=True, text=True).stdout.split()[-1])


def alone(o: argparse.Namespace) -> None:
    """What `peak` runs: two turns of one side, then the peak of the resident memory."""
    batch = jets(o.train_jets if o.work == "training" else o.jets, seed=1)
    model = ours(batch)
    train = o.work == "training"
    if o.side == "lpm":
        call = turns({}, model.train(train), batch, o.work)["lpm"]
    else:
        call = turns({o.side: weaver(o.side == "trim=True").train(train)}, model, batch, o.work)[o.side]
    call()
    call()
    print(peak_memory() / 2**20)


def main() -> None:
    """Compare, time, record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--train-jets", type=int, default=128, help="jets of a training step")
    parser.add_argument("--jets", type=int, default=512, help="jets of inference")
    parser.add_argument("--repeats", type=int, default=9, help="turns of each side")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--work", choices=WORK, help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.quick:
        o.train_jets, o.jets, o.repeats, o.threads = 3, 4, 2, 1
    threads = torch.get_num_threads()
    torch.set_num_threads(o.threads)
    if o.side:
        alone(o)
        return
    record = Record(
        o, "With weaver's weights our Particle Transformer gives weaver's answers, faster and in less memory."
    )
    # Memory first: a process started by a large one counts that one's memory as its own peak.
    works = WORK[:1] if o.quick else WORK
    memory = {(w, s): peak(s, w, o) for w in works for s in ("lpm", "trim=False")}
    peers, model, difference = parity(jets(min(o.jets, 64), seed=0))
    print(f"largest difference of log-odds in evaluation: {difference:.1e}", flush=True)
    if difference > 1e-5:
        sys.exit("the models differ by more than 1e-5: nothing is compared")
    rows, notes = [], []
    for work, count in zip(WORK, (o.train_jets, o.jets), strict=True):
        batch = record.drawn(jets(count, seed=1), work)
        for side in (model, *peers.values()):
            side.train(work == "training")
        rows.append(row(work, count, timed(turns(peers, model, batch, work), o.repeats)))
        mean = float(batch.collections["particle"].lengths.float().mean())
        notes.append(f"{work}: {count} jets a turn, {mean:.1f} particles a jet in the mean")
    torch.set_num_threads(threads)
    columns = ("", "lpm (jets/s)", "weaver (jets/s)", "ratio", "weaver, trim=True (jets/s)", "ratio")
    record.tables = [
        Table(f"Speed on the CPU, {o.threads} threads", columns, rows),
        Table("Peak memory", ("", "lpm (MiB)", "weaver (MiB)", "ratio"), [
            (w, f"{memory[w, 'lpm']:,.0f}", f"{memory[w, 'trim=False']:,.0f}",
             f"{memory[w, 'trim=False'] / memory[w, 'lpm']:.1f}") for w in works
        ]),
    ]  # fmt: skip
    record.notes = [
        f"Largest difference of log-odds in evaluation, same weights: {difference:.1e}.",
        f"Median of {o.repeats} turns; {'; '.join(notes)}; weaver-core 0.5.3, padded to {LONGEST}.",
        "Target: 1.5 times the jets a second of weaver without trimming, in training and inference.",
        "With trimming, weaver's training drops particles at random: another model is trained.",
    ]
    record.more = {"difference": difference}
    record.save()


def row(work: str, count: int, seconds: dict[str, list[float]]) -> tuple[Estimate | str, ...]:
    """Name, jets a second and ratios of one kind of work."""
    cells: list[Estimate | str] = [work, median([count / s for s in seconds["lpm"]])]
    for name in ("trim=False", "trim=True"):
        cells.append(median([count / s for s in seconds[name]]))
        cells.append(median([a / b for a, b in zip(seconds[name], seconds["lpm"], strict=True)]))
    return tuple(cells)


if __name__ == "__main__":
    main()
