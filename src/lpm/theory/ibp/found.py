"""What was found of the integrals of a sector on the way to others: a search that meets one of them has it for nothing.

A search that lowers one integral solves others on the way, most of them more complex. Integrals of a sector are lowered
one after the other and lead through the same neighbourhood, so these are kept, as many as a fixed number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lpm.theory.ibp.family import Index, show
from lpm.theory.ibp.paths import eliminated, solve, substitute
from lpm.theory.ibp.sectors import sector_of
from lpm.theory.ibp.steps import Row, Sector, Step, heavy

__all__ = ["Found", "certified"]


class Found:
    """Solved integrals of a sector, each by the integrals that it equals; none of these is solved.

    Args:
        sector: The sector.
        masters: Integrals that are never solved.
        most: How many are kept, those that were solved last.

    Attributes:
        whole: They, with integrals of sectors with fewer lines.
        inside: They, with those of this sector only.
    """

    def __init__(self, sector: Sector, masters: frozenset[Index], most: int) -> None:
        self.sector, self.masters, self.most = sector, masters, most
        self.whole: dict[Index, Row] = {}
        self.inside: dict[Index, Row] = {}
        self._steps: dict[Index, Step] = {}

    @property
    def steps(self) -> frozenset[Step]:
        """By which they were solved: taken once more, these say nothing new."""
        return frozenset(self._steps.values())

    def add(self, index: Index, steps: Sequence[Step]) -> Row:
        """What an integral equals by some steps, each solved for the most complex integral that the others leave in it.

        All that they solve is kept, once the identities have been shown to add up to it.
        """
        sector, p = self.sector, self.sector.prime
        rows = [sector.row(step, below=True) for step in steps]
        solved, taken = self.whole, dict(self._steps)
        for step, row in zip(steps, rows, strict=True):
            rest = substitute(row, solved, p)
            target = max((i for i in rest if self._open(i)), key=heavy)
            solved = eliminated(solved, target, solve(rest, target, p), p)
            taken[target] = step
        terms = substitute({index: 1}, solved, p)
        self._check(rows, solved, {index: terms})
        last = dict(list(solved.items())[-self.most :]) if self.most else {}
        self.inside = {i: self._inside(i, row) for i, row in last.items()}
        self.whole, self._steps = last, {i: taken[i] for i in last}
        return terms

    def _open(self, index: Index) -> bool:
        return index not in self.masters and sector_of(index) == self.sector.number

    def _inside(self, index: Index, row: Row) -> Row:
        if self.whole.get(index) is row:
            return self.inside[index]
        return {i: c for i, c in row.items() if sector_of(i) == self.sector.number}

    def _check(self, rows: Sequence[Row], solved: Mapping[Index, Row], asked: dict[Index, Row]) -> None:
        """That identities and what was known before add up to what is new."""
        claims = {i: row for i, row in solved.items() if self.whole.get(i) is not row} | asked
        used = {i for row in rows for i in row} | set(claims)
        before = [{i: self.sector.prime - 1, **row} for i, row in self.whole.items() if i in used]
        if not certified([*rows, *before], claims, self.sector.prime):
            raise ValueError(f"{show(*asked)}: the identities do not add up to what was found: please report this")


def certified(rows: Sequence[Row], claims: Mapping[Index, Row], prime: int) -> bool:
    """Whether integrals equal sums because of some identities: by elimination in another order than theirs.

    Args:
        rows: The identities, each a sum that vanishes.
        claims: {integral: sum}.
        prime: The modulus.

    Example:
        >>> rows = [{(2,): 1, (1,): 3}, {(3,): 2, (2,): 4}]
        >>> certified(rows, {(3,): {(1,): 6}}, 7), certified(rows, {(3,): {(1,): 5}}, 7)
        (True, False)
    """
    done: dict[Index, Row] = {}
    for row in reversed(rows):
        rest = substitute(row, done, prime)
        if rest:
            pivot = min(rest)
            done = eliminated(done, pivot, solve(rest, pivot, prime), prime)
    return not any(substitute(_claim(i, row, prime), done, prime) for i, row in claims.items())


def _claim(index: Index, terms: Row, prime: int) -> Row:
    """A sum minus the integral that it is to equal."""
    value = (terms.get(index, 0) - 1) % prime
    return {i: c for i, c in terms.items() if i != index} | ({index: value} if value else {})
