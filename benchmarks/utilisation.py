"""How much of a GPU a training uses: the share of its peak (MFU), and the share of time in which it waits for data.

    python benchmarks/utilisation.py
    python benchmarks/utilisation.py --size 32 --budget 16384 --compile

Trains `jets.base` on the sample that comes with lpm, by the loop and from the files that any training takes, for so few
steps that nothing is learned: only speed counts. The first reports, in which kernels are chosen and compiled, are left
out. MFU counts the products of matrices in the backbone, every pass over the jet, and attention without padding
(`lpm.train.pace`); heads are left out. On a device whose peak is not known there is no MFU.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from record import Cell, Record, Table, median, options_of

from lpm.metrics.estimate import Estimate
from lpm.recipes import RECIPES
from lpm.recipes.execute import execute

SHARE, WAIT = 0.4, 0.03
"""Least share of the peak, and largest share of time spent waiting for data."""


def main() -> None:
    """Train, report, record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--size", type=int, default=21, help="the dial; 21 are 114 million parameters in the backbone")
    parser.add_argument("--budget", type=int, default=32_768, help="tokens of a batch")
    parser.add_argument("--steps", type=int, default=100, help="steps of training")
    parser.add_argument("--every", type=int, default=10, help="steps of a report")
    parser.add_argument("--skip", type=int, default=4, help="reports left out at the beginning")
    parser.add_argument("--compile", action="store_true", help="compile the model")
    parser.add_argument("--optimiser", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    o = parser.parse_args()
    if o.quick:
        o.size, o.budget, o.steps, o.every, o.skip = 1, 256, 4, 1, 1
        o.device = "cuda" if torch.cuda.is_available() else "cpu"
    if o.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: there is none here; --device cpu or --quick tries the program")
    record = Record(o, "A large model on one GPU uses its arithmetic, and does not wait for data.")
    run = RECIPES["jets.base"](size=o.size)
    train = replace(run.train, steps=o.steps, warmup=min(run.train.warmup, o.steps // 2), log_every=o.every,
                    valid_every=0, save_every=0, compile=o.compile, optimiser=o.optimiser)  # fmt: skip
    run = replace(run, data=replace(run.data, budget=o.budget), train=train)
    reports: list[dict[str, Any]] = []

    def tell(event: str, **content: Any) -> None:
        if event in ("step", "out_of_memory"):
            print(event, {k: v for k, v in content.items() if k != "loss"}, flush=True)
        if event == "step":
            reports.append(content)

    with tempfile.TemporaryDirectory() as folder:
        model = execute(run, Path(folder) / "run", device=o.device, tell=tell)
    parameters = sum(p.numel() for p in model.parameters())
    kept = reports[o.skip :]

    def over(name: str) -> Cell:
        values = [r[name] for r in kept if name in r]
        return median(values) if values else "—"

    mfu, waited = over("mfu"), over("data_wait")
    name = torch.cuda.get_device_name() if o.device == "cuda" else "the CPU"
    cells = (f"{parameters / 1e6:,.0f}M", over("events_per_s"), over("tokens_per_s"), over("tflop_per_s"), mfu, waited)
    record.tables = [
        Table(f"jets.base at dial {o.size} on {name}, batches of {o.budget:,} tokens",
              ("parameters", "jets/s", "tokens/s", "TFLOP/s", "MFU", "waiting for data"), [cells])
    ]  # fmt: skip
    record.notes = [
        f"Median of {len(kept)} reports of {o.every} steps; {o.optimiser}{', compiled' if o.compile else ''}.",
        f"Targets: an MFU of {SHARE:.0%} or more, {told(mfu, lambda v: v >= SHARE)}; less than {WAIT:.0%} of the time "
        f"spent waiting for data, {told(waited, lambda v: v < WAIT)}.",
    ]
    record.save()


def told(cell: Cell, good: Callable[[float], bool]) -> str:
    """Whether a target is reached."""
    if not isinstance(cell, Estimate):
        return "not measured"
    return "reached" if good(cell.value) else "missed"


if __name__ == "__main__":
    main()
