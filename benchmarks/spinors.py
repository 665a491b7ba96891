"""Sums of spinor brackets, scrambled, and how many are found back; amplitudes from Feynman rules; the judge.

    python benchmarks/spinors.py

The generator follows the description of arXiv 2408.04720 (`lpm.theory.spinor.example`): up to three products of equal
weights over one, Poisson powers of mean 0.75, one to three scrambles. A sum is solved if at most as many terms are left
as it was made from. Published on sums of that kind, greedy and with a beam of 20 (arXiv 2603.11164): 99.6 and 100% for
four particles, 85.8 and 97.2% for five, 55.3 and 82.3% for six. Both are of the same kind of sums, not of the same.

The steps that a search takes are ranked by what they leave (`lpm.theory.spinor.effects.priced`, the default), by a
policy (`lpm train theory.spinor`), or not at all: then all are taken. Sums that are longer than the published ones show
the difference. Policies learn from sums of other seeds.

Amplitudes of five gluons come from Feynman rules with random helicities and reference momenta, see
`lpm.theory.spinor.gluons`; they are to become the one product of Parke and Taylor. The judge is asked of equal pairs
and of pairs in which one coefficient is changed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from record import Cell, Record, Table, options_of

from lpm.metrics.migration import binomial
from lpm.model.checkpoint import load
from lpm.theory.engine import Rank
from lpm.theory.spinor import Brackets, amplitude, equal, example, parke_taylor, read, simplify
from lpm.theory.spinor.policy import policy
from lpm.theory.spinor.search import TRIED

PUBLISHED = {4: (99.6, 100.0), 5: (85.8, 97.2), 6: (55.3, 82.3)}
LONGER = ((4, 3, 10), (5, 3, 20), (5, 6, 40), (6, 3, 20), (6, 6, 40))
"""Particles, products and scrambles of sums that are longer."""

Way = tuple[str, Rank | None, int]
"""How steps are chosen: its name, what ranks them, and how many of a sum are taken."""


def main() -> None:
    """Scramble, simplify, judge, record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--sums", type=int, default=2_000, help="sums of each multiplicity")
    parser.add_argument("--longer", type=int, default=20, help="longer sums of each kind")
    parser.add_argument("--seconds", type=float, default=10.0, help="time for a search")
    parser.add_argument("--policy", default="", help="run folder or shipped model; without a policy if empty")
    parser.add_argument("--amplitudes", type=int, default=100, help="amplitudes of five gluons")
    parser.add_argument("--judged", type=int, default=100_000, help="pairs that the judge is asked of, of either kind")
    o = parser.parse_args()
    if o.quick:
        o.sums, o.longer, o.seconds, o.amplitudes, o.judged = 5, 1, 1.0, 1, 10
    record = Record(
        o, "Scrambled sums of spinor brackets, and amplitudes as they come from Feynman rules, become short."
    )
    ways: list[Way] = [("by what they leave", None, TRIED)]
    if o.policy:
        ways.append(("by a policy", policy(load(o.policy)), TRIED))
    rows = [row for n in PUBLISHED for row in scrambled(n, o.sums, ways, o.seconds)]
    longer = [row for kind in LONGER for row in far(kind, o.longer, [("all", None, ALL), *ways], o.seconds)]
    columns = (
        "particles", "sums", "terms before", "steps", "after", "greedy", "published", "beam 20", "published",
        "ms, median", "sums looked at",
    )  # fmt: skip
    record.tables = [
        Table("Scrambled sums", columns, rows),
        Table("Longer sums", ("particles", "products", "scrambles", "terms before", "steps", "greedy", "s",
                              "sums looked at", "beam 20", "s", "sums looked at"), longer),
        Table("Five gluons", ("amplitudes", "terms before", "one term left", "s, median", "longest"),
              [gluons(o.amplitudes)]),
        Table("The judge", ("pairs", "that are", "taken for equal", "ms a pair"), judge(o.judged)),
    ]  # fmt: skip
    record.notes = [
        "All results are certified at points of a finite field. Processor time on one core.",
        f"Greedy and beam as published; terms after, times and sums looked at are of the beam, at most {o.seconds:g} s "
        f"each. Of longer sums there are {o.longer} of each kind; as many are solved as are given as a fraction, s and "
        "sums looked at are means.",
    ]
    record.save()


ALL = 10**6


def told(*row: Cell) -> tuple[Cell, ...]:
    """A row of a table, printed as soon as it is there."""
    print(*row, sep="  ", flush=True)
    return row


def scrambled(n: int, count: int, ways: list[Way], seconds: float) -> list[tuple[Cell, ...]]:
    """One multiplicity."""
    rng, rows = np.random.default_rng(n), []
    sums = [example(n, rng) for _ in range(count)]
    before = sum(len(e) for _, e in sums) / count
    for name, rank, tried in ways:
        greedy = [solve(pair, 1, rank, tried, seconds) for pair in sums]
        wide = [solve(pair, 20, rank, tried, seconds) for pair in sums]
        solved = [sum(s.left <= len(pair[0]) for s, pair in zip(of, sums, strict=True)) for of in (greedy, wide)]
        rows.append(told(
            str(n), f"{count:,}", f"{before:.2f}", name, f"{np.mean([s.left for s in wide]):.2f}",
            binomial(solved[0], count), f"{PUBLISHED[n][0]}%", binomial(solved[1], count), f"{PUBLISHED[n][1]}%",
            f"{1e3 * np.median([s.seconds for s in wide]):.1f}", f"{np.mean([s.seen for s in wide]):.1f}",
        ))  # fmt: skip
    return rows


def far(kind: tuple[int, int, int], count: int, ways: list[Way], seconds: float) -> list[tuple[Cell, ...]]:
    """Sums that are longer than the published ones."""
    n, products, scrambles = kind
    rng, rows = np.random.default_rng([n, products, scrambles]), []
    sums = [example(n, rng, products=products, scrambles=scrambles) for _ in range(count)]
    before = np.mean([len(e) for _, e in sums])
    for name, rank, tried in ways:
        cells: list[Cell] = []
        for beam in (1, 20):
            done = [solve(pair, beam, rank, tried, seconds) for pair in sums]
            solved = sum(s.left <= len(pair[0]) for s, pair in zip(done, sums, strict=True))
            cells += [f"{solved}/{count}", f"{np.mean([s.seconds for s in done]):.2f}"]
            cells.append(f"{np.mean([s.seen for s in done]):,.0f}")
        rows.append(told(str(n), str(products), str(scrambles), f"{before:.0f}", name, *cells))
    return rows


@dataclass(frozen=True)
class Solved:
    """Terms left, time, and sums that were looked at."""

    left: int
    seconds: float
    seen: int


def solve(pair: tuple[Brackets, Brackets], beam: int, rank: Rank | None, tried: int, seconds: float) -> Solved:
    """Simplify a sum, and check it."""
    begun = time.process_time()
    found = simplify(pair[1], beam=beam, policy=rank, tried=tried, seconds=seconds)
    spent = time.process_time() - begun
    if not equal(found.expression, pair[1]):
        raise ValueError(f"{pair[1]} became {found.expression}, which is not equal")
    return Solved(len(found.expression), spent, found.seen)


def gluons(count: int) -> tuple[Cell, ...]:
    """Amplitudes of five gluons."""
    rng, lengths, spent, done = np.random.default_rng(0), [], [], 0
    while len(lengths) < count:
        helicities = [-1, -1, 1, 1, 1]
        rng.shuffle(helicities)
        references = [int(rng.choice([j for j in range(1, 6) if j != i])) for i in range(1, 6)]
        e = amplitude(helicities, references)
        if len(e) < 8:
            continue
        begun = time.process_time()
        found = simplify(e).expression
        spent.append(time.process_time() - begun)
        lengths.append(len(e))
        done += len(found) == 1 and equal(found, parke_taylor(helicities) * read("-1/2", 5))
    return told(
        str(count), f"{min(lengths)} to {max(lengths)}, median {np.median(lengths):.0f}", binomial(done, count),
        f"{np.median(spent):.2f}", f"{max(spent):.1f}",
    )  # fmt: skip


def judge(count: int) -> list[tuple[Cell, ...]]:
    """Equal pairs, and pairs of which one has another coefficient."""
    rng, rows = np.random.default_rng(1), []
    for kind in ("equal", "not equal"):
        taken, spent = 0, 0.0
        for i in range(count):
            simple, e = example(4 + i % 3, rng)
            if kind == "not equal":
                (m, c), *rest = simple.terms
                simple = Brackets.of(simple.n, [(m, c + Fraction(int(rng.integers(1, 99)), 7)), *rest])
            begun = time.process_time()
            taken += equal(simple, e)
            spent += time.process_time() - begun
        rows.append(told(f"{count:,}", kind, f"{taken:,}", f"{1e3 * spent / count:.2f}"))
    return rows


if __name__ == "__main__":
    main()
