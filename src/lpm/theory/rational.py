r"""Rational functions and numbers from their residues: sample at points modulo primes, interpolate, join, check.

A function :math:`N(x)/D(x)` modulo a prime follows from its values at more points than it has coefficients: Euclid's
algorithm on the interpolating polynomial and :math:`\prod (x - x_i)` passes through N and D, where the degrees of both
together are lowest (von zur Gathen, Gerhard, Modern Computer Algebra, section 5.7). Coefficients are rational numbers,
found from several primes (`lpm.theory.modular`). Every result is checked at a point and a prime that it was not made
from.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from typing import Any

from lpm.theory.modular import PRIMES, join, reconstruct, residue
from lpm.theory.ratio import polynomial_text

__all__ = ["RationalFunction", "modulo", "rational_functions"]

Sample = Callable[[int, int], Mapping[Any, int]]
"""(x, prime) to {key: residue}; a key that is missing has the value 0."""


@dataclass(frozen=True)
class RationalFunction:
    """N(x) / D(x), coefficients from the constant one upwards; the last of D is 1.

    Example:
        >>> f = RationalFunction((Fraction(0), Fraction(3, 2)), (Fraction(-4), Fraction(1)))
        >>> print(f.text("d"), "=", f(Fraction(6)))
        (3/2*d)/(d - 4) = 9/2
    """

    numerator: tuple[Fraction, ...]
    denominator: tuple[Fraction, ...]

    def __call__(self, x: Fraction) -> Fraction:
        """The value at x."""
        return _value(self.numerator, x) / _value(self.denominator, x)

    def modulo(self, x: int, prime: int) -> int:
        """The value at x modulo a prime.

        Raises:
            ZeroDivisionError: If there is a pole.
        """
        high, low = (
            sum(residue(c, prime) * pow(x, i, prime) for i, c in enumerate(p)) % prime
            for p in (self.numerator, self.denominator)
        )
        if not low:
            raise ZeroDivisionError(f"a pole at {x} modulo {prime}")
        return high * pow(low, -1, prime) % prime

    def text(self, name: str) -> str:
        """As text, in a variable of that name."""
        if len(self.denominator) == 1:
            return polynomial_text(self.numerator, name)
        return f"({polynomial_text(self.numerator, name)})/({polynomial_text(self.denominator, name)})"


def _value(coefficients: tuple[Fraction, ...], x: Fraction) -> Fraction:
    return sum((c * x**i for i, c in enumerate(coefficients)), Fraction(0))


def rational_functions(
    sample: Sample, *, most: int = 200, primes: tuple[int, ...] = PRIMES, begin: int = 1_000_003
) -> dict[Hashable, RationalFunction]:
    """The functions whose values are sampled.

    Args:
        sample: (x, prime) to {key: residue}. A point at which it has a pole raises `ZeroDivisionError` and is left out.
        most: Most points of a prime.
        primes: Moduli to go through.
        begin: The first point; those after it follow one by one. Small numbers are often special ones.

    Raises:
        ValueError: If so many points or primes do not determine the functions.

    Example:
        >>> f = rational_functions(lambda x, p: {"f": (x + 1) * pow(2 * x - 3, -1, p) % p})["f"]
        >>> f.text("x")
        '(1/2*x + 1/2)/(x - 3/2)'
    """
    first = modulo(sample, primes[0], most, begin)
    shapes = {key: (len(n), len(d)) for key, (n, d) in first.items()}
    found = [first]
    for used in range(1, len(primes) + 1):
        made = {key: _joined([f[key] for f in found], primes[:used]) for key in shapes}
        if all(made.values()) and _agrees(made, sample, primes[used % len(primes)], begin):
            return {k: f for k, f in made.items() if f is not None and f.numerator}
        if used < len(primes):
            points = max((n + d for n, d in shapes.values()), default=0) + 1
            more = modulo(sample, primes[used], most, begin, points)
            if {key: (len(n), len(d)) for key, (n, d) in more.items()} != shapes:
                raise ValueError(f"modulo {primes[used]} the functions have another form; leave this prime out")
            found.append(more)
    raise ValueError(f"{len(primes)} primes do not determine the coefficients; give more")


def _agrees(made: Mapping[Hashable, RationalFunction | None], sample: Sample, prime: int, begin: int) -> bool:
    """Whether a point modulo another prime is given back."""
    for x in count(begin + 1_000_003):
        try:
            values = sample(x, prime)
            return all(f is not None and f.modulo(x, prime) == values.get(key, 0) for key, f in made.items())
        except ZeroDivisionError:
            continue
    raise AssertionError


def modulo(
    sample: Sample, prime: int, most: int, begin: int, points: int = 4
) -> dict[Hashable, tuple[list[int], list[int]]]:
    """Numerators and denominators modulo one prime, coefficients from the constant one upwards.

    Args:
        sample: As for `rational_functions`.
        prime: The modulus.
        most: Most points.
        begin: The first point.
        points: How many to begin with.

    Raises:
        ValueError: If so many points do not determine the functions.
        ZeroDivisionError: If more points than these are poles.

    Example:
        >>> modulo(lambda x, p: {"f": (x + 1) * pow(2 * x - 3, -1, p) % p}, 1009, 20, 7)
        {'f': ([505, 505], [503, 1])}
    """
    taken: list[tuple[int, Mapping[Any, int]]] = []
    for x in count(begin):
        try:
            taken.append((x, sample(x, prime)))
        except ZeroDivisionError:
            if x - begin - len(taken) > most:
                raise
            continue
        if len(taken) > points:
            made = _interpolated(taken, prime)
            if made is not None:
                return made
            points += max(2, points // 4)
        if len(taken) > most:
            raise ValueError(f"{most} points do not determine the functions; allow more")
    raise AssertionError


def _interpolated(
    taken: list[tuple[int, Mapping[Any, int]]], prime: int
) -> dict[Hashable, tuple[list[int], list[int]]] | None:
    """Functions through all points but the last, if they give the last one back."""
    keys = dict.fromkeys(key for _, values in taken for key in values)
    xs, (last, wanted) = [x for x, _ in taken[:-1]], taken[-1]
    made = {}
    for key in keys:
        n, d = _function(xs, [values.get(key, 0) for _, values in taken[:-1]], prime)
        high, low = (sum(c * pow(last, i, prime) for i, c in enumerate(p)) % prime for p in (n, d))
        if len(n) + len(d) > len(xs) or (high - low * wanted.get(key, 0)) % prime:
            return None
        made[key] = (n, d)
    return made


def _function(xs: list[int], ys: list[int], prime: int) -> tuple[list[int], list[int]]:
    """Numerator and denominator of lowest degree through the points, the last coefficient of the latter 1."""
    from flint import nmod_poly

    one = nmod_poly([1], prime)
    whole, through = one, nmod_poly([0], prime)
    for x, y in zip(xs, ys, strict=True):  # Newton's form
        step = (y - int(through(x))) * pow(int(whole(x)), -1, prime) % prime
        through, whole = through + step * whole, whole * nmod_poly([-x % prime, 1], prime)
    rows = [(whole, nmod_poly([0], prime)), (through, one)]
    best = rows[1]
    while rows[1][0].degree() >= 0:
        (a, s), (b, t) = rows
        if b.degree() + t.degree() < best[0].degree() + best[1].degree():
            best = rows[1]
        q = a // b
        rows = [(b, t), (a - q * b, s - q * t)]
    n, d = best
    unit = pow(int(d[d.degree()]), -1, prime)
    return [int(c) for c in (n * unit).coeffs()], [int(c) for c in (d * unit).coeffs()]


def _joined(parts: list[tuple[list[int], list[int]]], primes: tuple[int, ...]) -> RationalFunction | None:
    """Rational coefficients from those modulo several primes; None if they are not determined yet."""
    sides: list[tuple[Fraction, ...]] = []
    for side in range(2):
        made = [reconstruct(*join(residues, primes)) for residues in zip(*(p[side] for p in parts), strict=True)]
        if any(c is None for c in made):
            return None
        sides.append(tuple(c for c in made if c is not None))
    return RationalFunction(*sides)
