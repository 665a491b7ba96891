"""Steps between sums of brackets.

A step takes one term away with a relation in which it stands; it pays if most of the other terms are there already.
Which are is asked of all relations at once: products are added up as numbers, a random one for each bracket, so that a
product of products is a sum. Of four particles some relations have two terms only: what they make equal is written in
one way (`fold`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lpm.theory.spinor.brackets import Brackets, Powers, pairs, relations, times

__all__ = ["Step", "Sums", "code", "equivalent", "fold", "table", "tidy", "wrapped"]


@dataclass(frozen=True)
class Step:
    """Take a term away with a relation in which it stands.

    Args:
        relation: Its number among `relations`.
        role: The place of the term in it.
        away: The term.
    """

    relation: int
    role: int
    away: Powers

    def text(self, n: int) -> str:
        """In words."""
        return f"{relations(n)[self.relation].name}, for {Brackets(n, ((self.away, Fraction(1)),))}"


@lru_cache
def table(n: int) -> tuple[list[tuple[int, int]], NDArray[np.int64], NDArray[np.int64]]:
    """All (relation, role), the numbers (R, K) by which its other terms differ from the term, and their count (R,).

    Of four particles several relations do the same to a term: the first of them is kept.
    """
    found: dict[tuple[int, ...], tuple[tuple[int, int], list[int]]] = {}
    for r, relation in enumerate(relations(n)):
        codes = [code(m, n) for m, _ in relation.terms]
        for role in range(len(codes)):
            shift = [c - codes[role] for k, c in enumerate(codes) if k != role]
            found.setdefault(tuple(sorted(shift)), ((r, role), shift))
    roles, shifts = [x for x, _ in found.values()], [x for _, x in found.values()]
    most = max(map(len, shifts))
    table = np.zeros((len(shifts), most), dtype=np.int64)
    for i, row in enumerate(shifts):
        table[i, : len(row)] = np.array([wrapped(x) for x in row])
    return roles, table, np.array([len(s) for s in shifts])


@lru_cache
def equivalent(n: int) -> tuple[tuple[int, Powers, int], ...]:
    """Relations of two terms, of four particles only: each says how to do without one bracket.

    Each is (place of the bracket, powers that can be added, sign that this gives); in Hermite's normal form.
    """
    from flint import fmpz_mat

    two = [r.terms for r in relations(n) if len(r.terms) == 2]
    if not two:
        return ()
    rows = [[*(x - y for x, y in zip(a, b, strict=True)), int(s == t)] for (a, s), (b, t) in two]
    form = fmpz_mat(rows).hnf()
    found = [[int(form[i, j]) for j in range(len(rows[0]))] for i in range(form.nrows())]
    out = []
    for row in found:
        if any(row[:-1]):
            place = next(j for j, x in enumerate(row) if x)
            assert row[place] == 1
            out.append((place, tuple(row[:-1]), (-1) ** (row[-1] % 2)))
    return tuple(out)


def fold(e: Brackets) -> Brackets:
    """The same sum with one way of writing for all products that relations of two terms make equal.

    Example:
        >>> from lpm.theory.spinor.brackets import read
        >>> len(fold(read("<12>[23] + <14>[43]", 4)))
        0
    """
    out = []
    for m, c in e.terms:
        for place, powers, sign in equivalent(e.n):
            k = m[place]
            m, c = tuple(x - k * y for x, y in zip(m, powers, strict=True)), c * sign ** (k % 2)
        out.append((m, c))
    return Brackets.of(e.n, out)


def tidy(e: Brackets) -> Brackets:
    """The same terms, each written with few brackets.

    Example:
        >>> from lpm.theory.spinor.brackets import read
        >>> print(fold(read("<12>^2", 4)), "is", tidy(fold(read("<12>^2", 4))))
        <34>^2[34]^2/[12]^2 is <12>^2
    """
    out = []
    moves = [(p, s) for _, p, s in equivalent(e.n)]
    moves += [(times(a, tuple(-x for x in b)), s * t) for (a, s), (b, t) in combinations(moves, 2)]
    for m, c in e.terms:
        while True:
            near = [
                (sum(map(abs, made)), made, c * s)
                for p, s in moves
                for made in (times(m, p), times(m, tuple(-x for x in p)))
            ]
            if not near or min(near)[0] >= sum(map(abs, m)):
                break
            _, m, c = min(near)
        out.append((m, c))
    return Brackets.of(e.n, out)


@lru_cache
def _mix(n: int) -> tuple[int, ...]:
    """A random number for each bracket; products that are equal by relations of two terms have equal sums."""
    out = [int(x) for x in np.random.default_rng(n).integers(1, 2**62, size=2 * len(pairs(n)))]
    for place, powers, _ in reversed(equivalent(n)):
        out[place] = -sum(p * out[j] for j, p in enumerate(powers) if j != place)
    return tuple(out)


def code(m: Powers, n: int) -> int:
    """The number of a product: equal for equal products, the sum of those of its factors."""
    return sum(e * w for e, w in zip(m, _mix(n), strict=True))


def wrapped(x: int) -> int:
    """As a signed 64-bit number."""
    return (x + 2**63) % 2**64 - 2**63


class Sums:
    """Sums of products of brackets: steps take one term away.

    Args:
        n: Number of particles.
        new: Most terms that a step may bring in.
    """

    def __init__(self, n: int, new: int) -> None:
        self.n, self.new = n, new

    def steps(self, e: Brackets) -> Sequence[Step]:
        """All that bring in few enough terms, the best first."""
        if not len(e):
            return []
        roles, shifts, counts = table(self.n)
        codes = np.array([wrapped(code(m, self.n)) for m, _ in e.terms], dtype=np.int64)
        with np.errstate(over="ignore"):
            others = codes[:, None, None] + shifts[None]
        there = np.isin(others, codes) & (np.arange(shifts.shape[1]) < counts[:, None])
        missing = counts - there.sum(2)
        term, role = np.nonzero((missing <= self.new) & (missing < counts) & (counts > 1))
        order = np.argsort(missing[term, role], kind="stable")
        return [Step(roles[role[k]][0], roles[role[k]][1], e.terms[term[k]][0]) for k in order.tolist()]

    def apply(self, e: Brackets, step: Step) -> Brackets:
        """The sum without the term."""
        terms = relations(self.n)[step.relation].terms
        own, sign = terms[step.role]
        factor = -dict(e.terms)[step.away] * sign
        rest = tuple(x - y for x, y in zip(step.away, own, strict=True))
        return fold(Brackets.of(self.n, [*e.terms, *((times(rest, m), factor * s) for m, s in terms)]))

    def cost(self, e: Brackets) -> tuple[int, ...]:
        """Number of terms, then brackets below and above the line."""
        powers = [p for m, _ in e.terms for p in m]
        return len(e), -sum(p for p in powers if p < 0), sum(p for p in powers if p > 0)
