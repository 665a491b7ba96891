"""Muon needs a fraction of AdamW's steps: the validation loss of the same body, same jets, same order, same schedule.

    python benchmarks/optimisers.py --steps 300

Each optimiser is tried at several peak learning rates and each rate with its own cosine over all steps, so that a bad
rate is not taken for a bad optimiser. The loss is that of the next particle, for 6% of the jets, in nats for each
particle of a typical jet of 50. Seconds are those of the training alone, validation included.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from record import Cell, Record, Table, mean, options_of

from lpm.data.batch import Batch
from lpm.recipes import DataConfig, RunConfig
from lpm.recipes import jets as jets_recipes
from lpm.recipes.execute import execute

RATES: dict[Literal["adamw", "muon"], tuple[float, ...]] = {"adamw": (2e-3, 4e-3), "muon": (1e-2, 2e-2)}


def losses(run: RunConfig, jets: Batch) -> tuple[list[int], list[float], float]:
    """Steps and losses of the validations of one training, and its seconds."""
    found: list[tuple[int, float]] = []

    def tell(event: str, **content: Any) -> None:
        if event == "valid":
            found.append((content["step"], content["loss"]["next"]))

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        execute(run, Path(folder), batch=jets, tell=tell)
        seconds = time.perf_counter() - start
    return [s for s, _ in found], [v for _, v in found], seconds


def main() -> None:
    """Train with every optimiser, rate and seed, and record."""
    parser = options_of(__doc__ or "", seeds=2)
    parser.add_argument("--steps", type=int, default=300, help="steps of each training")
    parser.add_argument("--size", type=int, default=3, help="the dial of the body")
    parser.add_argument("--data", default="sample:jets", help="jets; no label is used")
    o = parser.parse_args()
    if o.quick:
        o.steps, o.size, o.seeds = 2, 1, 2
    record = Record(o, "Muon needs a fraction of AdamW's steps.")
    jets = record.read(o.data)
    base = jets_recipes.base(o.size, observe=False)
    model = replace(base.model, condition=None)
    data = DataConfig(train=(o.data,), budget=5_000, held=0.06)
    every = max(1, o.steps // 3)
    rows: list[tuple[Cell, ...]] = []
    curves: dict[str, Any] = {}
    for optimiser, rates in RATES.items():
        for lr in rates[: 1 if o.quick else None]:
            train = replace(
                base.train, steps=o.steps, lr=lr, optimiser=optimiser, warmup=max(1, o.steps // 10), ema=0.98,
                valid_every=every, save_every=0,
            )  # fmt: skip
            runs = [losses(replace(base, model=model, data=data, train=train, seed=s), jets) for s in range(o.seeds)]
            steps = runs[0][0]
            at = [mean([values[i] for _, values, _ in runs]) for i in range(len(steps))]
            rows.append((f"{optimiser}, {lr:g}", *at, mean([seconds for *_, seconds in runs])))
            curves[f"{optimiser}, {lr:g}"] = {"steps": steps, "all": [values for _, values, _ in runs]}
            print(*rows[-1], sep=" | ", flush=True)
    columns = ("optimiser, peak rate", *(f"after {s} steps" for s in steps), "seconds")
    record.tables = [Table(f"Validation loss, mean ± standard error over {o.seeds} seeds", columns, rows)]
    record.more["curves"] = curves
    record.save()


if __name__ == "__main__":
    main()
