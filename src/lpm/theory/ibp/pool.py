"""Identities of a sector, solved together: each for the most complex integral that the others leave in it."""

from __future__ import annotations

from lpm.theory.ibp.found import Found
from lpm.theory.ibp.paths import solve, substitute
from lpm.theory.ibp.steps import Row, Step, heavy

__all__ = ["Pool"]


class Pool:
    """What some identities say of the integrals of their sector, beside what was found of these before.

    Args:
        found: What was found before.

    Attributes:
        rows: Solved integrals, each by the simpler ones that it equals; none of these is solved.
        steps: The identities that were added, in order.

    Example:
        >>> from lpm.theory.ibp.family import read_family
        >>> from lpm.theory.ibp.steps import Sector
        >>> sector = Sector(read_family("trianglebox"), dict(d=41, m1=1, m2=31, m3=47), 1009, 14)
        >>> pool = Pool(Found(sector, frozenset({(0, 1, 1, 1, 0, 0, 0)}), most=10))
        >>> pool.add((5, (0, 1, 1, 1, 0, 0, 0))), pool.add((5, (0, 1, 1, 1, 0, 0, 0)))
        (True, False)
        >>> pool.put({(-1, 1, 2, 1, 0, 0, 0): 1})
        {(0, 1, 1, 1, 0, 0, 0): 971}
    """

    def __init__(self, found: Found) -> None:
        self.sector, self.masters = found.sector, found.masters
        self.rows = dict(found.inside)
        self.steps: list[Step] = []
        self._behind = dict.fromkeys(self.rows, 0)  # of each row, the steps that it comes from, as bits

    def add(self, step: Step) -> bool:
        """Whether an identity says anything that the others do not; it is kept if it does."""
        p, row = self.sector.prime, self.sector.row(step)
        rest = substitute(row, self.rows, p)
        open_ = [i for i in rest if i not in self.masters]
        if not open_:
            return False
        target = max(open_, key=heavy)
        behind = self._of(row) | 1 << len(self.steps)
        new = {target: solve(rest, target, p)}
        for index, other in self.rows.items():
            if target in other:
                self.rows[index] = substitute(other, new, p)
                self._behind[index] |= behind
        self.rows |= new
        self._behind[target] = behind
        self.steps.append(step)
        return True

    def put(self, terms: Row) -> Row:
        """A sum with what solved integrals equal in their place."""
        return substitute(terms, self.rows, self.sector.prime)

    def behind(self, terms: Row) -> tuple[Step, ...]:
        """The identities that `put` makes use of, those that were found before left out."""
        bits = self._of(terms)
        return tuple(step for k, step in enumerate(self.steps) if bits >> k & 1)

    def _of(self, terms: Row) -> int:
        bits = 0
        for index in terms:
            bits |= self._behind.get(index, 0)
        return bits
