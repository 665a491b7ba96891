"""A set of detector signals identifies tracks better than tables with gaps, whichever detectors are missing.

    python benchmarks/pid.py                      # simulated tracks
    python benchmarks/pid.py --data tracks.npz    # tracks of a file that knows their species

Every seed divides the tracks anew into those to train on (60%), to choose with (10%) and to measure with (30%), and all
methods get the same. Each track to train on is given twice, as it is and with every measurement dropped with
probability one half, so that all methods meet all patterns of detectors. A species is selected where its score is above
a threshold, that at which F1 is largest on the tracks to choose with. The tracks to measure with are as they are; for
the last table, measurements of these and of those to choose with are dropped at random.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from identifiers import METHODS, Array, Scores, Size, scored
from record import Cell, Record, Table, mean, options_of, short

from lpm.data.batch import Batch
from lpm.data.io import open_file
from lpm.metrics.identification import best_threshold, selection
from lpm.records.hashing import hash_file
from lpm.sim.pid import simulate
from lpm.tasks.pid import PT_BINS, patterns, truth_of, without

OURS = next(iter(METHODS))
FRACTIONS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7)


def f1_of(scores: Array, labels: Array, thresholds: list[float]) -> list[float]:
    """F1 of each species."""
    return [selection(scores[:, i] >= t, labels == i, samples=2)["f1"].value for i, t in enumerate(thresholds)]


def chosen(scores: Array, labels: Array) -> list[float]:
    """The threshold of each species at which its F1 is largest."""
    return [best_threshold(scores[:, i], labels == i) for i in range(scores.shape[1])]


def with_fewer(score: Scores, valid: Batch, test: Batch, species: tuple[str, ...], fraction: float, seed: int) -> float:
    """Mean F1 where measurements are dropped, of the tracks to choose thresholds with as of those to measure with."""
    fewer = [without(b, fraction, seed) for b in (valid, test)]
    (on_valid, on_test), labels = ([scored(score, b) for b in fewer], [truth_of(b, species).numpy() for b in fewer])
    return float(np.mean(f1_of(on_test, labels[1], chosen(on_valid, labels[0]))))


def tracks(record: Record, o: argparse.Namespace) -> tuple[Batch, tuple[str, ...]]:
    """The tracks and their species."""
    if o.data:
        with open_file(o.data) as reader:
            batch = Batch.cat(list(reader.batches()))
        species = batch.schema.field("track.species").labels
        record.data.append(
            {"name": short(o.data), "sha256": hash_file(Path(o.data)), "events": "tracks", "jets": len(batch)}
        )
    else:
        batch = simulate(o.tracks, seed=2026, card=o.card)
        species = tuple(s for s in batch.schema.field("track.species").labels
                        if bool((truth_of(batch, (s,)) == 0).any()))  # fmt: skip
        record.notes.append(f"{o.tracks:,} simulated tracks: `lpm.sim.pid.simulate({o.tracks}, 2026, {o.card!r})`.")
    batch = batch[: o.limit] if o.limit else batch
    return batch, species


def parts(batch: Batch, seed: int) -> tuple[Batch, Batch, Batch]:
    """Tracks to train on, to choose with and to measure with."""
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(1000 + seed))
    a, b = int(0.6 * len(batch)), int(0.7 * len(batch))
    train = batch[order[:a]]
    return Batch.cat([train, without(train, 0.5, seed)]), batch[order[a:b]], batch[order[b:]]


def in_bins(scores: Array, labels: Array, thresholds: list[float], pt: Array) -> list[list[float | None]]:
    """F1 of each species in bins of transverse momentum; None where it has no tracks and none is taken for it."""
    out: list[list[float | None]] = [[] for _ in thresholds]
    for low, high in pairwise(PT_BINS):
        inside = (pt >= low) & (pt < high)
        values = f1_of(scores[inside], labels[inside], thresholds) if inside.any() else [np.nan] * len(thresholds)
        for row, v in zip(out, values, strict=True):
            row.append(float(v) if np.isfinite(v) else None)
    return out


def measure(
    batch: Batch, species: tuple[str, ...], names: list[str], seed: int, size: Size
) -> dict[str, dict[str, Any]]:
    """F1 by species, in bins, and with fewer and fewer detectors, of every method."""
    train, valid, test = parts(batch, seed)
    labels = truth_of(test, species).numpy()
    pt, out = test.field("track.pt").values.numpy(), {}
    for name in names:
        start = time.perf_counter()
        score = METHODS[name](train, valid, species, seed, size)
        seconds = time.perf_counter() - start
        thresholds = chosen(scored(score, valid), truth_of(valid, species).numpy())
        whole_scores = scored(score, test)
        whole = f1_of(whole_scores, labels, thresholds)
        out[name] = {
            "f1": whole, "bins": in_bins(whole_scores, labels, thresholds, pt), "seconds": seconds,
            "accuracy": float((whole_scores.argmax(1) == labels).mean()),
            "missing": [with_fewer(score, valid, test, species, f, seed) for f in FRACTIONS],
        }  # fmt: skip
        print(f"seed {seed} {name:24s} {seconds:6.1f} s  accuracy {out[name]['accuracy']:.4f}  F1 "
              + " ".join(f"{s} {v:.4f}" for s, v in zip(species, whole, strict=True)), flush=True)  # fmt: skip
    return out


def compared(found: list[dict[str, dict[str, Any]]], species: tuple[str, ...], names: list[str]) -> Table:
    """F1 of ours and the best other method for each species, and their difference seed by seed."""
    rows: list[tuple[Cell, ...]] = []
    for i, s in enumerate(species):
        values = {n: [f[n]["f1"][i] for f in found] for n in names}
        best = max((n for n in names if n != OURS), key=lambda n: float(np.mean(values[n])))
        difference = mean(np.subtract(values[OURS], values[best]).tolist())
        times = "—" if not difference.error > 0 else f"{difference.value / difference.error:.1f}"
        rows.append((s, mean(values[OURS]), best, mean(values[best]), difference, times))
    columns = ("species", OURS, "best other", "its F1", "difference", "in standard errors")
    return Table("F1 of ours beside the best other method", columns, rows)


def main() -> None:
    """Measure and record."""
    parser = options_of(__doc__ or "", seeds=3)
    parser.add_argument("--data", help="file of tracks with their species; simulated ones if absent")
    parser.add_argument("--tracks", type=int, default=100_000, help="simulated tracks")
    parser.add_argument("--card", default="alice", help="card of the simulation")
    parser.add_argument("--limit", type=int, default=0, help="use only so many tracks")
    parser.add_argument("--methods", default="", help="only those whose names begin so, by commas")
    parser.add_argument("--dial", type=int, default=Size.dial)
    parser.add_argument("--steps", type=int, default=Size.steps)
    parser.add_argument("--lr", type=float, default=Size.lr)
    o = parser.parse_args()
    size = replace(Size(), dial=o.dial, steps=o.steps, lr=o.lr)
    if o.quick:
        o.seeds, o.tracks, o.limit = 2, 3_000, 3_000
        size = Size(dial=1, steps=5, width=16, rounds=5, trees=3)
    record = Record(o, "Sets of signals identify tracks at least as well as any table with gaps.")
    asked = tuple(o.methods.split(","))
    names = [n for n in METHODS if n.startswith(asked)]
    batch, species = tracks(record, o)
    found = [measure(batch, species, names, seed, size) for seed in range(o.seeds)]
    rows = [
        (n, *(mean([f[n]["f1"][i] for f in found]) for i in range(len(species))),
         mean([float(np.mean(f[n]["f1"])) for f in found]), f"{np.mean([f[n]['seconds'] for f in found]):.0f}")
        for n in names
    ]  # fmt: skip
    title = f"F1 of each species, mean ± standard error over {o.seeds} seeds"
    record.tables = [Table(title, ("method", *species, "mean", "seconds"), rows)]
    if OURS in names and len(names) > 1:
        record.tables.append(compared(found, species, names))
    curve = [(n, *(mean([f[n]["missing"][i] for f in found]) for i in range(len(FRACTIONS)))) for n in names]
    columns = ("method", *(f"{f:.0%} dropped" for f in FRACTIONS))
    record.tables.append(Table("Mean F1 with measurements dropped at random", columns, curve))
    seen = {n: float((batch.collections[n].lengths > 0).float().mean()) for n in batch.schema.names if n != "track"}
    record.notes += [
        "Tracks seen by " + ", ".join(f"{n} {v:.0%}" for n, v in seen.items())
        + f"; {len(patterns(batch).unique())} patterns of detectors.",
    ]  # fmt: skip
    record.more = {"species": species, "pt_bins": PT_BINS, "found": found}
    record.save()


if __name__ == "__main__":
    main()
