"""Steps within one sector: which identities hold an integral, and what each of them would bring in.

An identity is applied at a seed; its name and the seed are a step. Integrals of vanishing sectors are left out, and
steps that reach a sector with a line which this one lacks are no steps. What is asked of all steps at once is asked
modulo one prime for all, 2³¹ - 1; `row` gives the identity itself modulo any.

Shapes: A steps, T terms of the longest identity, N propagators, E terms of all identities.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lpm.theory.ibp.family import Family, Index
from lpm.theory.ibp.identities import Identity, Point, identities
from lpm.theory.ibp.sectors import live_sectors, sector_of

__all__ = ["PATTERN", "Around", "Row", "Sector", "Step", "code", "heavy", "level", "order", "weight"]

PATTERN = 2**31 - 1
"""The prime modulo which steps are listed: products of residues and indices fit into a machine word."""

KEPT = 500
"""Integrals whose surroundings are remembered."""

Step = tuple[int, Index]
"""Number of an identity, and its seed."""

Row = dict[Index, int]
"""Integrals that add up to nothing, with their coefficients."""

ASKED = 2**13
"""Integrals whose level and numbers are remembered."""


@lru_cache(maxsize=ASKED)
def level(index: Index) -> tuple[int, int]:
    """How complex an integral of a sector is: sum of its positive indices, and of its negative ones.

    Example:
        >>> level((2, 1, -3))
        (3, 3)
    """
    return sum(a for a in index if a > 0), -sum(a for a in index if a < 0)


@lru_cache(maxsize=ASKED)
def heavy(index: Index) -> tuple[int, ...]:
    """The order of the integrals of a sector: by level, ties by the indices.

    Example:
        >>> max([(2, 1, 0), (1, 1, -1), (1, 2, 0)], key=heavy)
        (1, 2, 0)
    """
    return (*level(index), *map(abs, reversed(index)))


def weight(index: Index) -> tuple[int, ...]:
    """How complex an integral is; the masters are the simplest ones.

    Example:
        >>> weight((1, 0, 1, 0, 2, 1, 0)) > weight((1, -1, 1, 0, 1, 1, 0)) > weight((1, 0, 1, 0, 1, 1, 0))
        True
    """
    return (sum(a > 0 for a in index), sector_of(index), *heavy(index))


@dataclass(frozen=True, eq=False)
class Around:
    """All steps whose identity holds an integral.

    Args:
        identity: (A,) number of the identity.
        seed: (A, N).
        at: (A,) the seed, as a number.
        code: (A, T) its integrals within the sector, as numbers; -1 where there is none.
        heavy: (A, T) their place in the order of integrals, as numbers.
    """

    identity: NDArray[np.int64]
    seed: NDArray[np.int64]
    at: NDArray[np.int64]
    code: NDArray[np.int64]
    heavy: NDArray[np.int64]


class Sector:
    """The identities of a family as they are seen within a sector.

    Args:
        family: The family.
        point: {symbol: value}, `d` among them.
        prime: Modulus of rows.
        sector: Number of the sector; it must not vanish.

    Example:
        >>> from lpm.theory.ibp.family import read_family
        >>> sector = Sector(read_family("trianglebox"), dict(d=41, m1=1, m2=31, m3=47), 1009, 14)
        >>> sector.row((5, (0, 1, 1, 1, 0, 0, 0)))
        {(0, 1, 1, 1, 0, 0, 0): 38, (-1, 1, 2, 1, 0, 0, 0): 1}
    """

    def __init__(self, family: Family, point: Point, prime: int, sector: int) -> None:
        self.family, self.point, self.prime, self.number = family, point, prime, sector
        size = len(family.propagators)
        live = set(live_sectors(family))
        # 0: vanishes. 1: this one. 2: one of fewer lines. 3: has a line that this one lacks, or a numerator as one.
        self._kind = np.zeros(1 << size, dtype=np.int8)
        self._kind[1 << family.lines :] = 3
        for s in live:
            self._kind[s] = 1 if s == sector else 2 if s & sector == s else 3
        self._exact = identities(family, point, prime)
        self._table = _Table(identities(family, point, PATTERN))
        self._bits = 1 << np.arange(size)
        self.around = lru_cache(maxsize=KEPT)(self._around)

    def _around(self, index: Index) -> Around:
        """All steps whose identity holds an integral of this sector."""
        t, at = self._table, np.array(index)
        seeds = at - t.shift
        values = (t.constants + np.einsum("atn,an->at", t.slopes, seeds)) % PATTERN
        found = at + t.between
        kind = self._kind[((found > 0) * self._bits).sum(-1)]
        there = t.real & (values != 0)
        kept = ~(there & (kind == 3)).any(1) & there[np.arange(len(seeds)), t.own]
        inside = there & (kind == 1)
        return Around(
            t.number[kept],
            seeds[kept],
            _codes(seeds[kept]),
            np.where(inside, _codes(found), -1)[kept],
            np.where(inside, _order(found), -1)[kept],
        )

    def row(self, step: Step, *, below: bool = False) -> Row:
        """The integrals of an identity at a seed.

        Args:
            step: Which.
            below: With integrals of sectors of fewer lines, else only those of this one.
        """
        number, seed = step
        out: Row = {}
        for shift, constant, slopes in self._terms(number):
            value = (constant + sum(s * a for s, a in zip(slopes, seed, strict=True) if s)) % self.prime
            if value:
                index = tuple(a + b for a, b in zip(seed, shift, strict=True))
                kind = self._kind[sector_of(index)]
                if kind == 1 or (below and kind == 2):
                    out[index] = value
        return out

    @lru_cache(maxsize=64)  # noqa: B019 (as long as the sector lives)
    def _terms(self, number: int) -> list[tuple[Index, int, list[int]]]:
        i = self._exact[number]
        return [
            (tuple(s), int(c), [int(x) for x in w])
            for s, c, w in zip(i.shifts.tolist(), i.constants.tolist(), i.slopes.tolist(), strict=True)
        ]


class _Table:
    """All identities side by side: a row for each of their terms, as if that term were the integral in question.

    number (E,), shift (E, N) and own (E,) of that term; for all terms of its identity constants (E, T),
    slopes (E, T, N), between (E, T, N), the indices relative to the integral, and real (E, T).
    """

    def __init__(self, found: list[Identity]) -> None:
        most = max(len(i.shifts) for i in found)

        def filled(x: NDArray[np.int64]) -> NDArray[np.int64]:
            return np.concatenate([x, np.zeros((most - len(x), *x.shape[1:]), dtype=np.int64)])

        each = [(n, k, i) for n, i in enumerate(found) for k in range(len(i.shifts))]
        self.number = np.array([n for n, _, _ in each])
        self.own = np.array([k for _, k, _ in each])
        self.shift = np.array([i.shifts[k] for _, k, i in each])
        self.constants = np.stack([filled(i.constants) for _, _, i in each])
        self.slopes = np.stack([filled(i.slopes) for _, _, i in each])
        self.between = np.stack([filled(i.shifts - i.shifts[k]) for _, k, i in each])
        self.real = np.stack([np.arange(most) < len(i.shifts) for _, _, i in each])


def _codes(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each integral: an index has 6 bits, fewer of a family of more than ten propagators."""
    size = index.shape[-1]
    bits = min(6, 63 // size)
    half = 1 << (bits - 1)
    if ((index < -half) | (index >= half)).any():
        raise ValueError(
            f"expected indices between {-half} and {half - 1} for {size} propagators, got some between {index.min()} "
            f"and {index.max()}; choose seeds of fewer dots and numerators"
        )
    return np.asarray(((index + half) << (bits * np.arange(size))).sum(-1))


def _order(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers in the order of the integrals of a sector: by level, ties by the indices."""
    up, down = np.where(index > 0, index, 0).sum(-1), -np.where(index < 0, index, 0).sum(-1)
    bits = min(5, 50 // index.shape[-1])
    ties = np.minimum(np.abs(index), (1 << bits) - 1) << (bits * np.arange(index.shape[-1]))
    return np.asarray(((up * 64 + down) << 50) + ties.sum(-1))


@lru_cache(maxsize=ASKED)
def code(index: Index) -> int:
    """The number of an integral."""
    return int(_codes(np.array(index)))


@lru_cache(maxsize=ASKED)
def order(index: Index) -> int:
    """The place of an integral of a sector in the order of all."""
    return int(_order(np.array(index)))
