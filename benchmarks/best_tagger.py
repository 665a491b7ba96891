"""Our taggers beside weaver's Particle Transformer: time and memory of bodies that tell jets apart as well.

    python benchmarks/best_tagger.py --threads 2

The bodies are those of `taggers.py`, whose record says how well each tells ten classes apart after equal trainings; its
AUC and accuracy stand beside the speed. All sides take turns in one process, on the same jets, as many as `--repeats`
times: a training step (forward, backward, and AdamW or Muon as in `taggers.py`; dropout as published) and inference. A
ratio is that of two turns that follow one another; the median is given with the interval that holds 68% of the medians
of resampled turns. Peak memory is that of a fresh process for each side, model, jets and optimiser included, and beside
it what that is beyond libraries and jets, which are there before a model is.

weaver (`pip install --no-deps weaver-core==0.5.3`) gets its padded tensors ready-made, to the longest jet of the batch;
ours start from packed jets and make tokens within the measured time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from particle_transformer import WORK, jets, timed, turn
from record import RESULTS, Cell, Record, Table, median, options_of
from taggers import ROWS, Weaver, model_of
from torch import nn

from lpm.data.batch import Batch
from lpm.data.fields import JETCLASS
from lpm.metrics.estimate import Estimate
from lpm.model.heads.base import class_index
from lpm.model.model import Model
from lpm.records.environment import peak_memory

SIDES = ("plain_muon", "muon", "edges", "particle_transformer", "weaver")
PEER = SIDES[-1]
TARGET = 3.0
"""Times the jets a second of the peer, and as much less memory."""


def built(side: str, batch: Batch, o: argparse.Namespace) -> nn.Module:
    """A model of ours or of weaver, with weights of its own."""
    torch.manual_seed(0)
    model = Model(model_of(side, o), batch.schema)
    model.tokenizer("particle").fit([batch])
    return Weaver(model) if side == PEER else model


def call(side: str, module: nn.Module, batch: Batch, work: str) -> Callable[[], object]:
    """One turn of a side: a training step, or inference."""
    module.train(work == "training")
    if not isinstance(module, Weaver):
        assert isinstance(module, Model)
        return turn(
            module,
            work,
            lambda: torch.mean(module(batch)["label"]),
            lambda: module.predict(batch),
            muon=ROWS[side].muon,
        )
    x, p, mask = module.padded(batch)
    tensors = x.transpose(1, 2).contiguous(), p.transpose(1, 2).contiguous(), mask[:, None]
    index = class_index(batch, "jet.label", JETCLASS, {})
    return turn(
        module,
        work,
        lambda: F.cross_entropy(module.net(*tensors), index),
        lambda: module.net(*tensors).softmax(1),
    )


def peak(side: str, work: str, o: argparse.Namespace) -> tuple[float, float]:
    """MiB that a fresh process of one side needs for two turns, and what it had before there was a model."""
    words = ["--side", side, "--work", work, "--threads", o.threads, "--train-jets", o.train_jets, "--jets", o.jets,
             "--size", o.size]  # fmt: skip
    command = [sys.executable, str(Path(__file__).resolve()), *map(str, words)]
    whole, before = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-2:]
    return float(whole), float(before)


def alone(o: argparse.Namespace) -> None:
    """What `peak` runs: two turns of one side, then the peak of the resident memory."""
    batch = jets(o.train_jets if o.work == "training" else o.jets, seed=1)
    before = peak_memory()
    again = call(o.side, built(o.side, batch, o), batch, o.work)
    again()
    again()
    print(peak_memory() / 2**20, before / 2**20)


def known(side: str) -> tuple[Cell, Cell]:
    """Accuracy and AUC in the record of `taggers.py`."""
    path = RESULTS / "taggers.json"
    if path.is_file():
        for row in Table.from_json(json.loads(path.read_text(encoding="utf-8"))["tables"][0]).rows:
            if row[0] == ROWS[side].text:
                return row[2], row[3]
    return "—", "—"


def beside(mine: tuple[float, float], theirs: tuple[float, float]) -> tuple[str, str]:
    """Memory as a whole, and beyond what was there before a model, with how many times less than the peer's it is."""
    own, other = mine[0] - mine[1], theirs[0] - theirs[1]
    return f"{mine[0]:,.0f} ({theirs[0] / mine[0]:.1f})", f"{own:,.0f} ({other / own:.1f})"


def verdict(ratios: dict[tuple[str, str], Estimate], memory: dict[tuple[str, str], tuple[float, float]]) -> str:
    """Where each body of ours falls short of the target, the memory of a process taken as a whole."""
    found = []
    for side in [s for s in SIDES if s != PEER]:
        less = {w: memory[w, PEER][0] / memory[w, side][0] for w in WORK if (w, side) in memory}
        short = [f"time in {w}" for w in WORK if ratios[w, side].value < TARGET]
        short += [f"memory in {w}" for w, times in less.items() if times < TARGET]
        found.append(f"{ROWS[side].text} misses {', '.join(short)}" if short else f"{ROWS[side].text} reaches it")
    return f"Target: {TARGET:g} times the jets a second, and {TARGET:g} times less memory. {'; '.join(found)}."


def main() -> None:
    """Time and record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--train-jets", type=int, default=128, help="jets of a training step")
    parser.add_argument("--jets", type=int, default=512, help="jets of inference")
    parser.add_argument("--repeats", type=int, default=9, help="turns of each side")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    parser.add_argument("--size", type=int, default=4, help="the dial of the plain body")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--work", choices=WORK, help=argparse.SUPPRESS)
    o = parser.parse_args()
    o.inputs = "full"
    if o.quick:
        o.train_jets, o.jets, o.repeats, o.threads, o.size = 3, 4, 2, 1, 1
    threads = torch.get_num_threads()
    torch.set_num_threads(o.threads)
    if o.side:
        alone(o)
        return
    record = Record(o, "Bodies of lpm that tell jets apart beside weaver's Particle Transformer, in time and memory.")
    # Memory first: a process started by a large one counts that one's memory as its own peak.
    memory = {(w, s): peak(s, w, o) for w in WORK for s in (("plain_muon", PEER) if o.quick else SIDES)}
    ratios: dict[tuple[str, str], Estimate] = {}
    rates: dict[tuple[str, str], Estimate] = {}
    sizes = {}
    for work, count in zip(WORK, (o.train_jets, o.jets), strict=True):
        batch = record.drawn(jets(count, seed=1), work)
        modules = {s: built(s, batch, o) for s in SIDES}
        sizes = {s: sum(p.numel() for p in m.parameters()) for s, m in modules.items()}
        seconds = timed({s: call(s, m, batch, work) for s, m in modules.items()}, o.repeats)
        for side in SIDES:
            rates[work, side] = median([count / s for s in seconds[side]])
            ratios[work, side] = median([a / b for a, b in zip(seconds[PEER], seconds[side], strict=True)])
    torch.set_num_threads(threads)
    speed: list[tuple[Cell, ...]] = []
    needed: list[tuple[Cell, ...]] = []
    for side in SIDES:
        cells = [c for w in WORK for c in (rates[w, side], ratios[w, side] if side != PEER else "1")]
        speed.append((ROWS[side].text, f"{sizes[side]:,}", *known(side), *cells))
        if ("training", side) in memory:
            needed.append((ROWS[side].text, *(x for w in WORK for x in beside(memory[w, side], memory[w, PEER]))))
    heads = (x for w in WORK for x in (w, "beyond libraries and jets"))
    columns = ("body", "parameters", "accuracy", "AUC", *(c for w in WORK for c in (f"{w} (jets/s)", "times weaver")))
    record.tables = [
        Table(f"Speed on the CPU, {o.threads} threads", columns, speed),
        Table("Peak memory in MiB (times less than weaver)", ("body", *heads), needed),
    ]
    record.notes = [
        f"Median of {o.repeats} turns of {o.train_jets} jets in training and {o.jets} in inference; 17 features; "
        "weaver-core 0.5.3, `trim=False`, padded to the longest jet.",
        "Accuracy and AUC are those of the record of `taggers.py`, of features without charges and displacements.",
        verdict(ratios, memory),
    ]
    record.save()


if __name__ == "__main__":
    main()
