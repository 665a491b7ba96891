"""A learned reduction of Feynman integrals: does its policy know the way, is it right, does its memory stay flat?

    OMP_NUM_THREADS=1 python benchmarks/learned_reduction.py

Policy: on paths with another seed than those it learned from, how often a right step is its first choice, or among its
first five; all steps that a state allows compete. On scrambled sums, as in SAILIR (arXiv 2604.05034: 91.05% and 98.98%
on paths of its own), one step is right, that which was taken; on solved integrals those of the exact reduction that
hold the target. Beside it the best plain rule we found: the step whose identity brings in the fewest integrals that are
not there yet, counted less those that are.

Reduction: integrals of the triangle-box of rising weight, each reduced by a fresh process to masters and compared with
the exact reduction of Laporta, by another fresh process. CPU seconds and peak memory are those of these processes,
without the import of libraries in the case of time.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from record import Cell, Record, Table, median, options_of
from torch import Tensor

from lpm.data.batch import Batch
from lpm.metrics.estimate import Estimate, interval
from lpm.model.checkpoint import load, resolve
from lpm.theory.ibp.driver import Work, reduce
from lpm.theory.ibp.family import read_family, show
from lpm.theory.ibp.laporta import weight
from lpm.theory.ibp.paths import PathConfig
from lpm.theory.ibp.policy import COUNTS
from lpm.theory.ibp.reduce import reduce_at
from lpm.theory.ibp.sample import PathRequest, draw
from lpm.theory.ibp.sectors import live_sectors
from lpm.theory.ibp.steps import level

FAMILY = read_family("trianglebox")
POINT = {"d": 41, "m1": 1, "m2": 31, "m3": 47}
PRIME = 2**31 - 1
HELD = 1_000_003
"""Seed of the paths that policies are judged on."""

PUBLISHED = (0.9105, 0.9898)
TARGETS = (0.91, 0.99)
FLAT, MOST = 1.3, 600.0
"""Targets: peak memory of the hardest over that of the easiest, and in MB."""

METHODS = ("learned", "laporta")


def ranks(score: Tensor, batch: Batch) -> Tensor:
    """(B,) how many steps stand before the first of those that are right; a tie counts half."""
    rows = batch.field("action.taken")
    right = torch.where(rows.values == 1, score, -torch.inf)
    taken = torch.full((len(rows),), -torch.inf).scatter_reduce(0, rows.event, right, "amax")[rows.event]
    before = (score > taken).float() + 0.5 * ((score == taken) & (rows.values != 1)).float()
    return rows.with_values(before).sum()


def judged(policy: str, states: Batch) -> dict[str, Tensor]:
    """Ranks of what was done, by the policy and by the plain rule."""
    model, out = load(policy).eval(), []
    for i in range(0, len(states), 64):
        part = states[i : i + 64]
        out.append(ranks(model.predict(part, ("step",))["step"], part))
    new, brought, present = (states.field(f"action.{n}").values for n in ("new", "brought", "present"))
    assert {"new", "brought", "present"} < set(COUNTS)
    return {"policy": torch.cat(out), "fewest new integrals": ranks(present - new - brought, states)}


def share(rank: Tensor, most: int) -> Estimate:
    """Share of states whose step is among the first `most`."""
    hit = (rank < most - 0.5).double().numpy() + 0.5 * (rank == most - 0.5).double().numpy()
    drawn = np.random.default_rng(0).integers(0, len(hit), (200, len(hit)))
    return interval(float(hit.mean()), hit[drawn].mean(1))


def integrals(count: int, seed: int) -> list[tuple[int, ...]]:
    """Integrals of live sectors of at least four lines, with up to three dots and five powers of numerators."""
    rng = np.random.default_rng(seed)
    sectors = [s for s in live_sectors(FAMILY) if s.bit_count() >= 4]
    out: set[tuple[int, ...]] = set()
    while len(out) < count:
        sector = int(rng.choice(sectors))
        index = [sector >> i & 1 for i in range(7)]
        up, down = [i for i, a in enumerate(index) if a], [i for i, a in enumerate(index) if not a]
        for places, most, sign in ((up, 3, 1), (down, 5, -1)):
            for _ in range(int(rng.integers(most + 1))):
                index[int(rng.choice(places))] += sign
        out.add(tuple(index))
    return sorted(out, key=lambda i: (sum(level(i)), weight(i)))


def work(method: str, index: tuple[int, ...], policy: str) -> dict[str, Any]:
    """What a fresh process does: the result, CPU seconds and peak memory in MB."""
    begun, lowered = time.process_time(), 0

    def tell(_: Any, __: Any) -> None:
        nonlocal lowered
        lowered += 1

    if method == "learned":
        task = Work(FAMILY, tuple(POINT.items()), PRIME, resolve(policy))
        found = reduce(task, {index: 1}, tell=tell)
    else:
        found = reduce_at(FAMILY, {index: Fraction(1)}, POINT, PRIME).terms
    return {
        "terms": {show(i): c for i, c in found.items()}, "seconds": time.process_time() - begun, "lowered": lowered,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }  # fmt: skip


def fresh(method: str, index: Sequence[int], policy: str) -> dict[str, Any]:
    """The same in a process of its own; what failed says why."""
    words = [sys.executable, __file__, "--worker", method, "--index", json.dumps(index), "--policy", policy]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    out: dict[str, Any] = json.loads(done.stdout)
    return out


def main() -> None:
    """Judge, reduce, record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--policy", default="ibp-trianglebox", help="run folder or shipped model")
    parser.add_argument("--paths", type=int, default=250, help="held-out paths; at most 250")
    parser.add_argument("--integrals", type=int, default=50, help="0 to judge the policy alone")
    parser.add_argument("--worker", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--index", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.worker:
        print(json.dumps(work(o.worker, tuple(json.loads(o.index)), o.policy)))
        return
    if o.quick:
        o.paths, o.integrals = 2, min(o.integrals, 2)
    record = Record(o, "A policy knows the way to masters; what it finds is exact, in memory that does not grow.")
    for title, solved in (("scrambled sums", 0.0), ("solved integrals", 1.0)):
        request = PathRequest(n=o.paths, family=FAMILY, seed=HELD, shown=0, config=PathConfig(solved=solved))
        states = draw(request, 0)
        record.tables.append(accuracy(title, judged(o.policy, states), PUBLISHED if not solved else None))
        lengths = states.collections["action"].lengths.double()
        record.notes.append(
            f"{title.capitalize()}: {len(states):,} states of {o.paths} paths; {lengths.mean():.0f} steps are allowed "
            f"in the mean, at most {lengths.max():.0f}."
        )
    chosen = integrals(o.integrals, HELD)
    results = [{m: fresh(m, i, o.policy) for m in METHODS} for i in chosen]
    if results:
        record.tables.append(reductions(chosen, results))
        record.notes += verdict(results)
    record.more["integrals"] = [
        {
            "integral": show(i),
            **{m: {k: v for k, v in r[m].items() if k != "terms"} for m in METHODS},
            "equal": equal(r),
        }
        for i, r in zip(chosen, results, strict=True)
    ]
    record.save()


def accuracy(title: str, found: dict[str, Tensor], published: tuple[float, float] | None) -> Table:
    """How often a right step is among the first."""
    rows: list[tuple[Cell, ...]] = [(name, share(rank, 1), share(rank, 5)) for name, rank in found.items()]
    if published:
        rows.append(("SAILIR, published", *(f"{x:.4f}" for x in published)))
    rows.append(("target", *(f"≥ {x:.2f}: {'reached' if share(found['policy'], k).value >= x else 'missed'}"
                             for k, x in zip((1, 5), TARGETS, strict=True))))  # fmt: skip
    return Table(f"A right step among all that are allowed: {title}", ("", "first choice", "among five"), rows)


def equal(result: dict[str, dict[str, Any]]) -> bool:
    """Whether both found the same."""
    return "failed" not in result["learned"] and result["learned"]["terms"] == result["laporta"]["terms"]


def reductions(chosen: list[tuple[int, ...]], results: list[dict[str, dict[str, Any]]]) -> Table:
    """Integrals in groups of rising weight."""
    rows: list[tuple[Cell, ...]] = []
    for group in np.array_split(np.arange(len(chosen)), min(5, len(chosen))):
        some = [results[i] for i in group]
        done = [r for r in some if "failed" not in r["learned"]]
        weights = [sum(level(chosen[i])) for i in group]
        rows.append((
            f"{min(weights)} to {max(weights)}", f"{sum(map(equal, some))} of {len(some)}",
            median([r["learned"]["lowered"] for r in done] or [0]),
            *(cell for m in METHODS for cell in (median([r[m]["seconds"] for r in done] or [0]),
                                                 f"{max([r[m]['peak'] for r in done] or [0]):.0f}")),
        ))  # fmt: skip
    columns = ("weight", "equal", "integrals lowered", "learned (CPU s)", "peak (MB)", "Laporta (CPU s)", "peak (MB)")
    return Table("Reduction to masters, groups of rising weight: sum of all indices without sign", columns, rows)


def verdict(results: list[dict[str, dict[str, Any]]]) -> list[str]:
    """Targets, met or missed."""
    peaks = {m: [r[m]["peak"] for r in results if "failed" not in r["learned"]] for m in METHODS}
    right, failed = sum(map(equal, results)), [r["learned"]["failed"] for r in results if "failed" in r["learned"]]
    growth = {m: max(p) / min(p) for m, p in peaks.items()}
    flat = growth["learned"] <= FLAT and max(peaks["learned"]) <= MOST
    return [
        f"{right} of {len(results)} equal to Laporta" + (f"; not reduced: {'; '.join(failed)}" if failed else "") + ".",
        f"Peak memory of a process, hardest over easiest: learned {growth['learned']:.2f} (at most "
        f"{max(peaks['learned']):.0f} MB), Laporta {growth['laporta']:.2f} (at most {max(peaks['laporta']):.0f} MB); "
        f"target ≤ {FLAT} and ≤ {MOST:.0f} MB: {'met' if flat else 'missed'}.",
    ]


if __name__ == "__main__":
    main()
