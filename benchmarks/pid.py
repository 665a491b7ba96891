"""A set of detector signals identifies tracks better than tables with gaps, whichever detectors are missing.

    python benchmarks/pid.py                             # simulated tracks
    python benchmarks/pid_tracks.py --data tracks.npz    # tracks of a file that knows their species

Every seed divides the tracks anew into those to train on (60%), to choose with (10%) and to measure with (30%), and all
methods get the same. Each track to train on is given twice, as it is and with every measurement dropped with
probability one half, so that all methods meet all patterns of detectors. A species is selected where its score is above
a threshold, that at which F1 is largest on the tracks to choose with. The tracks to measure with are as they are; for
the last table, measurements of these and of those to choose with are dropped at random.

Each result is kept in the record by method and seed, and a run adds what is missing: it can be made in pieces, as long
as data and budget stay the same. `--anew` makes those asked for once more.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from identifiers import METHODS, Array, Scores, Size, scored
from parts import Parts, again
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


def tracks(record: Record, o: argparse.Namespace, hidden: Sequence[str]) -> tuple[Batch, tuple[str, ...]]:
    """The tracks, with the same number for all in fields that are hidden, and their species."""
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
    for path in hidden:
        at = path.partition(".")[0]
        batch = batch.with_field(at, batch.schema.field(path), torch.zeros_like(batch.field(path).values))
    if o.limit:  # a file may have its species in order
        batch = batch[torch.randperm(len(batch), generator=torch.Generator().manual_seed(0))[: o.limit]]
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


def measure(batch: Batch, species: tuple[str, ...], name: str, seed: int, size: Size) -> dict[str, Any]:
    """F1 by species, in bins, and with fewer and fewer detectors, of one method."""
    train, valid, test = parts(batch, seed)
    labels, pt = truth_of(test, species).numpy(), test.field("track.pt").values.numpy()
    start = time.perf_counter()
    score = METHODS[name](train, valid, species, seed, size)
    seconds = time.perf_counter() - start
    thresholds = chosen(scored(score, valid), truth_of(valid, species).numpy())
    whole = scored(score, test)
    return {
        "f1": f1_of(whole, labels, thresholds), "bins": in_bins(whole, labels, thresholds, pt), "seconds": seconds,
        "accuracy": float((whole.argmax(1) == labels).mean()),
        "missing": [with_fewer(score, valid, test, species, f, seed) for f in FRACTIONS],
    }  # fmt: skip


def tables(species: tuple[str, ...], results: list[dict[str, Any]]) -> list[Table]:
    """F1 of every method, ours beside the best other, and what is left of it with measurements dropped."""
    found = {n: some for n in METHODS if (some := [r for r in results if r["method"] == n])}
    rows: list[tuple[Cell, ...]] = [
        (n, *(mean([r["f1"][i] for r in some]) for i in range(len(species))),
         mean([float(np.mean(r["f1"])) for r in some]), f"{np.mean([r['seconds'] for r in some]):.0f}")
        for n, some in found.items()
    ]  # fmt: skip
    seeds = max(len(some) for some in found.values())
    title = f"F1 of each species, mean ± standard error over {seeds} seed{'s' if seeds > 1 else ''}"
    made = [Table(title, ("method", *species, "mean", "seconds"), rows)]
    common = sorted(set.intersection(*({r["seed"] for r in some} for some in found.values())))
    if OURS in found and len(found) > 1 and common:
        same = {n: [r for s in common for r in some if r["seed"] == s] for n, some in found.items()}
        made.append(compared(same, species))
    curve = [(n, *(mean([r["missing"][i] for r in some]) for i in range(len(FRACTIONS)))) for n, some in found.items()]
    columns = ("method", *(f"{f:.0%} dropped" for f in FRACTIONS))
    return [*made, Table("Mean F1 with measurements dropped at random", columns, curve)]


def compared(found: dict[str, list[dict[str, Any]]], species: tuple[str, ...]) -> Table:
    """F1 of ours and the best other method for each species, and their difference, of the seeds that all have."""
    rows: list[tuple[Cell, ...]] = []
    for i, s in enumerate(species):
        values = {n: [r["f1"][i] for r in some] for n, some in found.items()}
        best = max((n for n in found if n != OURS), key=lambda n: float(np.mean(values[n])))
        difference = mean(np.subtract(values[OURS], values[best]).tolist())
        times = "—" if not difference.error > 0 else f"{difference.value / difference.error:.1f}"
        rows.append((s, mean(values[OURS]), best, mean(values[best]), difference, times))
    columns = ("species", OURS, "best other", "its F1", "difference", "in standard errors")
    return Table("F1 of ours beside the best other method", columns, rows)


def main(text: str, claim: str, hidden: Sequence[str] = ()) -> None:
    """Measure and record.

    Args:
        text: Help.
        claim: What the record is evidence for.
        hidden: Fields that no method sees.
    """
    parser = options_of(text, seeds=3)
    parser.add_argument("--data", help="file of tracks with their species; simulated ones if absent")
    parser.add_argument("--tracks", type=int, default=100_000, help="simulated tracks")
    parser.add_argument("--card", default="alice", help="card of the simulation")
    parser.add_argument("--limit", type=int, default=0, help="use only so many tracks")
    parser.add_argument("--methods", default="", help="only those whose names begin so, by commas")
    parser.add_argument("--dial", type=int, default=Size.dial)
    parser.add_argument("--steps", type=int, default=Size.steps)
    parser.add_argument("--lr", type=float, default=Size.lr)
    again(parser)
    o = parser.parse_args()
    size = replace(Size(), dial=o.dial, steps=o.steps, lr=o.lr)
    if o.quick:
        o.seeds, o.tracks, o.limit = 2, 3_000, 3_000
        size = Size(dial=1, steps=5, width=16, rounds=5, trees=3)
    record = Record(o, claim)
    names = [n for n in METHODS if n.startswith(tuple(o.methods.split(",")))]
    batch, species = tracks(record, o, hidden)
    seen = {n: float((batch.collections[n].lengths > 0).float().mean()) for n in batch.schema.names if n != "track"}
    record.notes.append(
        "Tracks seen by " + ", ".join(f"{n} {v:.0%}" for n, v in seen.items())
        + f"; {len(patterns(batch).unique())} patterns of detectors."
    )  # fmt: skip
    source = record.data[0]["sha256"] if o.data else {"tracks": o.tracks, "card": o.card}
    if hidden:
        record.notes.append(f"No method sees {', '.join(hidden)}.")
    settings = {"data": source, "limit": o.limit, "steps": o.steps, "lr": o.lr, "dial": o.dial}
    record.more = {"species": species, "pt_bins": PT_BINS}

    def fill(results: list[dict[str, Any]]) -> None:
        record.tables = tables(species, results)

    wanted = [(n, seed) for seed in range(o.seeds) for n in names]
    Parts(record, settings, ("method", "seed"), fill).make(
        wanted, lambda name, seed: measure(batch, species, name, seed, size)
    )


if __name__ == "__main__":
    main(__doc__ or "", "Sets of signals identify tracks at least as well as any table with gaps.")
