"""Sums of spinor brackets, scrambled, and how many are found back; amplitudes from Feynman rules; the judge.

    python benchmarks/spinors.py

The generator follows the description of arXiv 2408.04720 (`lpm.theory.spinor.example`): up to three products of equal
weights over one, Poisson powers of mean 0.75, one to three scrambles. A sum is solved if at most as many terms are left
as it was made from. Published on sums of that kind, greedy and with a beam of 20 (arXiv 2603.11164): 99.6 and 100% for
four particles, 85.8 and 97.2% for five, 55.3 and 82.3% for six. Both are of the same kind of sums, not of the same.

Amplitudes of five gluons come from Feynman rules with random helicities and reference momenta, see
`lpm.theory.spinor.gluons`; they are to become the one product of Parke and Taylor. The judge is asked of equal pairs
and of pairs in which one coefficient is changed.
"""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
from record import Cell, Record, Table, options_of

from lpm.metrics.migration import binomial
from lpm.theory.spinor import Brackets, amplitude, equal, example, parke_taylor, read, simplify

PUBLISHED = {4: (99.6, 100.0), 5: (85.8, 97.2), 6: (55.3, 82.3)}


def main() -> None:
    """Scramble, simplify, judge, record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--sums", type=int, default=2_000, help="sums of each multiplicity")
    parser.add_argument("--amplitudes", type=int, default=100, help="amplitudes of five gluons")
    parser.add_argument("--judged", type=int, default=100_000, help="pairs that the judge is asked of, of either kind")
    o = parser.parse_args()
    if o.quick:
        o.sums, o.amplitudes, o.judged = 5, 1, 10
    record = Record(
        o, "Scrambled sums of spinor brackets, and amplitudes as they come from Feynman rules, become short."
    )
    columns = (
        "particles",
        "sums",
        "terms before",
        "after",
        "greedy",
        "published",
        "beam 20",
        "published",
        "ms, median",
    )
    record.tables = [
        Table("Scrambled sums", columns, [scrambled(n, o.sums) for n in PUBLISHED]),
        Table("Five gluons", ("amplitudes", "terms before", "one term left", "s, median", "longest"),
              [gluons(o.amplitudes)]),
        Table("The judge", ("pairs", "that are", "taken for equal", "ms a pair"), judge(o.judged)),
    ]  # fmt: skip
    record.notes = [
        "All results are certified at points of a finite field. Processor time on one core, no learned policy."
    ]
    record.save()


def scrambled(n: int, count: int) -> tuple[Cell, ...]:
    """One multiplicity."""
    rng = np.random.default_rng(n)
    solved, before, after, spent = [0, 0], 0, 0, []
    for _ in range(count):
        simple, e = example(n, rng)
        for i, beam in enumerate((1, 20)):
            begun = time.process_time()
            found = simplify(e, beam=beam).expression
            seconds = time.process_time() - begun
            if not equal(found, e):
                raise ValueError(f"{e} became {found}, which is not equal")
            solved[i] += len(found) <= len(simple)
        spent.append(seconds)
        before, after = before + len(e), after + len(found)
    times = 1e3 * np.array(spent)
    return (
        str(n), f"{count:,}", f"{before / count:.2f}", f"{after / count:.2f}", binomial(solved[0], count),
        f"{PUBLISHED[n][0]}%", binomial(solved[1], count), f"{PUBLISHED[n][1]}%", f"{np.median(times):.1f}",
    )  # fmt: skip


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
    return (
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
        rows.append((f"{count:,}", kind, f"{taken:,}", f"{1e3 * spent / count:.2f}"))
    return rows


if __name__ == "__main__":
    main()
