r"""Tree amplitudes of gluons from Feynman rules, in spinor brackets: sums that are longer than they need be.

Currents of colour-ordered gluons are built by the recursion of Berends and Giele, Nucl. Phys. B 306 (1988) 759, in the
normalisation of Dixon, arXiv 1310.5353:

.. math:: P^2 J = \frac{1}{\sqrt 2} \sum [J_1, J_2] + \sum \{J_1, J_2, J_3\}

with the brackets of the vertices of three and four gluons. Every vector is a sum of :math:`|a\rangle[b|`, with
coefficients that are sums of products of brackets. Polarisations depend on a reference momentum for each gluon, of
which the amplitude is independent; here it is one of the other gluons, so that the choice decides how many terms are
left. The factors of √2 are collected: each polarisation brings 1/√2, each product of two vectors 1/2.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from lpm.theory.spinor.brackets import Brackets, read

__all__ = ["amplitude", "parke_taylor"]

Vector = dict[tuple[int, int], Brackets]
"""{(a, b): coefficient} of |a⟩[b|."""


def parke_taylor(helicities: Sequence[int]) -> Brackets:
    """The amplitude of two gluons of negative and all others of positive helicity, up to a factor.

    Raises:
        ValueError: If these are not the helicities.

    Example:
        >>> print(parke_taylor([-1, -1, 1, 1, 1]))
        <12>^3/(<15><23><34><45>)
    """
    n, minus = len(helicities), [i for i, h in enumerate(helicities, start=1) if h < 0]
    if len(minus) != 2:
        raise ValueError(f"expected two negative helicities, got {len(minus)}")
    below = "".join(f"<{i},{i % n + 1}>" for i in range(1, n + 1))
    found = read(f"<{minus[0]},{minus[1]}>^4/({below})", n)
    ((m, c),) = found.terms
    return Brackets(n, ((m, abs(c)),))


def amplitude(helicities: Sequence[int], references: Sequence[int]) -> Brackets:
    """The colour-ordered amplitude from all diagrams, up to a factor.

    Args:
        helicities: 1 or -1 of each of four or five gluons.
        references: Label of the reference momentum of each, from 1; not its own.

    Raises:
        ValueError: If there are not four or five gluons, or a reference is the gluon itself.
    """
    n = len(helicities)
    if n not in (4, 5) or len(references) != n:
        raise ValueError(f"expected four or five gluons with a reference each, got {n} and {len(references)}")
    if own := [i for i, r in enumerate(references, start=1) if r == i or not 1 <= r <= n]:
        raise ValueError(f"gluon {own[0]}: its reference must be another gluon, got {references[own[0] - 1]}")
    tools = _Tools(n)
    one = {(i, i): tools.polarisation(i, h, r) for i, (h, r) in enumerate(zip(helicities, references, strict=True), 1)}
    currents: dict[tuple[int, int], Vector] = dict(one)
    for length in range(2, n):
        for first in range(1, n - length + 1):
            last = first + length - 1
            total = tools.vertices(currents, first, last)
            if length < n - 1:
                inverse = tools.propagator(first, last)
                total = {k: c * inverse for k, c in total.items()}
            currents[first, last] = total
    return tools.dot(currents[1, n - 1], currents[n, n])


class _Tools:
    """Vectors and their products for n particles."""

    def __init__(self, n: int) -> None:
        self.n, self.one = n, read("1", n)

    def number(self, x: Fraction) -> Brackets:
        return Brackets.of(self.n, [(self.one.terms[0][0], x)])

    def angle(self, i: int, j: int) -> Brackets:
        return read(f"<{i},{j}>", self.n)

    def square(self, i: int, j: int) -> Brackets:
        return read(f"[{i},{j}]", self.n)

    def polarisation(self, i: int, helicity: int, r: int) -> Vector:
        """|r⟩[i| / ⟨ri⟩ or |i⟩[r| / [ir]; the factor √2 that both have is left to the end."""
        return {(r, i): self.one / self.angle(r, i)} if helicity > 0 else {(i, r): self.one / self.square(i, r)}

    def momentum(self, first: int, last: int) -> Vector:
        """Of gluons in a row."""
        return {(k, k): self.one for k in range(first, last + 1)}

    def dot(self, a: Vector, b: Vector) -> Brackets:
        """Product of two vectors."""
        out = Brackets(self.n, ())
        half = self.number(Fraction(1, 2))
        for (i, j), x in a.items():
            for (k, m), y in b.items():
                if i != k and j != m:
                    out = out + x * y * self.angle(i, k) * self.square(m, j) * half
        return out

    def propagator(self, first: int, last: int) -> Brackets:
        """One over the squared momentum of gluons in a row: of three of five, that of the two others."""
        inside = list(range(first, last + 1))
        if len(inside) > 2:
            inside = [k for k in range(1, self.n + 1) if k not in inside]
        i, j = inside
        return self.one / (self.angle(i, j) * self.square(j, i))

    def vertices(self, currents: dict[tuple[int, int], Vector], first: int, last: int) -> Vector:
        """Sum over all ways to end in a vertex of three or of four gluons."""
        out: Vector = {}
        for cut in range(first, last):
            self._add(out, self.three(currents, first, cut, last), self.one)
        for cut in range(first, last - 1):
            for second in range(cut + 1, last):
                parts = currents[first, cut], currents[cut + 1, second], currents[second + 1, last]
                # A vertex of four gluons stands for two of three, which bring (1/√2)², and two polarisations' √2 more.
                self._add(out, self.four(*parts), self.number(Fraction(2)))
        return out

    def three(self, currents: dict[tuple[int, int], Vector], first: int, cut: int, last: int) -> Vector:
        """(J1·J2)(P1 - P2) + 2 (J1·P2) J2 - 2 (J2·P1) J1."""
        a, b = currents[first, cut], currents[cut + 1, last]
        p, q = self.momentum(first, cut), self.momentum(cut + 1, last)
        two, out = self.number(Fraction(2)), dict[tuple[int, int], Brackets]()
        both = self.dot(a, b)
        self._add(out, p, both)
        self._add(out, q, -both)
        self._add(out, b, two * self.dot(a, q))
        self._add(out, a, -(two * self.dot(b, p)))
        return out

    def four(self, a: Vector, b: Vector, c: Vector) -> Vector:
        """(J1·J3) J2 - ½ (J1·J2) J3 - ½ (J2·J3) J1."""
        half, out = self.number(Fraction(1, 2)), dict[tuple[int, int], Brackets]()
        self._add(out, b, self.dot(a, c))
        self._add(out, c, -(half * self.dot(a, b)))
        self._add(out, a, -(half * self.dot(b, c)))
        return out

    def _add(self, out: Vector, v: Vector, factor: Brackets) -> None:
        for k, c in v.items():
            made = c * factor
            out[k] = out[k] + made if k in out else made
