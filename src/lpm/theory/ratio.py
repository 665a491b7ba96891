"""Rational functions of one variable with rational coefficients, exactly, as keys and with fast arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from flint import fmpz_poly
from flint.utils.flint_exceptions import DomainError

__all__ = ["Ratio", "polynomial_text"]


@dataclass(frozen=True, order=True)
class Ratio:
    """A rational function in lowest terms.

    Args:
        high: Whole coefficients of the numerator, the constant one first; empty for zero.
        low: Of the denominator, whose last coefficient is positive.

    Example:
        >>> x = Ratio.of([0, 1])
        >>> print((1 - x * x) / (1 + x), "and", 1 / x - 1)
        -x + 1 and (-x + 1)/x
    """

    high: tuple[int, ...]
    low: tuple[int, ...] = (1,)

    @classmethod
    def of(cls, high: list[int], low: list[int] | None = None) -> Ratio:
        """In lowest terms.

        Raises:
            ZeroDivisionError: If the denominator is zero.
        """
        return _made(fmpz_poly(high), fmpz_poly(low or [1]))

    @property
    def degree(self) -> int:
        """The larger of the degrees of numerator and denominator."""
        return max(len(self.high), len(self.low)) - 1

    @property
    def constant(self) -> Fraction | None:
        """Its value if it is a number."""
        if len(self.high) > 1 or len(self.low) > 1:
            return None
        return Fraction(self.high[0] if self.high else 0, self.low[0])

    def __add__(self, other: Ratio | int) -> Ratio:
        (a, b), (c, d) = self._parts(), _ratio(other)._parts()
        return _made(a * d + c * b, b * d)

    __radd__ = __add__

    def __sub__(self, other: Ratio | int) -> Ratio:
        (a, b), (c, d) = self._parts(), _ratio(other)._parts()
        return _made(a * d - c * b, b * d)

    def __rsub__(self, other: int) -> Ratio:
        return _ratio(other) - self

    def __mul__(self, other: Ratio | int) -> Ratio:
        (a, b), (c, d) = self._parts(), _ratio(other)._parts()
        return _made(a * c, b * d)

    __rmul__ = __mul__

    def __truediv__(self, other: Ratio | int) -> Ratio:
        (a, b), (c, d) = self._parts(), _ratio(other)._parts()
        return _made(a * d, b * c)

    def __rtruediv__(self, other: int) -> Ratio:
        return _ratio(other) / self

    def __neg__(self) -> Ratio:
        return Ratio(tuple(-c for c in self.high), self.low)

    def __pow__(self, power: int) -> Ratio:
        (a, b), n = self._parts(), abs(power)
        return _made(a**n, b**n) if power >= 0 else _made(b**n, a**n)

    def root(self) -> Ratio | None:
        """A function whose square it is, if there is one with rational coefficients."""
        roots = []
        for part in self._parts():
            try:
                roots.append(part.sqrt())
            except DomainError:
                return None
        return _made(*roots)

    def at(self, x: complex) -> complex:
        """The value at a number."""
        high, low = (sum(c * x**i for i, c in enumerate(p)) for p in (self.high, self.low))
        return high / low

    def factors(self) -> dict[tuple[int, ...], int]:
        """Powers of its irreducible factors, and of the primes of its constant factor as (p,); its sign is left out."""
        out: dict[tuple[int, ...], int] = {}
        for part, sign in zip(self._parts(), (1, -1), strict=True):
            content, found = part.factor()
            for prime, power in content.factor():
                if abs(int(prime)) > 1:
                    key: tuple[int, ...] = (abs(int(prime)),)
                    out[key] = out.get(key, 0) + sign * power
            for factor, power in found:
                key = tuple(int(c) for c in factor.coeffs())
                out[key] = out.get(key, 0) + sign * power
        return {k: n for k, n in out.items() if n}

    def __str__(self) -> str:
        high = polynomial_text(self.high)
        if self.low == (1,):
            return high
        low = polynomial_text(self.low)
        return f"{_bracket(high)}/{_bracket(low, '*' in low)}"

    def _parts(self) -> tuple[fmpz_poly, fmpz_poly]:
        return fmpz_poly(list(self.high)), fmpz_poly(list(self.low))


def _made(high: fmpz_poly, low: fmpz_poly) -> Ratio:
    if low.degree() < 0:
        raise ZeroDivisionError("a rational function with the denominator zero")
    common = high.gcd(low)
    high, low = high // common, low // common
    if int(low[low.degree()]) < 0:
        high, low = -high, -low
    return Ratio(tuple(int(c) for c in high.coeffs()), tuple(int(c) for c in low.coeffs()))


def _ratio(x: Ratio | int) -> Ratio:
    return x if isinstance(x, Ratio) else Ratio((x,) if x else ())


def polynomial_text(coefficients: Sequence[int | Fraction], name: str = "x") -> str:
    """A polynomial as text, the constant coefficient first.

    Example:
        >>> polynomial_text([Fraction(-1, 2), 0, 1])
        'x^2 - 1/2'
    """
    terms = []
    for i, c in reversed(list(enumerate(coefficients))):
        if c:
            power = {0: "", 1: name}.get(i, f"{name}^{i}")
            size = power if power and abs(c) == 1 else f"{abs(c)}*{power}" if power else str(abs(c))
            terms.append(f"{'-' if c < 0 else '+'} {size}")
    text = " ".join(terms) or "0"
    return text[2:] if text.startswith("+ ") else text.replace("- ", "-", 1)


def _bracket(text: str, always: bool = False) -> str:
    return f"({text})" if always or " " in text or text.startswith("-") else text
