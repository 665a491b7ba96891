"""A learned reduction of Feynman integrals: does its policy know the way, is it right, does its memory stay flat?

    OMP_NUM_THREADS=1 python benchmarks/learned_reduction.py

Policy: on paths with another seed than those it learned from, how often a right step is its first choice, or among its
first five; all steps that a state allows compete. On scrambled sums, as in SAILIR (arXiv 2604.05034: 91.05% and 98.98%
on paths of its own), one step is right, that which was taken; on solved integrals those of the exact reduction that
hold the target. Beside it the best plain rule we found: the step whose identity brings in the fewest integrals that are
not there yet, counted less those that are.

Reduction: integrals of the triangle-box of rising weight, none a master and none that a path of training began with.
Each is reduced to masters by processes of its own and compared with the exact reduction of Laporta, by another one.
What was found of integrals on the way to earlier ones is not looked for again, as in the command line with `--memo`.
CPU seconds are those of the workers, and of the whole of Laporta, without the import of libraries. Peak memory is that
of a worker, and that of the process of Laporta; libraries are included, the same in both. A run that was cut goes on
from `--work`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import Cell, Record, Table, options_of
from torch import Tensor

from lpm.data.batch import Batch
from lpm.metrics.estimate import Estimate, interval
from lpm.model.checkpoint import load, resolve
from lpm.records.environment import peak_memory
from lpm.theory.ibp.driver import Answer, Memo, Work, reduce
from lpm.theory.ibp.family import Index, read_family, show
from lpm.theory.ibp.paths import PathConfig, masters
from lpm.theory.ibp.policy import COUNTS
from lpm.theory.ibp.reduce import reduce_at
from lpm.theory.ibp.sample import CHUNK, PathRequest, draw
from lpm.theory.ibp.sectors import live_sectors
from lpm.theory.ibp.steps import level, weight

FAMILY = read_family("trianglebox")
POINT = {"d": 41, "m1": 1, "m2": 31, "m3": 47}
PRIME = 2**31 - 1
HELD = 1_000_003
"""Seed of the paths that policies are judged on."""

PUBLISHED = (0.9105, 0.9898)
TARGETS = (0.91, 0.99)
FLAT, MOST = 1.3, 600.0
"""Targets: peak memory of the hardest over that of the easiest, and in MB."""

LEARNED = 6
"""Seed of the 1,500 paths that the shipped policy learned from."""

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


def learned_from(seed: int, n: int) -> set[Index]:
    """Integrals with which the paths begin that the shipped policy learned from."""
    out: set[Index] = set()
    request = PathRequest(n=n, family=FAMILY, seed=seed)
    for chunk in range(-(-n // CHUNK)):
        states = draw(request, chunk)
        columns = [states.field(f"state.{name}").values for name in ("terms", "solved")]
        alone = (columns[0] == 1) & (columns[1] == 0)
        index = torch.stack([states.field(f"state.a{i}").values for i in range(1, 8)], 1)[alone]
        out |= {tuple(map(int, row)) for row in index.tolist()}
    return out


def integrals(count: int, seed: int, out_of: frozenset[Index] = frozenset()) -> list[Index]:
    """Integrals of live sectors of at least four lines, with up to three dots and five powers of numerators.

    Masters are left out, and those `out_of` question.
    """
    left_out = masters(FAMILY, POINT) | out_of
    rng = np.random.default_rng(seed)
    sectors = [s for s in live_sectors(FAMILY) if s.bit_count() >= 4]
    out: set[Index] = set()
    while len(out) < count:
        sector = int(rng.choice(sectors))
        index = [sector >> i & 1 for i in range(7)]
        up, down = [i for i, a in enumerate(index) if a], [i for i, a in enumerate(index) if not a]
        for places, most, sign in ((up, 3, 1), (down, 5, -1)):
            for _ in range(int(rng.integers(most + 1))):
                index[int(rng.choice(places))] += sign
        if tuple(index) not in left_out:
            out.add(tuple(index))
    return sorted(out, key=lambda i: (sum(level(i)), weight(i)))


def work(method: str, index: Index, o: argparse.Namespace) -> dict[str, Any]:
    """What a fresh process does: the result, CPU seconds and peak memory in MB."""
    if method == "laporta":
        begun = time.process_time()
        found = reduce_at(FAMILY, {index: Fraction(1)}, POINT, PRIME).terms
        seconds, peak = time.process_time() - begun, peak_memory() / 1e6
        return {"terms": {show(i): c for i, c in found.items()}, "seconds": seconds, "peak": peak}
    answers: list[Answer] = []
    task = Work(FAMILY, tuple(POINT.items()), PRIME, resolve(o.policy))
    memo = Memo(task, o.work / "memo.jsonl")
    known = len(memo.known)
    found = reduce(task, {index: 1}, workers=2, memo=memo, tell=lambda _, answer: answers.append(answer))
    return {
        "terms": {show(i): c for i, c in found.items()}, "seconds": sum(a.seconds for a in answers),
        "lowered": len(answers), "known": known, "searched": sum(bool(a.lowered.steps) for a in answers),
        "steps": sum(len(a.lowered.steps) for a in answers), "peak": max((a.peak for a in answers), default=0) / 1e6,
    }  # fmt: skip


def fresh(method: str, index: Index, o: argparse.Namespace, seconds: float | None) -> dict[str, Any]:
    """The same in a process of its own, ended after some seconds; what failed says why."""
    words = [sys.executable, __file__, "--worker", method, "--index", json.dumps(index), "--policy", o.policy]
    done = subprocess.run([*words, "--work", str(o.work)], capture_output=True, text=True, check=False,
                          timeout=seconds)  # fmt: skip
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    out: dict[str, Any] = json.loads(done.stdout)
    return out


def reduced(o: argparse.Namespace, begun: float) -> list[dict[str, Any]]:
    """Integrals one after the other until time is up, each printed as it comes; what is in the folder is kept."""
    beside, done = o.work / "training.json", o.work / "integrals.jsonl"
    if not beside.exists():
        beside.write_text(json.dumps(sorted(learned_from(LEARNED, 2 if o.quick else 1500))), encoding="utf-8")
    chosen = integrals(o.integrals, HELD, frozenset(map(tuple, json.loads(beside.read_text(encoding="utf-8")))))
    lines = done.read_text(encoding="utf-8").splitlines() if done.exists() else []
    kept = map(json.loads, lines)
    results: list[dict[str, Any]] = [r | {"index": tuple(r["index"])} for r in kept]
    assert [r["index"] for r in results] == chosen[: len(results)], f"{o.work}: holds other integrals"
    for index in chosen[len(results) :]:
        left = 60 * o.minutes - (time.monotonic() - begun) if o.minutes else None
        try:
            result: dict[str, Any] = {"index": index, **{m: fresh(m, index, o, left) for m in METHODS}}
        except subprocess.TimeoutExpired:
            break
        results.append(result)
        with done.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
        print(len(results), show(index), "equal" if equal(result) else "NOT EQUAL", *(
            {k: v for k, v in result[m].items() if k != "terms"} for m in METHODS), flush=True)  # fmt: skip
    return results


def main() -> None:
    """Judge, reduce, record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--policy", default="ibp-trianglebox", help="run folder or shipped model")
    parser.add_argument("--paths", type=int, default=250, help="held-out paths; at most 250")
    parser.add_argument("--integrals", type=int, default=50, help="0 to judge the policy alone")
    parser.add_argument("--minutes", type=float, default=0, help="end after so many, with what is there; 0 for no end")
    parser.add_argument("--work", type=Path, help="folder of what is found; a run that was cut goes on from there")
    parser.add_argument("--worker", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--index", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.worker:
        print(json.dumps(work(o.worker, tuple(json.loads(o.index)), o)))
        return
    if o.quick:
        o.paths, o.integrals = 2, min(o.integrals, 2)
    record = Record(o, "A policy knows the way to masters; what it finds is exact, in memory that does not grow.")
    judge(record, o)
    if o.integrals:
        with tempfile.TemporaryDirectory() as folder:
            o.work = o.work or Path(folder)
            o.work.mkdir(parents=True, exist_ok=True)
            results = reduced(o, time.monotonic())
        record.tables.append(reductions(results))
        record.notes += verdict(results, o.integrals)
        record.more["integrals"] = [
            {
                "integral": show(r["index"]), "weight": list(level(r["index"])),
                **{m: {k: v for k, v in r[m].items() if k != "terms"} for m in METHODS}, "equal": equal(r),
            }
            for r in results
        ]  # fmt: skip
    record.save()


def judge(record: Record, o: argparse.Namespace) -> None:
    """How often the policy is right, on both kinds of paths."""
    for title, solved in (("scrambled sums", 0.0), ("solved integrals", 1.0)):
        request = PathRequest(n=o.paths, family=FAMILY, seed=HELD, shown=0, config=PathConfig(solved=solved))
        states = draw(request, 0)
        record.tables.append(accuracy(title, judged(o.policy, states), PUBLISHED if not solved else None))
        lengths = states.collections["action"].lengths.double()
        record.notes.append(
            f"{title.capitalize()}: {len(states):,} states of {o.paths} paths; {lengths.mean():.0f} steps are allowed "
            f"in the mean, at most {lengths.max():.0f}."
        )


def accuracy(title: str, found: dict[str, Tensor], published: tuple[float, float] | None) -> Table:
    """How often a right step is among the first."""
    rows: list[tuple[Cell, ...]] = [(name, share(rank, 1), share(rank, 5)) for name, rank in found.items()]
    if published:
        rows.append(("SAILIR, published", *(f"{x:.4f}" for x in published)))
    rows.append(("target", *(f"≥ {x:.2f}: {'reached' if share(found['policy'], k).value >= x else 'missed'}"
                             for k, x in zip((1, 5), TARGETS, strict=True))))  # fmt: skip
    return Table(f"A right step among all that are allowed: {title}", ("", "first choice", "among five"), rows)


def equal(result: dict[str, Any]) -> bool:
    """Whether both found the same."""
    return "failed" not in result["learned"] and result["learned"]["terms"] == result["laporta"]["terms"]


def lowest(result: dict[str, Any]) -> float:
    """Peak memory of a worker of the learned reduction; not a number if it had nothing to do."""
    return float(result["learned"].get("peak") or "nan")


def reductions(results: list[dict[str, Any]]) -> Table:
    """Integrals in groups of rising weight."""
    rows: list[tuple[Cell, ...]] = []
    for group in np.array_split(np.arange(len(results)), min(5, len(results))):
        some = [results[i] for i in group]
        done = [r for r in some if "failed" not in r["learned"]]
        weights = [sum(level(r["index"])) for r in some]
        rows.append((
            f"{min(weights)} to {max(weights)}", f"{sum(map(equal, some))} of {len(some)}",
            f"{sum(r['learned']['lowered'] for r in done):,}",
            f"{sum(r['learned']['seconds'] for r in done):,.0f}", f"{np.nanmax([*map(lowest, done), 0]):.0f}",
            f"{sum(r['laporta']['seconds'] for r in done):,.0f}", f"{max(r['laporta']['peak'] for r in some):.0f}",
        ))  # fmt: skip
    columns = ("weight", "equal", "integrals lowered", "learned (CPU s)", "peak (MB)", "Laporta (CPU s)", "peak (MB)")
    return Table("Reduction to masters, groups of rising weight: sum of all indices without sign", columns, rows)


def verdict(results: list[dict[str, Any]], asked: int) -> list[str]:
    """Targets, met or missed."""
    done = [r for r in results if "failed" not in r["learned"]]
    failed = [r["learned"]["failed"] for r in results if "failed" in r["learned"]]
    peaks = {"learned": [p for p in map(lowest, done) if p > 0], "laporta": [r["laporta"]["peak"] for r in done]}
    growth = {m: max(p) / min(p) for m, p in peaks.items()}
    flat = growth["learned"] <= FLAT and max(peaks["learned"]) <= MOST
    reached = "met" if len(results) == asked else "kept by the easiest ones, which says little of the others"
    lowered = sum(r["learned"]["lowered"] for r in done)
    seconds = sum(r["learned"]["seconds"] for r in done)
    free = lowered - sum(r["learned"]["searched"] for r in done)
    whole = "" if len(results) == asked else f" Time ran out after {len(results)} of {asked}: missed."
    return [
        f"{sum(map(equal, results))} of {len(results)} equal to Laporta"
        + (f"; not reduced: {'; '.join(failed)}" if failed else "") + f".{whole}",
        f"{lowered:,} integrals lowered, {seconds / max(1, lowered):.3f} CPU s each; {free:,} of them had been solved "
        "on the way to others.",
        f"Peak memory of a process, largest over smallest: learned {growth['learned']:.2f} (at most "
        f"{max(peaks['learned']):.0f} MB), Laporta {growth['laporta']:.2f} (at most {max(peaks['laporta']):.0f} MB); "
        f"target ≤ {FLAT} and ≤ {MOST:.0f} MB: {reached if flat else 'missed'}.",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
