r"""What dilogarithms leave out: products of logarithms and constants, so that a simplification is an equation.

With principal values, and f not on the real axis, these hold exactly (Zagier, *The Dilogarithm Function*, 2007):

.. math:: \mathrm{Li}_2(f) &= -\mathrm{Li}_2(1-f) - \ln f \ln(1-f) + \pi^2/6, \\
          \mathrm{Li}_2(f) &= -\mathrm{Li}_2(1/f) - \tfrac12 \ln^2(-f) - \pi^2/6, \\
          \mathrm{Li}_2(f^2) &= 2\,\mathrm{Li}_2(f) + 2\,\mathrm{Li}_2(-f) .

The steps of a simplification are gone through once more, and what they drop is collected. The identity of five terms
has logarithms that depend on where its arguments lie; a simplification that needs it cannot be written as an equation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from lpm.theory.dilog.search import Duplication, classes_of, searched
from lpm.theory.dilog.sums import Dilogs, class_of, fold
from lpm.theory.engine import Found
from lpm.theory.ratio import Ratio

__all__ = ["Remainder", "dilogarithm", "equation"]


@dataclass(frozen=True)
class Remainder:
    """Σ c ln f ln g + Σ c Li2(number) + c π².

    Args:
        logs: ((f, g, c), …), sorted.
        numbers: ((number, c), …): dilogarithms of numbers.
        pi2: c.
    """

    logs: tuple[tuple[Ratio, Ratio, Fraction], ...] = ()
    numbers: tuple[tuple[Fraction, Fraction], ...] = ()
    pi2: Fraction = Fraction(0)

    @classmethod
    def of(
        cls, logs: Iterable[tuple[Ratio, Ratio, Fraction]], numbers: Iterable[tuple[Fraction, Fraction]], pi2: Fraction
    ) -> Remainder:
        """From terms in any order."""
        products: dict[tuple[Ratio, Ratio], Fraction] = {}
        constants: dict[Fraction, Fraction] = {}
        for f, g, c in logs:
            key = (f, g) if f <= g else (g, f)
            products[key] = products.get(key, Fraction(0)) + c
        for x, c in numbers:
            constants[x] = constants.get(x, Fraction(0)) + c
        return cls(
            tuple((f, g, c) for (f, g), c in sorted(products.items()) if c),
            tuple((x, c) for x, c in sorted(constants.items()) if c and x),
            pi2,
        )

    def __str__(self) -> str:
        parts = [(c, f"ln({f})*ln({g})" if f != g else f"ln({f})^2") for f, g, c in self.logs]
        parts += [(c, f"Li2({x})") for x, c in self.numbers]
        parts += [(self.pi2, "pi^2")] if self.pi2 else []
        text = " ".join(f"{'-' if c < 0 else '+'} {'' if abs(c) == 1 else f'{abs(c)}*'}{what}" for c, what in parts)
        return text[2:] if text.startswith("+ ") else text.replace("- ", "-", 1) or "0"

    def value(self, x: Any) -> Any:
        """At complex numbers x, with principal values."""
        x = np.asarray(x, dtype=complex)
        total = np.full(x.shape, complex(float(self.pi2) * np.pi**2))
        for f, g, c in self.logs:
            total = total + float(c) * np.log(f.at(x)) * np.log(g.at(x))
        for number, c in self.numbers:
            total = total + float(c) * dilogarithm(np.full(x.shape, complex(number)))
        return total


def dilogarithm(z: Any) -> Any:
    """Li2 of complex numbers, its principal value.

    Example:
        >>> bool(abs(dilogarithm(1.0) - np.pi**2 / 6) < 1e-14)
        True
    """
    from scipy.special import spence

    return spence(1 - np.asarray(z, dtype=complex))


class _Dropped:
    """What is dropped on the way."""

    def __init__(self) -> None:
        self.logs: list[tuple[Ratio, Ratio, Fraction]] = []
        self.numbers: list[tuple[Fraction, Fraction]] = []
        self.pi2 = Fraction(0)

    def fold(self, terms: Iterable[tuple[Ratio, Fraction]]) -> None:
        """Terms are brought to the simplest argument of their class."""
        for f, c in terms:
            if (number := f.constant) is not None:
                self.numbers.append((number, c))
                continue
            for kind in class_of(f)[2]:
                if kind == "reflection":
                    self.logs.append((f, 1 - f, -c))
                    self.pi2 += c / 6
                    f = 1 - f
                else:
                    self.logs.append((-f, -f, -c / 2))
                    self.pi2 -= c / 6
                    f = 1 / f
                c = -c


def equation(e: Dilogs, *, beam: int = 20, seconds: float = 60.0) -> tuple[Found, Remainder]:
    """Simplify, and say what the result lacks of the sum.

    Args:
        e: The sum.
        beam: As in `lpm.theory.dilog.simplify`.
        seconds: The same.

    Raises:
        ValueError: If the relation of five terms was used.

    Example:
        >>> from lpm.theory.dilog import read
        >>> found, rest = equation(read("Li2(x) + Li2(1-x)"))
        >>> print(found.expression, "and", rest)
        0 and -ln(x)*ln(-x + 1) + 1/6*pi^2
    """
    found, dropped = searched(e, beam=beam, seconds=seconds), _Dropped()
    dropped.fold(e.terms)
    here, told = fold(e)
    for step in found.steps:
        if not isinstance(step, Duplication):
            raise ValueError(
                "the relation of five terms was used, whose logarithms depend on the region; leave them out"
            )
        folded = dict(classes_of(step))
        factor = -dict(here.terms)[step.away] / folded[step.away]
        # The relation adds up to nothing; folded, it lacks what is dropped here.
        dropped.fold((f, factor * c) for f, c in step.relation())
        here = Dilogs.of([*here.terms, *((f, factor * c) for f, c in folded.items())])
    steps = (*told, *map(str, found.steps))
    return Found(here, steps, found.seen, found.complete), Remainder.of(dropped.logs, dropped.numbers, dropped.pi2)
