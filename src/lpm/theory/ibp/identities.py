r"""Identities between the integrals of a family, derived from its propagators.

Integration by parts (Chetyrkin, Tkachov, Nucl. Phys. B 192 (1981) 159): the integral of a total derivative vanishes,

.. math:: \int \frac{\partial}{\partial k_l} \cdot v \prod_i D_i^{-a_i} = 0, \qquad v \in \{k_1 \dots, p_1 \dots\},

and Lorentz invariance (Gehrmann, Remiddi, hep-ph/9912329) gives, for external momenta :math:`p_a, p_b`,

.. math:: \sum_n \Big[ (p_n p_b)\, p_a \cdot \frac{\partial}{\partial p_n}
          - (p_n p_a)\, p_b \cdot \frac{\partial}{\partial p_n} \Big] I = 0 .

With :math:`\partial D_i / \partial k_l \cdot v` written as a sum of propagators, each identity becomes a sum of
integrals with shifted indices, whose coefficients are linear in the indices. All numbers are residues at one point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lpm.theory.ibp.family import Family
from lpm.theory.modular import Residue, residue

__all__ = ["Identity", "Kinematics", "Point", "identities"]

Point = Mapping[str, int]
"""Values of the dimension and the kinematics, modulo a prime."""


@dataclass(frozen=True, eq=False)
class Identity:
    """One identity: the sum over terms of (constant + slope · a) I[a + shift] vanishes for all indices a.

    Args:
        name: Of the derivative: `k1.p3`, or `p1^p3` for Lorentz invariance.
        shifts: (T, N) shifts of the indices.
        constants: (T,) residues.
        slopes: (T, N) residues.
    """

    name: str
    shifts: NDArray[np.int64]
    constants: NDArray[np.int64]
    slopes: NDArray[np.int64]


class Kinematics:
    """Scalar products at a point, as sums of propagators: {i: coefficient of D_i, -1: constant}.

    Args:
        family: The family.
        point: {symbol: value}.
        prime: The modulus.

    Attributes:
        external: {(i, j): product of two external momenta}, by their places in `family.vectors`.
        masses: Squared mass of each propagator.

    Raises:
        ValueError: If a symbol has no value.
    """

    def __init__(self, family: Family, point: Point, prime: int) -> None:
        self.family, self.prime = family, prime
        if missing := [s for s in family.symbols if s not in point]:
            raise ValueError(f"family {family.name}: no value for {', '.join(missing)}; known are {', '.join(point)}")
        names = {n: Residue(v % prime, prime) for n, v in point.items()}

        def value(x: object) -> int:
            assert isinstance(x, Residue)
            return x.value

        def number(n: int) -> Residue:
            return Residue(n % prime, prime)

        self.external = {k: value(e.evaluate(names, number)) for k, e in family.external_products.items()}
        self.masses = [value(m.evaluate(names, number)) for m in family.squared_masses]
        self.constants = []
        for q, mass in zip(family.momenta, self.masses, strict=True):
            square = sum(q[i] * q[j] * self.external[i, j] for i, j in self.external)
            self.constants.append((residue(square, prime) - mass) % prime)
        self.products: dict[tuple[int, int], dict[int, int]] = {}
        for pair, row in zip(family.scalar_products, family.inverse, strict=True):
            out = {i: residue(x, prime) for i, x in enumerate(row) if x}
            out[-1] = -sum(x * self.constants[i] for i, x in out.items()) % prime
            self.products[pair] = out

    def product(self, i: int, j: int) -> dict[int, int]:
        """Of the vectors at two places."""
        i, j = min(i, j), max(i, j)
        return self.products[i, j] if i < len(self.family.loops) else {-1: self.external[i, j]}

    def square(self, q: tuple[Fraction, ...]) -> dict[int, int]:
        """Of a sum of `family.vectors`."""
        out = {-1: 0}
        for i, a in enumerate(q):
            for j, b in enumerate(q):
                factor = residue(a * b, self.prime)
                for place, c in self.product(i, j).items() if factor else ():
                    out[place] = (out.get(place, 0) + factor * c) % self.prime
        return out


def identities(family: Family, point: Point, prime: int) -> list[Identity]:
    """All identities of integration by parts and of Lorentz invariance, at a point.

    Args:
        family: The family.
        point: {symbol: value}, `d` among them.
        prime: The modulus.

    Raises:
        ValueError: If a symbol has no value.
        ZeroDivisionError: If the kinematics have a pole there.

    Example:
        >>> from lpm.theory.ibp.family import read_family
        >>> found = identities(read_family("trianglebox"), dict(d=41, m1=1, m2=31, m3=47), 1009)
        >>> [i.name for i in found]
        ['k1.k1', 'k1.k2', 'k1.p1', 'k1.p3', 'k2.k1', 'k2.k2', 'k2.p1', 'k2.p3', 'p1^p3']
    """
    k, n = Kinematics(family, point, prime), len(family.loops)
    out = []
    for loop in range(n):
        for v, name in enumerate(family.vectors):
            terms = _Terms(family, prime)
            if v == loop:
                terms.constant(point["d"])
            terms.derivative(k, loop, v, 1)
            out.append(terms.identity(f"{family.loops[loop]}.{name}"))
    places = range(n, len(family.vectors))
    for a, b in combinations(places, 2):
        terms = _Terms(family, prime)
        for e in places:
            terms.derivative(k, e, a, k.external[e, b])
            terms.derivative(k, e, b, -k.external[e, a])
        out.append(terms.identity(f"{family.vectors[a]}^{family.vectors[b]}"))
    return out


class _Terms:
    """An identity in the making: {shift: [constant, slope of each index]}."""

    def __init__(self, family: Family, prime: int) -> None:
        self.family, self.prime, self.size = family, prime, len(family.propagators)
        self.found: dict[tuple[int, ...], list[int]] = {}

    def _at(self, up: int = -1, down: int = -1) -> list[int]:
        shift = [0] * self.size
        if up >= 0:
            shift[up] += 1
        if down >= 0:
            shift[down] -= 1
        return self.found.setdefault(tuple(shift), [0] * (self.size + 1))

    def constant(self, value: int) -> None:
        """Add a multiple of the integral itself."""
        self._at()[0] += value

    def derivative(self, k: Kinematics, by: int, along: int, factor: int) -> None:
        """Add the derivative of the propagators by the vector at one place along that at another."""
        for i, q in enumerate(self.family.momenta):
            for m, c in enumerate(q):
                slope = residue(2 * q[by] * c, self.prime)
                for j, x in k.product(m, along).items() if slope else ():
                    self._at(i, j)[1 + i] -= slope * x * factor

    def identity(self, name: str) -> Identity:
        """The sum of all, without terms that vanish everywhere."""
        kept = {s: [x % self.prime for x in row] for s, row in self.found.items()}
        kept = {s: row for s, row in kept.items() if any(row)}
        rows = np.array(list(kept.values()), dtype=np.int64).reshape(-1, self.size + 1)
        shifts = np.array(list(kept), dtype=np.int64).reshape(-1, self.size)
        return Identity(name, shifts, rows[:, 0], rows[:, 1:])
