r"""Sectors: which propagators are denominators, and which sectors vanish.

The sector of an integral is the set of its positive indices, numbered :math:`\sum_i 2^i [a_{i+1} > 0]`. An integral
without a scale vanishes in dimensional regularisation. With the Symanzik polynomials of the sector, :math:`G = U + F`,
it is one if :math:`\sum_i k_i x_i \partial G / \partial x_i = G` has a solution that does not depend on x (Lee,
arXiv 1310.1145): every monomial :math:`x^e` of G asks for :math:`k \cdot e = 1`, which is a question to linear algebra.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache

from lpm.theory.ibp.family import Family, Index
from lpm.theory.ibp.identities import Kinematics
from lpm.theory.modular import PRIMES, residue

__all__ = ["kinematics", "live_sectors", "sector_of", "subsectors", "symanzik"]

Polynomial = dict[tuple[int, ...], int]
"""{exponents of x: residue}."""

_PRIME = PRIMES[0]


def sector_of(index: Index) -> int:
    """Number of the sector.

    Example:
        >>> sector_of((2, 0, 2, 0, 1, 1, 0))
        53
    """
    return sum(1 << i for i, a in enumerate(index) if a > 0)


def subsectors(sectors: Iterable[int]) -> frozenset[int]:
    """Sectors that contain no line which none of the given ones has.

    Example:
        >>> sorted(subsectors([5]))
        [0, 1, 4, 5]
    """
    out: set[int] = set()
    for sector in sectors:
        sub = sector
        while True:
            out.add(sub)
            if not sub:
                break
            sub = (sub - 1) & sector
    return frozenset(out)


@lru_cache(maxsize=32)
def live_sectors(family: Family) -> tuple[int, ...]:
    """Numbers of all sectors that do not vanish for general kinematics.

    Example:
        >>> from lpm.theory.ibp.family import read_family
        >>> live_sectors(read_family("trianglebox"))[:5]
        (14, 15, 21, 23, 27)
    """
    monomials = list(symanzik(family))
    out = []
    for sector in range(1, 1 << family.lines):
        kept = [e for e in monomials if all(not n or sector >> i & 1 for i, n in enumerate(e))]
        if kept and not _solvable([[Fraction(n) for n in e] for e in kept]):
            out.append(sector)
    return tuple(out)


def kinematics(family: Family) -> Kinematics:
    """A point without relations between its numbers, modulo a large prime.

    Example:
        >>> from lpm.theory.ibp.family import read_family
        >>> kinematics(read_family("box")).masses
        [0, 0, 0, 0]
    """
    return Kinematics(family, {s: pow(3, 1000 + 7 * i, _PRIME) for i, s in enumerate(family.symbols)}, _PRIME)


@lru_cache(maxsize=32)
def symanzik(family: Family) -> Polynomial:
    """G = U + F of all lines, at that point: {exponents of the lines: residue}.

    Example:
        >>> bubble = Family(name="bubble", loops=("k",), external=("p",), propagators=("k", "k+p"),
        ...                 masses=("1", "1"), products={"p*p": "2"})
        >>> symanzik(bubble)  # x1 + x2 + x1² + x2² + 2 x1 x2 - 2 x1 x2
        {(1, 0): 1, (0, 1): 1, (2, 0): 1, (0, 2): 1}
    """
    loops, size, at = len(family.loops), family.lines, kinematics(family)

    def x(i: int, factor: int) -> Polynomial:
        return {tuple(int(j == i) for j in range(size)): factor % _PRIME}

    quadratic: list[list[Polynomial]] = [[{} for _ in range(loops)] for _ in range(loops)]
    linear: list[dict[int, Polynomial]] = [{} for _ in range(loops)]
    rest: Polynomial = {}
    products = at.external
    for i in range(size):
        q = [residue(c, _PRIME) for c in family.momenta[i]]
        for a in range(loops):
            for b in range(loops):
                quadratic[a][b] = _sum(quadratic[a][b], x(i, q[a] * q[b]))
            for e in range(loops, len(q)):
                linear[a][e] = _sum(linear[a].get(e, {}), x(i, q[a] * q[e]))
        square = sum(q[a] * q[b] * products[a, b] for a, b in products)
        rest = _sum(rest, x(i, square - at.masses[i]))
    u = _determinant(quadratic)
    out = _sum(u, _product(u, {k: -v for k, v in rest.items()}))
    for a in range(loops):
        for b in range(loops):
            minor = [[quadratic[r][c] for c in range(loops) if c != b] for r in range(loops) if r != a]
            cofactor = _product(_determinant(minor) if minor else {(0,) * size: 1}, {(0,) * size: (-1) ** (a + b)})
            for (e, f), value in products.items():
                pair = _product(linear[a].get(e, {}), linear[b].get(f, {}))
                out = _sum(out, _product(_product(cofactor, pair), {(0,) * size: value}))
    return out


def _sum(a: Polynomial, b: Polynomial) -> Polynomial:
    out = dict(a)
    for e, c in b.items():
        out[e] = (out.get(e, 0) + c) % _PRIME
    return {e: c for e, c in out.items() if c}


def _product(a: Polynomial, b: Polynomial) -> Polynomial:
    out: Polynomial = {}
    for e, c in a.items():
        for f, d in b.items():
            key = tuple(i + j for i, j in zip(e, f, strict=True))
            out[key] = (out.get(key, 0) + c * d) % _PRIME
    return {e: c for e, c in out.items() if c}


def _determinant(rows: list[list[Polynomial]]) -> Polynomial:
    """By expansion along the first row: matrices of loops are small."""
    if len(rows) == 1:
        return rows[0][0]
    out: Polynomial = {}
    for c, first in enumerate(rows[0]):
        minor = [[row[j] for j in range(len(rows)) if j != c] for row in rows[1:]]
        term = _product(first, _determinant(minor))
        out = _sum(out, {e: -x if c % 2 else x for e, x in term.items()})
    return out


def _solvable(rows: list[list[Fraction]]) -> bool:
    """Whether there are numbers whose weighted sum is 1 for every row."""
    whole = [[*row, Fraction(1)] for row in rows]
    done = 0
    for c in range(len(rows[0])):
        pivot = next((r for r in range(done, len(whole)) if whole[r][c]), None)
        if pivot is None:
            continue
        whole[done], whole[pivot] = whole[pivot], whole[done]
        for r in range(done + 1, len(whole)):
            if whole[r][c]:
                factor = whole[r][c] / whole[done][c]
                whole[r] = [x - factor * y for x, y in zip(whole[r], whole[done], strict=True)]
        done += 1
    return not any(row[-1] for row in whole[done:])
