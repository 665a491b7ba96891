r"""Rational functions of two variables, one inside the other.

At a value of the second variable, a function is one of the first alone: :math:`\sum_i n_i x^i / \sum_i d_i x^i`, whose
last :math:`d_i` is 1. That fixes all coefficients, so each is a rational function of the second variable, and is found
from its values as any other (`lpm.theory.rational`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lpm.theory.modular import PRIMES
from lpm.theory.rational import RationalFunction, modulo, rational_functions

__all__ = ["BivariateFunction", "bivariate_functions"]

Sample = Callable[[int, int, int], Mapping[Any, int]]
"""(x, y, prime) to {key: residue}; a key that is missing has the value 0."""

Side = tuple[RationalFunction, ...]


@dataclass(frozen=True)
class BivariateFunction:
    """N / D as polynomials in x, whose coefficients are functions of y, from the constant one upwards.

    Example:
        >>> f = bivariate_functions(lambda x, y, p: {"f": (x + y) * pow(y * x - 2, -1, p) % p})["f"]
        >>> print(f.text("x", "y"), "=", f(Fraction(1), Fraction(3)))
        (((1)/(y))*x + 1)/(x + ((-2)/(y))) = 4
    """

    numerator: Side
    denominator: Side

    def __call__(self, x: Fraction, y: Fraction) -> Fraction:
        """The value at a point."""
        high, low = (
            sum((c(y) * x**i for i, c in enumerate(side)), Fraction(0)) for side in (self.numerator, self.denominator)
        )
        return high / low

    def text(self, first: str, second: str) -> str:
        """As text, in variables of these names."""
        high, low = (_text(side, first, second) for side in (self.numerator, self.denominator))
        return high if len(self.denominator) == 1 else f"({high})/({low})"


def _text(side: Side, first: str, second: str) -> str:
    out = ""
    for power, c in reversed(list(enumerate(side))):
        if not c.numerator:
            continue
        x = "" if not power else first if power == 1 else f"{first}^{power}"
        if len(c.numerator) == len(c.denominator) == 1:
            value = c.numerator[0]
            sign, factor = "-" if value < 0 else "+", str(abs(value))
            term = x if x and factor == "1" else f"{factor}*{x}" if x else factor
        else:
            sign, term = "+", f"({c.text(second)})" + (f"*{x}" if x else "")
        out += f" {sign} {term}" if out else term if sign == "+" else f"-{term}"
    return out or "0"


def bivariate_functions(
    sample: Sample, *, most: int = 200, primes: tuple[int, ...] = PRIMES, begin: int = 1_000_003
) -> dict[Hashable, BivariateFunction]:
    """The functions whose values are sampled.

    Args:
        sample: (x, y, prime) to {key: residue}. A point at which it has a pole raises `ZeroDivisionError` and is left
            out.
        most: Most points of each variable and prime.
        primes: Moduli to go through.
        begin: The first point of each variable.

    Raises:
        ValueError: If so many points or primes do not determine the functions.
    """

    def sides(y: int, prime: int, points: int) -> dict[Hashable, tuple[list[int], list[int]]]:
        return modulo(lambda x, p: sample(x, y, p), prime, most, begin, points)

    # At single values of y something may cancel: the form is that of most terms out of several.
    tried = [_shape(sides(begin - 1 - k, primes[0], 4)) for k in range(3)]
    shape = max(tried, key=lambda t: sum(n + d for n, d in t.values()))
    points = max((n + d for n, d in shape.values()), default=3) + 1

    def at(y: int, prime: int) -> dict[Hashable, int]:
        made = sides(y, prime, points)
        if _shape(made) != shape:
            raise ZeroDivisionError(f"the functions have another form at {y} modulo {prime}")
        return {(key, k, i): c for key, both in made.items() for k, side in enumerate(both) for i, c in enumerate(side)}

    found = rational_functions(at, most=most, primes=primes, begin=begin)
    zero = RationalFunction((), (Fraction(1),))
    out = {}
    for key, sizes in shape.items():
        n, d = (tuple(found.get((key, k, i), zero) for i in range(size)) for k, size in enumerate(sizes))
        if n:
            out[key] = BivariateFunction(n, d)
    return out


def _shape(made: Mapping[Hashable, tuple[list[int], list[int]]]) -> dict[Hashable, tuple[int, int]]:
    return {key: (len(n), len(d)) for key, (n, d) in made.items()}
