"""Two processes train nearly twice as fast as one, and what keeps them from it; what sharding saves in memory.

    python benchmarks/data_parallel.py

Each turn starts fresh processes, as `lpm train --launch torchrun` would, and times the second half of their steps; the
sides take turns. Every process takes batches of its own: two make steps of twice as many jets. A ratio is that of two
turns that follow one another; the median is given with the interval that holds 68% of the medians of resampled turns.

Beside one process and two that share their gradients (DDP over gloo), two processes train that know nothing of each
other: what they lack of twice the speed is the machine's (cores that share caches, memory or units), what DDP lacks of
theirs is waiting and all-reduce. One process with two threads is there for comparison. A profile of a few steps gives
the parts of a step: DDP's all-reduce from its start, backward pass and wait for the other process included, and the
optimiser, which each process carries out for itself, Muon's orthogonalisation included.

Memory is the growth of the peak resident memory from before the model was built, for a model of `--wide` blocks, with
AdamW and few tokens, so that weights, gradients and moments (16 bytes a parameter) are most of it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from record import Cell, Record, Table, median, options_of

from lpm.data.io.parquet import write_batches
from lpm.model.backbone import BackboneConfig
from lpm.model.model import Model
from lpm.recipes import RECIPES, RunConfig
from lpm.recipes.events import open_data
from lpm.records.environment import peak_memory
from lpm.tasks.jets import SUBSTRUCTURE, observe
from lpm.train.launch import LaunchConfig
from lpm.train.launch.command import processes
from lpm.train.loop import fit
from lpm.train.parallel import gather, world

TARGET = 1.7
LABEL = "measured "
SIDES = {
    "one process": (1, 1, 1),
    "two processes, DDP": (1, 2, 1),
    "two processes that know nothing of each other": (2, 1, 1),
    "one process, two threads": (1, 1, 2),
}
"""Trainings at once, processes of each, threads of each process."""

PARTS = {"all-reduce": "gloo:all_reduce", "optimiser": "Optimizer.step#"}
FP32 = 4


def recipe(o: argparse.Namespace) -> RunConfig:
    """What a worker trains: nothing that only some steps do, and the first half of the steps to warm up."""
    run = RECIPES[o.recipe](size=o.size)
    train = replace(
        run.train, steps=2 * o.steps, log_every=o.steps, valid_every=0, save_every=0, patience=0, warmup=1,
        parallel=o.parallel, ema=0.0 if o.memory else run.train.ema,
        optimiser="adamw" if o.memory else run.train.optimiser,
    )  # fmt: skip
    return replace(run, train=train, data=replace(run.data, train=(o.data,), budget=o.budget))


def worker(o: argparse.Namespace) -> None:
    """Train in this process, perhaps one of several; the first of them prints rate, parts and memory as JSON."""
    torch.set_num_threads(o.threads)
    config, rates = recipe(o), list[float]()

    def record(event: str, **content: Any) -> None:
        if event == "step":  # only the first process hears of it
            rates.append(content["events_per_s"])

    with world("cpu") as place:
        torch.manual_seed(config.seed)
        data = open_data(config, place)
        before = peak_memory()
        model = Model(config.model, data.train.schema)
        for name in model.tokenizers:
            model.tokenizer(name).fit([next(iter(data.once()))])
        model.tokenizers.requires_grad_(False)
        count = sum(p.numel() for p in model.parameters() if p.requires_grad)
        found: dict[str, Any] = {"parameters": count, "parts": {}}
        if o.profile:
            start = time.perf_counter()
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
                fit(model, data.train, config.train, record=record, place=place)
            seconds = time.perf_counter() - start
            for name, key in PARTS.items():
                used = sum(e.cpu_time_total for e in profile.key_averages() if e.key.startswith(key))
                found["parts"][name] = used / 1e6 / seconds
        else:
            fit(model, data.train, config.train, record=record, place=place)
        found["memory"] = max(gather(peak_memory() - before, place))
        if place.first:
            print(LABEL + json.dumps({**found, "rate": rates[-1]}), flush=True)


def start(o: argparse.Namespace, ranks: int, **changes: Any) -> subprocess.Popen[str]:
    """One training of `ranks` processes."""
    names = ("recipe", "size", "steps", "budget", "data", "threads", "parallel")
    options = {**{n: getattr(o, n) for n in names}, **changes}
    words = [str(Path(__file__).resolve()), "--worker"]
    words += [f"--{n}" if v is True else f"--{n}={v}" for n, v in options.items() if v is not False]
    launch = LaunchConfig(kind="torchrun" if ranks > 1 else "local", ranks=ranks, cpus=options["threads"])
    return subprocess.Popen(
        processes(words, launch), stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(options["threads"])},
    )  # fmt: skip


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a training measured.

    Raises:
        ValueError: If it failed; its own words are on standard error.
    """
    out, _ = process.communicate()
    lines = [line for line in out.splitlines() if line.startswith(LABEL)]
    if process.returncode or not lines:
        raise ValueError(f"a training failed with exit code {process.returncode}")
    return dict(json.loads(lines[0].removeprefix(LABEL)))


def turn(o: argparse.Namespace, side: str) -> float:
    """Jets a second of one side, all its trainings together."""
    trainings, ranks, threads = SIDES[side]
    started = [start(o, ranks, threads=threads) for _ in range(trainings)]
    return sum(float(result(p)["rate"]) for p in started)


def speed(record: Record, o: argparse.Namespace) -> list[tuple[Cell, ...]]:
    """Rows of the table of one recipe; what the profile says goes into the notes."""
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(o.repeats):
        for side, rates in found.items():
            rates.append(turn(o, side))
            print(o.recipe, side, f"{rates[-1]:.1f} jets/s", flush=True)
    first, ddp, apart, _ = SIDES
    rows: list[tuple[Cell, ...]] = [
        (o.recipe, side, median(rates), "" if side == first else
         median([a / b for a, b in zip(rates, found[first], strict=True)]))
        for side, rates in found.items()
    ]  # fmt: skip
    parts = result(start(o, 2, profile=True, steps=min(2, o.steps)))["parts"]
    ratio, ceiling = (median([a / b for a, b in zip(found[s], found[first], strict=True)]).value for s in (ddp, apart))
    shares = ", ".join(f"{name} {share:.0%}" for name, share in parts.items())
    record.more[o.recipe] = {"jets_per_s": found, "parts": parts}
    record.notes.append(
        f"{o.recipe}: {ratio:.2f} times with two processes, target {TARGET}: {'met' if ratio >= TARGET else 'missed'}. "
        f"Without any exchange this machine gives {ceiling:.2f}; of that, DDP reaches {ratio / ceiling:.0%}. "
        f"Parts of a step of DDP, which overlap with others: {shares}."
    )
    return rows


def memory(o: argparse.Namespace) -> tuple[list[tuple[Cell, ...]], str]:
    """Rows of the table of memory, and its note; no rows where the machine has too little."""
    size = o.wide
    # Two processes, weights, gradients, two moments and the buckets of DDP, and as much again for what lives briefly.
    needed = 2 * 2 * 5 * FP32 * 12 * BackboneConfig.sized(size).width ** 2 * size
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    if needed > free:
        return [], f"Memory was not measured: {needed / 2**30:.1f} GiB are needed, {free / 2**30:.1f} are free."
    rows: list[tuple[Cell, ...]] = []
    for kind, label in (("ddp", "DDP"), ("fsdp", "FSDP")):
        found = result(start(o, 2, size=size, parallel=kind, memory=True, budget=o.wide_budget, steps=1))
        share = 1 if kind == "ddp" else 0.5
        weights = found["parameters"] * FP32 / 2**20
        parts = (weights * share, weights * share, 2 * weights * share)
        cells = (f"{x:,.0f}" for x in (*parts, sum(parts), found["memory"] / 2**20))
        rows.append((f"{label}, {found['parameters'] / 1e6:.1f}M parameters", *cells))
        print(*rows[-1], sep=" | ", flush=True)
    first, second = (float(str(row[-1]).replace(",", "")) for row in rows)
    return rows, (
        f"Memory: two processes, AdamW, batches of {o.wide_budget} tokens, two steps; FSDP has {second / first:.2f} "
        "times the peak of DDP. DDP also holds gradients in its buckets (as many bytes as the weights) and FSDP one "
        "block's weights at a time; each process builds the whole model before it is sharded."
    )


def prepare(record: Record, o: argparse.Namespace, path: Path) -> float:
    """Write the jets with all that is asked of them, so that no training spends time on it; their mean multiplicity."""
    jets = record.read(o.data)[: o.jets]
    record.data[-1]["jets"] = len(jets)
    jets = observe(jets, SUBSTRUCTURE)
    write_batches(path, [jets], schema=jets.schema)
    o.data = str(path)
    return len(jets.field("particle.pt").values) / len(jets)


def measure(record: Record, o: argparse.Namespace) -> None:
    """Both tables and what there is to say of them."""
    rows: list[tuple[Cell, ...]] = []
    for name in o.recipes:
        o.recipe = name
        rows += speed(record, o)
    record.tables = [Table(f"Training on the CPU, size {o.size}", ("recipe", "", "jets/s", "ratio"), rows)]
    o.recipe = "jets.base"
    held, note = memory(o) if o.wide else ([], "Memory was not measured.")
    record.notes.append(note)
    if held:
        columns = ("", "weights (MiB)", "gradients (MiB)", "moments (MiB)", "sum (MiB)", "measured peak (MiB)")
        record.tables.append(Table("Memory of each of two processes", columns, held))


def main() -> None:
    """Train, time, record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--recipes", nargs="+", default=["jets.base", "jets.top"], help="what to train")
    parser.add_argument("--size", type=int, default=4, help="the dial of the body")
    parser.add_argument("--steps", type=int, default=8, help="steps that are timed; as many before them are not")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each side")
    parser.add_argument("--budget", type=int, default=8192, help="tokens of a batch, as in the recipes")
    parser.add_argument("--wide", type=int, default=18, help="the dial of the body whose memory is measured; 0: none")
    parser.add_argument("--wide-budget", type=int, default=128, help="tokens of its batches")
    parser.add_argument("--data", default="sample:jets", help="jets")
    parser.add_argument("--jets", type=int, default=4000, help="how many of them")
    inner = {"recipe": str, "threads": int, "parallel": str}
    for name, kind in inner.items():
        parser.add_argument(f"--{name}", type=kind, default={"threads": 1, "parallel": "ddp"}.get(name),
                            help=argparse.SUPPRESS)  # fmt: skip
    for name in ("worker", "profile", "memory"):
        parser.add_argument(f"--{name}", action="store_true", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.worker:
        worker(o)
        return
    if o.quick:
        o.recipes, o.size, o.steps, o.repeats, o.budget, o.jets, o.wide = ["jets.base"], 1, 1, 1, 512, 100, 2
    record = Record(o, "How much faster two processes train than one, and what each holds with and without sharding.")
    with tempfile.TemporaryDirectory() as folder:
        mean = prepare(record, o, Path(folder) / "jets.parquet")
        measure(record, o)
    record.notes.append(
        f"Median of {o.repeats} turns of {o.steps} steps, batches of {o.budget:,} tokens, about "
        f"{math.floor(o.budget / mean)} jets, in each process. More work is done in a step of two processes, so Muon's "
        "orthogonalisation, which both carry out, costs each step as much as it costs one process."
    )
    record.save()


if __name__ == "__main__":
    main()
