"""Sums of dilogarithms, scrambled as published, and how many are found back.

    python benchmarks/dilogarithms.py

The generator is that of arXiv 2206.04115 and 2603.11164: simple sums of 0, 1, 2 and 3 terms, with 2, 1, 1 and 1 pairs
of terms that cancel, scrambled by 5, 5, 6 and 7 identities, in equal parts. A sum is solved if at most as many terms
are left as it was made from. Published on such sums: 4,994 of 5,000 by a transformer that chooses steps (arXiv
2603.11164), 4,597 of 5,000 by a sequence model. Each result is certified by its symbol, exactly. Then more scrambles
are tried. The judge is asked of equal pairs and of pairs in which one coefficient is changed.
"""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
from record import Cell, Record, Table, options_of

from lpm.metrics.migration import binomial
from lpm.model.checkpoint import load
from lpm.theory.dilog import Dilogs, equal, example, simplify
from lpm.theory.dilog.policy import policy
from lpm.theory.engine import Rank

MIX = ((0, 2, 5), (1, 1, 5), (2, 1, 6), (3, 1, 7))
DEEPER = (10, 15, 20)


def main() -> None:
    """Scramble, simplify, count, record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--sums", type=int, default=5_000, help="sums of the published mix")
    parser.add_argument("--deeper", type=int, default=200, help="sums of each larger number of scrambles")
    parser.add_argument("--policy", default="", help="run folder or shipped model that ranks steps; none if empty")
    parser.add_argument("--judged", type=int, default=100_000, help="pairs that the judge is asked of, of either kind")
    o = parser.parse_args()
    if o.quick:
        o.sums, o.deeper, o.judged = 8, 2, 10
    rank = policy(load(o.policy)) if o.policy else None
    record = Record(o, "Scrambled sums of dilogarithms are brought back to as few terms as they were made from.")
    kinds = [("published mix", MIX, o.sums, 0)]
    kinds += [(f"2 terms, {n} scrambles", ((2, 1, n),), o.deeper, n) for n in DEEPER]
    rows = [row(*kind) for kind in kinds]
    if rank:
        rows += [row(f"{name}, with a policy", *kind, rank) for name, *kind in kinds]
    columns = ("sums", "solved", "share", "terms before", "terms after", "milliseconds, median", "longest")
    record.tables = [
        Table("Dilogarithms", ("", *columns), rows),
        Table("The judge of dilogarithms", ("pairs", "that are", "taken for equal", "ms a pair"), judge(o.judged)),
    ]
    record.notes = [
        "All results are certified: the symbols of both sums are equal. Processor time on one core.",
        "Found by search over classes of six arguments; without a learned policy unless it says so.",
    ]
    record.save()


def row(
    name: str, mix: tuple[tuple[int, int, int], ...], count: int, seed: int, rank: Rank | None = None
) -> tuple[Cell, ...]:
    """One line of the table: sums with seeds of their own."""
    rng = np.random.default_rng(seed)
    solved, before, after, spent = 0, 0, 0, []
    for i in range(count):
        simple, e = example(*mix[i % len(mix)], rng)
        begun = time.process_time()
        found = simplify(e, policy=rank).expression
        spent.append(time.process_time() - begun)
        if not equal(found, e):
            raise ValueError(f"{e} became {found}, which is not equal")
        solved += len(found) <= len(simple)
        before, after = before + len(e), after + len(found)
    times = np.array(spent) * 1e3
    return (
        name, f"{count:,}", f"{solved:,}", binomial(solved, count), f"{before / count:.2f}", f"{after / count:.2f}",
        f"{np.median(times):.1f}", f"{times.max():.0f}",
    )  # fmt: skip


def judge(count: int) -> list[tuple[Cell, ...]]:
    """Equal pairs, and pairs of which one has another coefficient."""
    rng, rows = np.random.default_rng(1), []
    for kind in ("equal", "not equal"):
        taken, spent = 0, 0.0
        for i in range(count):
            simple, e = example(*MIX[i % len(MIX)], rng)
            while not len(e):  # all has cancelled: there is nothing to judge
                simple, e = example(*MIX[i % len(MIX)], rng)
            if kind == "not equal":
                argument, _ = e.terms[0]
                simple = Dilogs.of([*simple.terms, (argument, Fraction(int(rng.integers(1, 99)), 7))])
            begun = time.process_time()
            taken += equal(simple, e)
            spent += time.process_time() - begun
        rows.append((f"{count:,}", kind, f"{taken:,}", f"{1e3 * spent / count:.2f}"))
        print(*rows[-1], sep="  ", flush=True)
    return rows


if __name__ == "__main__":
    main()
