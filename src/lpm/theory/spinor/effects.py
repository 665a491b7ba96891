"""What steps do to a sum of brackets, before they are taken: in numbers, for all of them at once.

Shapes: T terms, A steps, K other products of the longest relation, P brackets, R rows of the table of relations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpm.theory.spinor.brackets import Brackets, pairs, relations, times
from lpm.theory.spinor.steps import Step, code, equivalent, table, wrapped

__all__ = ["KINDS", "Effect", "Frame", "Numbers", "above", "added", "effect_of", "frame_of", "priced", "prices_of"]

Numbers = NDArray[np.floating[Any]]

KINDS = ("Schouten", "momentum", "squared")
"""The first words of the names of relations."""


@dataclass(frozen=True, eq=False)
class Frame:
    """What the relations of n particles are, in numbers.

    Args:
        seen: (P, P) projection of powers onto what relations of two terms leave unchanged.
        roles: {(relation, role): row of the table}.
        kind: (R,) of `KINDS`.
        shift: (R, K, P) powers by which the other products differ from the term, projected.
        sign: (R, K) factor of the others beside that of the term, once it is taken away; 0 where there is none.
        reach: The largest size of a shift.
    """

    seen: Numbers
    roles: dict[tuple[int, int], int]
    kind: NDArray[np.int64]
    shift: Numbers
    sign: NDArray[np.int64]
    reach: float


@lru_cache
def frame_of(n: int) -> Frame:
    """The relations of n particles."""
    size = 2 * len(pairs(n))
    same = np.array([powers for _, powers, _ in equivalent(n)], dtype=np.float64).reshape(-1, size)
    seen = np.eye(size) - np.linalg.pinv(same) @ same
    # Folding a product changes its sign by a sum over its powers, modulo two.
    odd = []
    for unit in np.eye(size, dtype=np.int64).tolist():
        m, sign = tuple(unit), 0
        for place, powers, s in equivalent(n):
            k = m[place]
            m, sign = tuple(x - k * y for x, y in zip(m, powers, strict=True)), sign + k * (s < 0)
        odd.append(sign)
    roles, shifts, _ = table(n)
    shift, signs = np.zeros((*shifts.shape, size)), np.zeros(shifts.shape, dtype=np.int64)
    for row, (r, role) in enumerate(roles):
        own, sign = relations(n)[r].terms[role]
        others = [t for k, t in enumerate(relations(n)[r].terms) if k != role]
        for k, (m, s) in enumerate(others):
            difference = times(m, tuple(-x for x in own))
            shift[row, k] = difference
            signs[row, k] = -s * sign * (-1) ** (int(np.dot(odd, difference)) % 2)
    kinds = [KINDS.index(relations(n)[r].name.split()[0]) for r, _ in roles]
    shift = shift @ seen
    return Frame(seen, {x: i for i, x in enumerate(roles)}, np.array(kinds), shift, signs, np.abs(shift).sum(2).max())


@dataclass(frozen=True, eq=False)
class Effect:
    """What steps would do.

    Args:
        role: (A,) rows of the table.
        away: (A,) places of the terms that go.
        made: (A, K, P) projected powers of the other products.
        real: (A, K) whether there is such a product.
        there: (A, K) whether it is in the sum.
        at: (A, K) its place in the sum.
        gone: (A, K) whether it cancels.
    """

    role: NDArray[np.int64]
    away: NDArray[np.int64]
    made: Numbers
    real: NDArray[np.bool_]
    there: NDArray[np.bool_]
    at: NDArray[np.int64]
    gone: NDArray[np.bool_]


def effect_of(e: Brackets, powers: Numbers, steps: Sequence[Step]) -> Effect:
    """What steps would do to a sum with (T, P) projected powers."""
    frame, (_, shifts, counts) = frame_of(e.n), table(e.n)
    place = {m: i for i, (m, _) in enumerate(e.terms)}
    role = np.array([frame.roles[s.relation, s.role] for s in steps], dtype=np.int64)
    away = np.array([place[s.away] for s in steps], dtype=np.int64)
    codes = np.array([wrapped(code(m, e.n)) for m, _ in e.terms], dtype=np.int64)
    order = np.argsort(codes)
    with np.errstate(over="ignore"):
        wanted = codes[away][:, None] + shifts[role]
    at = order[np.searchsorted(codes[order], wanted).clip(max=len(codes) - 1)]
    real = np.arange(shifts.shape[1]) < counts[role][:, None]
    there = real & (codes[at] == wanted)
    size = np.array([float(c) for _, c in e.terms])
    gone = there & (size[at] == -size[away][:, None] * frame.sign[role])
    return Effect(role, away, powers[away][:, None] + frame.shift[role], real, there, at, gone)


def added(of: Numbers, made: Numbers, effect: Effect) -> Numbers:
    """(A,) what steps add to a sum over terms, from its (T,) values and the (A, K) values of the other products."""
    new = np.where(effect.real & ~effect.there, made, 0.0).sum(1)
    out: Numbers = new - np.where(effect.gone, of[effect.at], 0.0).sum(1) - of[effect.away]
    return out


def above(powers: Numbers) -> Numbers:
    """(…,) brackets above the line of products; those below are those above of the inverse."""
    out: Numbers = powers.clip(min=0).sum(-1)
    return out


def prices_of(effect: Effect, high: Numbers, low: Numbers) -> Numbers:
    """(A,) what steps add to the terms of a sum, and for equal numbers to its brackets below and above the line.

    Args:
        effect: Of the steps.
        high: (T,) brackets above the line in each term.
        low: (T,) those below.
    """
    terms = added(np.ones(len(high)), np.ones(effect.real.shape), effect)
    below, beyond = added(low, above(-effect.made), effect), added(high, above(effect.made), effect)
    out: Numbers = terms + 1e-3 * below + 1e-6 * beyond
    return out


def priced(sums: Sequence[Brackets], steps: Sequence[Sequence[Step]]) -> list[Numbers]:
    """A rule in place of a policy: the step first that leaves the fewest terms, then brackets below and above the line.

    Example:
        >>> from lpm.theory.spinor.brackets import read
        >>> from lpm.theory.spinor.steps import Sums
        >>> e = read("<12><34> + <14><23>", 5)
        >>> priced([e], [Sums(5, 1).steps(e)])[0].round(3).tolist()
        [1.0, 1.0]
    """
    out = []
    for e, legal in zip(sums, steps, strict=True):
        powers = np.array([m for m, _ in e.terms], dtype=np.float64).reshape(len(e), -1) @ frame_of(e.n).seen
        effect = effect_of(e, powers, legal)
        out.append(-prices_of(effect, above(powers), above(-powers)))
    return out
