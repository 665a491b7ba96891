r"""Sums of dilogarithms of rational functions, modulo products of logarithms and constants.

Reflection and inversion (Zagier, *The Dilogarithm Function*, 2007),

.. math:: \mathrm{Li}_2(1-f) \sim -\mathrm{Li}_2(f), \qquad \mathrm{Li}_2(1/f) \sim -\mathrm{Li}_2(f),

make a group of six: of the six arguments f, 1/f, 1 - f, … the simplest stands for all, which needs no search (`fold`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lpm.theory.parse import parse
from lpm.theory.ratio import Ratio

__all__ = ["Dilogs", "class_of", "fold", "orbit", "read"]


@dataclass(frozen=True)
class Dilogs:
    """A sum of dilogarithms: ((argument, coefficient), …), sorted, without zeros and constants.

    Example:
        >>> print(read("Li2(x) - 2*Li2(1/x)"))
        Li2(x) - 2*Li2(1/x)
    """

    terms: tuple[tuple[Ratio, Fraction], ...]

    @classmethod
    def of(cls, terms: Iterable[tuple[Ratio, Fraction]]) -> Dilogs:
        """From terms in any order; equal arguments are added up."""
        out: dict[Ratio, Fraction] = {}
        for f, c in terms:
            if f.constant is None:
                out[f] = out.get(f, Fraction(0)) + c
        return cls(tuple(sorted(((f, c) for f, c in out.items() if c), key=lambda t: _size(t[0]))))

    def __len__(self) -> int:
        return len(self.terms)

    def __str__(self) -> str:
        parts = []
        for f, c in self.terms:
            factor = "" if abs(c) == 1 else f"{abs(c)}*"
            parts.append(f"{'-' if c < 0 else '+'} {factor}Li2({f})")
        text = " ".join(parts) or "0"
        return text[2:] if text.startswith("+ ") else text.replace("- ", "-", 1)

    def latex(self) -> str:
        """As LaTeX."""
        text = re.sub(r"\^(\d+)", r"^{\1}", str(self))
        return text.replace("Li2", r"\mathrm{Li}_2").replace("*", r"\,")


def _size(f: Ratio) -> tuple[Any, ...]:
    """How complex an argument is."""
    both = (*f.high, *f.low)
    return (
        f.degree,
        len(f.low),
        sum(c != 0 for c in both),
        sum(map(abs, both)),
        sum(c < 0 for c in both),
        f.low,
        f.high,
    )


class _Reader:
    """A value while text is read: a number, a function, or a sum of dilogarithms."""

    def __init__(self, plain: Ratio, terms: dict[Ratio, Fraction] | None = None) -> None:
        self.plain, self.terms = plain, terms or {}

    def __add__(self, other: _Reader) -> _Reader:
        terms = dict(self.terms)
        for f, c in other.terms.items():
            terms[f] = terms.get(f, Fraction(0)) + c
        return _Reader(self.plain + other.plain, terms)

    def __neg__(self) -> _Reader:
        return _Reader(-self.plain, {f: -c for f, c in self.terms.items()})

    def __sub__(self, other: _Reader) -> _Reader:
        return self + -other

    def __mul__(self, other: _Reader) -> _Reader:
        if self.terms and other.terms:
            raise ValueError("products of dilogarithms are not simplified; give a sum")
        if other.terms:
            return other * self
        if not self.terms:
            return _Reader(self.plain * other.plain)
        if (factor := other.plain.constant) is None or self.plain.high:
            raise ValueError("coefficients of Li2 must be numbers, and nothing but Li2 may be added to it")
        return _Reader(self.plain, {f: c * factor for f, c in self.terms.items()})

    def __truediv__(self, other: _Reader) -> _Reader:
        if other.terms:
            raise ValueError("a dilogarithm in a denominator is not simplified")
        return self * _Reader(1 / other.plain)

    def __pow__(self, power: int) -> _Reader:
        if self.terms:
            raise ValueError("powers of dilogarithms are not simplified; give a sum")
        return _Reader(self.plain**power)


def read(text: str) -> Dilogs:
    """A sum of dilogarithms from text: `Li2(x) + 3/2*Li2((1-x)/(1+x^2))`.

    Raises:
        ValueError: If the text is malformed, or no sum of Li2 of rational functions of x.
    """

    def dilog(inner: _Reader) -> _Reader:
        if inner.terms:
            raise ValueError("a dilogarithm of a dilogarithm is not simplified")
        return _Reader(Ratio(()), {inner.plain: Fraction(1)})

    form = parse(text)
    if other := form.names - {"x"}:
        raise ValueError(f"expected functions of x, got {', '.join(sorted(other))}")
    try:
        found = form.evaluate(
            {"x": _Reader(Ratio((0, 1)))}, lambda n: _Reader(Ratio((n,) if n else ())), {"Li2": dilog}
        )
    except ZeroDivisionError:
        raise ValueError("division by zero") from None
    if found.plain.high:
        raise ValueError(f"expected a sum of Li2, got {found.plain} beside it")
    return Dilogs.of(found.terms.items())


def orbit(f: Ratio) -> list[tuple[Ratio, int, tuple[str, ...]]]:
    """The six arguments of a class: each with the sign of its dilogarithm and the way there."""
    g = 1 - f
    return [
        (f, 1, ()), (g, -1, ("reflection",)), (1 / f, -1, ("inversion",)), (1 / g, 1, ("reflection", "inversion")),
        (1 - 1 / f, 1, ("inversion", "reflection")), (-f / g, -1, ("reflection", "inversion", "reflection")),
    ]  # fmt: skip


def class_of(f: Ratio) -> tuple[Ratio, int, tuple[str, ...]]:
    """The simplest of the six arguments of a class, with the sign of its dilogarithm and the way there.

    Example:
        >>> f, sign, way = class_of(read("Li2(1/(1-x))").terms[0][0])
        >>> str(f), sign, way
        ('x', 1, ('inversion', 'reflection'))
    """
    return min(orbit(f), key=lambda x: _size(x[0]))


def fold(e: Dilogs) -> tuple[Dilogs, list[str]]:
    """The same sum with the simplest argument of each class, and what was done.

    Example:
        >>> print(*fold(read("Li2(x) + Li2(1-x)")))
        0 ['reflection of Li2(-x + 1)']
    """
    terms, told = [], []
    for f, c in e.terms:
        g, sign, way = class_of(f)
        terms.append((g, c * sign))
        told += [f"{' and '.join(way)} of Li2({f})"] if way else []
    return Dilogs.of(terms), told
