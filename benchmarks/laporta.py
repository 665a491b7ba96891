"""Exact reduction of Feynman integrals: time and memory against the size of the system, beside plain Python.

    OMP_NUM_THREADS=1 python benchmarks/laporta.py

Identities of the triangle-box are written down in the top sector and all below it, with one dot and a rising power of
numerators, and solved modulo a prime. The peers solve the same rows with dictionaries, {unknown: residue}, in plain
Python. "Textbook" brings all rows to reduced form: what is found is put into every row found before, in the order in
which the identities were written down. "Ordered" does as ours does: the simplest rows first, and nothing is put into
earlier rows until a result is asked for. All must leave the same integrals, with the same coefficients. CPU seconds of
one core; ours includes writing down the identities, the peers' do not. Compilation is done before. Peak memory is that
of a fresh process, libraries included.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

from record import Cell, Record, Table, median, options_of

from lpm.metrics.estimate import Estimate
from lpm.records.environment import peak_memory
from lpm.theory.ibp.family import read_family
from lpm.theory.ibp.laporta import Reducer, Seeds
from lpm.theory.modular import PRIMES

TARGET = 20
POINT = {"d": 41, "m1": 1, "m2": 31, "m3": 47}
TOP, LINES = 63, (1, 1, 1, 1, 1, 1)


def reducer(rank: int, prime: int) -> Reducer:
    """Our system with so many powers of numerators."""
    return Reducer(read_family("trianglebox"), POINT, prime, Seeds(sectors=(TOP,), dots=1, rank=rank))


def equations_of(rows: Any) -> list[dict[int, int]]:
    """The rows as dictionaries."""
    unknowns, values = rows.unknowns.tolist(), rows.values.tolist()
    bounds = pairwise(rows.starts.tolist())
    return [dict(zip(unknowns[a:b], values[a:b], strict=True)) for a, b in bounds if b > a]


def ordered(equations: list[dict[int, int]], prime: int) -> dict[int, dict[int, int]]:
    """What each unknown is in terms of simpler ones, the simplest rows first."""
    known: dict[int, dict[int, int]] = {}
    for equation in sorted(equations, key=lambda e: (max(e), len(e))):
        if row := substituted(equation, known, prime):
            lead = max(row)
            factor = -pow(row.pop(lead), -1, prime) % prime
            known[lead] = {u: v * factor % prime for u, v in row.items()}
    return known


def textbook(equations: list[dict[int, int]], prime: int) -> dict[int, dict[int, int]]:
    """What each unknown is in terms of those that stay unknown, row after row."""
    known: dict[int, dict[int, int]] = {}
    for equation in equations:
        if row := substituted(equation, known, prime):
            lead = max(row)
            factor = -pow(row.pop(lead), -1, prime) % prime
            found = {u: v * factor % prime for u, v in row.items()}
            for other in known.values():
                if lead in other:
                    value = other.pop(lead)
                    for u, v in found.items():
                        other[u] = (other.get(u, 0) + value * v) % prime
            known[lead] = found
    return known


PEERS = {"textbook": textbook, "ordered": ordered}


def substituted(row: dict[int, int], known: dict[int, dict[int, int]], prime: int) -> dict[int, int]:
    """A sum of unknowns with all that is known put in."""
    row, out = dict(row), {}
    while row:
        unknown = max(row)
        value = row.pop(unknown)
        if unknown not in known:
            out[unknown] = value
            continue
        for other, factor in known[unknown].items():
            total = (row.get(other, 0) + value * factor) % prime
            if total:
                row[other] = total
            else:
                row.pop(other, None)
    return out


def target(rank: int) -> tuple[int, ...]:
    """The most complex integral that is compared."""
    return (*LINES, -rank)


def peak(o: argparse.Namespace, rank: int) -> int:
    """Peak memory of a fresh process in bytes."""
    words = [sys.executable, __file__, "--worker", str(rank), "--prime", str(o.prime)]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Solve, compare, record."""
    parser = options_of(__doc__ or "")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="powers of numerators")
    parser.add_argument("--plain", type=int, default=3, help="the largest power that plain Python is tried with")
    parser.add_argument("--prime", type=int, default=PRIMES[0], help="the modulus")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each side")
    parser.add_argument("--worker", type=int, default=0, help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.quick:
        o.ranks, o.plain, o.repeats = [1], 1, 1
    if o.worker:
        reducer(o.worker, o.prime)
        print(peak_memory())
        return
    record = Record(o, "Systems of identities are solved at machine speed, and each result comes with its proof.")
    reducer(1, o.prime)
    rows = [row(o, rank) for rank in o.ranks]
    columns = ["numerators", "identities", "integrals", "left", "lpm (s)", "peak (MiB)"]
    for name in PEERS:
        columns += [f"{name} (s)", "ratio"]
    record.tables = [Table("The triangle-box, all sectors, one dot", tuple(columns), rows)]
    last = [r for r in rows if r[7] != ""][-1]
    assert isinstance(last[7], Estimate)
    record.notes = [
        f"Target: {TARGET} times a plain implementation with dictionaries: "
        f"{'met' if last[7].value >= TARGET else 'missed'} at the largest system of the textbook's.",
        f"Modulo {o.prime}; median of {o.repeats} turns. All sides agree on the reduction of the integral with all six "
        "lines and the highest power of the numerator; ours is certified by adding up the identities.",
    ]
    record.save()


def row(o: argparse.Namespace, rank: int) -> tuple[Cell, ...]:
    """One line of the table."""
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in PEERS}
    known: dict[int, dict[int, int]] = {}
    for _ in range(o.repeats):
        begun = time.process_time()
        made = reducer(rank, o.prime)
        ours.append(time.process_time() - begun)
        for name, peer in PEERS.items() if rank <= o.plain else ():
            equations = equations_of(made.rows)
            begun = time.process_time()
            known = peer(equations, o.prime)
            theirs[name].append(time.process_time() - begun)
            compare(made, known, rank, o.prime)
    result = made.reduce({target(rank): 1})
    made.certify({target(rank): 1}, result)
    both: list[Cell] = []
    for spent in theirs.values():
        ratio = [b / a for a, b in zip(ours, spent, strict=True)] if spent else []
        both += [median(spent), median(ratio)] if spent else ["", ""]
    return (
        str(rank), f"{made.equations:,}", f"{made.integrals:,}", str(len(result)), median(ours),
        f"{peak(o, rank) / 2**20:,.0f}", *both,
    )  # fmt: skip


def compare(made: Reducer, known: dict[int, dict[int, int]], rank: int, prime: int) -> None:
    """Stop if a peer finds another reduction."""
    found = substituted({made.place(target(rank)): 1}, known, prime)
    if {made.index(u): v for u, v in found.items()} != made.reduce({target(rank): 1}):
        sys.exit(f"the two sides differ at {target(rank)}")


if __name__ == "__main__":
    main()
