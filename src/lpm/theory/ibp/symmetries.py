r"""Symmetries: changes of momenta that carry the lines of a sector into those of another one, or into each other.

Loop momenta may be replaced by others, :math:`k \to A k + B p` with :math:`|\det A| = 1`, and external momenta by
others with the same scalar products. If the lines of a sector become lines, what its integrals equal is known: each
other propagator becomes a sum of propagators, and a power of it a polynomial of these (Lee, arXiv 1310.1145, section
3). Of sectors that carry into each other, all are written as the one with the smallest number.

Candidates are found by the polynomial :math:`G = U + F` of a sector, which is the same up to the names of its lines if
sectors carry into each other: only lines that enter it alike are tried for each other (after Pak, arXiv 1111.0868).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations, product

from lpm.theory.ibp.family import Family, Index, inverted
from lpm.theory.ibp.identities import Kinematics, Point
from lpm.theory.ibp.sectors import kinematics, live_sectors, sector_of, symanzik

__all__ = ["Carried", "Symmetry", "symmetries"]

Vector = tuple[Fraction, ...]
Matrix = tuple[Vector, ...]
Mark = tuple[tuple[int, int, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Symmetry:
    """A change of momenta that carries one sector into another.

    Args:
        source: Number of the one.
        target: Number of the other, never larger.
        lines: ((line of the one, line of the other), …).
        vectors: What each momentum of the family is replaced by, loop momenta first.
    """

    source: int
    target: int
    lines: tuple[tuple[int, int], ...]
    vectors: Matrix

    @property
    def name(self) -> str:
        """Which sector becomes which, line by line.

        Example:
            >>> Symmetry(3, 3, ((0, 1), (1, 0)), ()).name
            '3→3: 1→2 2→1'
        """
        return f"{self.source}→{self.target}: {' '.join(f'{i + 1}→{j + 1}' for i, j in self.lines)}"

    def momentum(self, q: Vector) -> Vector:
        """What a sum of momenta becomes."""
        return _times((q,), self.vectors)[0]


@lru_cache(maxsize=32)
def symmetries(family: Family) -> tuple[Symmetry, ...]:
    """One symmetry from each sector to the smallest that it carries into; of those smallest, all into themselves.

    Example:
        >>> bubble = Family(name="bubble", loops=("k",), external=("p",), propagators=("k", "k+p"),
        ...                 products={"p*p": "s"})
        >>> [(s.source, s.target, s.lines) for s in symmetries(bubble)]
        [(3, 3, ((0, 1), (1, 0)))]
    """
    out: list[Symmetry] = []
    smallest: dict[int, dict[int, Mark]] = {}
    changes = list(_external(family))
    for sector in live_sectors(family):
        marks = _marks(family, sector)
        for other, theirs in smallest.items():
            if sorted(marks.values()) == sorted(theirs.values()):
                found = next(_between(family, changes, (sector, marks), (other, theirs)), None)
                if found is not None:
                    out.append(found)
                    break
        else:
            smallest[sector] = marks
            here = sector, marks
            same = {tuple(map(_signless, family.momenta)): None}  # what changes nothing
            for found in _between(family, changes, here, here):
                does = tuple(_signless(found.momentum(q)) for q in family.momenta)
                if does not in same:
                    same[does] = None
                    out.append(found)
    return tuple(out)


def _marks(family: Family, sector: int) -> dict[int, Mark]:
    """How each line of a sector enters its polynomial: the same for lines that may carry into each other."""
    terms = [(e, c) for e, c in symanzik(family).items() if all(not n or sector >> i & 1 for i, n in enumerate(e))]
    lines = [i for i in range(family.lines) if sector >> i & 1]
    return {i: tuple(sorted((c, e[i], tuple(sorted(e))) for e, c in terms)) for i in lines}


def _external(family: Family) -> Iterator[Matrix]:
    """Changes of the external momenta, by sums of them with factors -1, 0 and 1, that keep their scalar products."""
    first, at = len(family.loops), kinematics(family)
    count = len(family.external)
    sums = [tuple(map(Fraction, (*[0] * first, *v))) for v in product((0, 1, -1), repeat=count)]
    unit = [tuple(Fraction(int(i == j)) for j in range(first + count)) for i in range(first, first + count)]

    def scalar(a: Vector, b: Vector) -> int:
        out = sum(a[i] * b[j] * c for (i, j), c in at.external.items())
        assert out.denominator == 1
        return int(out) % at.prime

    def grown(chosen: tuple[Vector, ...]) -> Iterator[Matrix]:
        n = len(chosen)
        if n == count:
            yield chosen
            return
        for v in sums:
            with_v = (*chosen, v)
            if all(scalar(v, with_v[i]) == scalar(unit[n], unit[i]) for i in range(n + 1)):
                yield from grown(with_v)

    return grown(())


def _between(
    family: Family, changes: Sequence[Matrix], source: tuple[int, dict[int, Mark]], target: tuple[int, dict[int, Mark]]
) -> Iterator[Symmetry]:
    """All symmetries that carry one sector into another."""
    loops, q = len(family.loops), family.momenta
    (sector, marks), (other, theirs) = source, target
    # Lines whose momenta tell all loop momenta. That |det A| = 1 follows from the polynomials: U takes on its square.
    basis = next(c for c in combinations(marks, loops) if inverted([q[i][:loops] for i in c]))
    inverse = inverted([q[i][:loops] for i in basis])
    like = {i: [j for j in theirs if theirs[j] == marks[i]] for i in marks}
    for chosen in product(*(like[i] for i in basis)):
        if len(set(chosen)) < loops:
            continue
        for signs, external in product(product((1, -1), repeat=loops), changes):
            # A loop momentum is what is left of the new lines once the external momenta of the old ones are taken off.
            old = _times([q[i][loops:] for i in basis], external)
            new = [tuple(s * a - (b[k] if b else 0) for k, a in enumerate(q[j]))
                   for s, j, b in zip(signs, chosen, old, strict=True)]  # fmt: skip
            found = Symmetry(sector, other, (), (*_times(inverse, new), *external))
            to = {_signless(q[j]): j for j in theirs}
            lines = [(i, to.get(_signless(found.momentum(q[i])), -1)) for i in marks]
            if {j for _, j in lines} == set(theirs) and all(marks[i] == theirs[j] for i, j in lines):
                yield Symmetry(sector, other, tuple(lines), found.vectors)


def _signless(q: Vector) -> Vector:
    """A momentum or its negative, the same for both."""
    return max(q, tuple(-x for x in q))


def _times(a: Sequence[Vector], b: Sequence[Vector]) -> Matrix:
    """A product of matrices."""
    return tuple(
        tuple(sum((x * row[k] for x, row in zip(r, b, strict=True)), Fraction(0)) for k in range(len(b[0]) if b else 0))
        for r in a
    )


class Carried:
    """What integrals of a sector equal by a symmetry, at a point.

    Args:
        symmetry: The symmetry.
        family: The family.
        point: {symbol: value}.
        prime: The modulus.

    Example:
        >>> bubble = Family(name="bubble", loops=("k",), external=("p",), propagators=("k", "k+p"),
        ...                 products={"p*p": "s"})
        >>> carried = Carried(symmetries(bubble)[0], bubble, {"d": 11, "s": 3}, 1009)
        >>> carried((2, 1))
        {(1, 2): 1}
    """

    def __init__(self, symmetry: Symmetry, family: Family, point: Point, prime: int) -> None:
        at = Kinematics(family, point, prime)
        self.symmetry, self.prime, self.size = symmetry, prime, len(family.propagators)
        lines = {i for i, _ in symmetry.lines}
        self._others: dict[int, dict[int, int]] = {}
        for i in set(range(self.size)) - lines:
            square = at.square(symmetry.momentum(family.momenta[i]))
            square[-1] = (square[-1] - at.masses[i]) % prime
            self._others[i] = square
        self._powers: dict[tuple[int, ...], dict[Index, int]] = {(0,) * len(self._others): {(0,) * self.size: 1}}

    def __call__(self, index: Index) -> dict[Index, int]:
        """The sum that an integral of the symmetry's sector equals; integrals that vanish may be among its terms."""
        assert sector_of(index) == self.symmetry.source
        start = [0] * self.size
        for i, j in self.symmetry.lines:
            start[j] = index[i]
        found = self._power(tuple(-index[i] for i in self._others))
        return {tuple(a + b for a, b in zip(start, shift, strict=True)): c for shift, c in found.items()}

    def _power(self, powers: tuple[int, ...]) -> dict[Index, int]:
        """A product of powers of what other propagators become: {shift of the indices: factor}."""
        if powers in self._powers:
            return self._powers[powers]
        k = next(k for k, n in enumerate(powers) if n)
        less = self._power((*powers[:k], powers[k] - 1, *powers[k + 1 :]))
        out: dict[Index, int] = {}
        for shift, c in less.items():
            for j, x in list(self._others.values())[k].items():
                new = shift if j < 0 else (*shift[:j], shift[j] - 1, *shift[j + 1 :])
                out[new] = (out.get(new, 0) + c * x) % self.prime
        self._powers[powers] = {s: c for s, c in out.items() if c}
        return self._powers[powers]
