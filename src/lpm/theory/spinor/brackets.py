r"""Sums of products of spinor brackets ⟨ij⟩ and [ij] of massless particles, and the relations between products.

Brackets are antisymmetric, and three kinds of relations connect their products (Dixon, arXiv 1310.5353, section 2):

.. math:: \langle ij\rangle\langle kl\rangle - \langle ik\rangle\langle jl\rangle + \langle il\rangle\langle jk\rangle
          = 0, \qquad \sum_k \langle ik\rangle [kj] = 0, \qquad
          \sum_{a<b\in A} \langle ab\rangle [ab] = \sum_{a<b\notin A} \langle ab\rangle [ab],

the first for square brackets too. Each may be multiplied by any product of brackets, powers below zero included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations

from lpm.theory.parse import parse

__all__ = ["Brackets", "Powers", "Relation", "pairs", "place_of", "read", "relations", "times", "weights"]

Powers = tuple[int, ...]
"""Power of each bracket: ⟨12⟩, ⟨13⟩, …, ⟨23⟩, …, then the same for square brackets."""

_BRACKET = re.compile(r"[<⟨]\s*(\d+)\s*[\s,|]?\s*(\d+)\s*[>⟩]|\[\s*(\d+)\s*[\s,|]?\s*(\d+)\s*\]")


@lru_cache
def pairs(n: int) -> tuple[tuple[int, int], ...]:
    """Pairs of labels in the order of their brackets.

    Example:
        >>> pairs(3)
        ((1, 2), (1, 3), (2, 3))
    """
    return tuple(combinations(range(1, n + 1), 2))


def place_of(n: int, i: int, j: int, square: bool) -> tuple[int, int]:
    """Place among the powers, and sign, of a bracket of two labels in either order."""
    at = pairs(n).index((min(i, j), max(i, j)))
    return at + square * len(pairs(n)), 1 if i < j else -1


@dataclass(frozen=True)
class Brackets:
    """A sum of products of brackets of n particles: ((powers, coefficient), …), sorted, without zeros.

    Example:
        >>> print(read("<12><34> + <14><23>", 4))
        <12><34> + <14><23>
    """

    n: int
    terms: tuple[tuple[Powers, Fraction], ...]

    @classmethod
    def of(cls, n: int, terms: Iterable[tuple[Powers, Fraction]]) -> Brackets:
        """From terms in any order; equal products are added up."""
        out: dict[Powers, Fraction] = {}
        for m, c in terms:
            out[m] = out.get(m, Fraction(0)) + c
        return cls(n, tuple(sorted((m, c) for m, c in out.items() if c)))

    def __len__(self) -> int:
        return len(self.terms)

    def __str__(self) -> str:
        comma = "," if self.n > 9 else ""
        parts = []
        for sign, c, high, low, several in self._parts(f"<{{}}{comma}{{}}>", f"[{{}}{comma}{{}}]", "^{}"):
            top = high if c == 1 and high else f"{c}{'*' if high else ''}{high}"
            parts.append(f"{sign} {top}" + (f"/({low})" if several else f"/{low}" if low else ""))
        return _signed(parts)

    def latex(self) -> str:
        """As LaTeX."""
        parts = []
        for sign, c, high, low, _ in self._parts(r"\langle {} {} \rangle", "[{} {}]", "^{{{}}}"):
            top = high if c.numerator == 1 and high else f"{c.numerator}{high}"
            low = low if c.denominator == 1 else f"{c.denominator}{low}"
            parts.append(f"{sign} " + (rf"\frac{{{top}}}{{{low}}}" if low else top))
        return _signed(parts)

    def _parts(self, angle: str, square: str, power: str) -> Iterator[tuple[str, Fraction, str, str, bool]]:
        """Of each term: sign, size of the coefficient, numerator, denominator, and if that has several factors."""
        names = [form.format(i, j) for form in (angle, square) for i, j in pairs(self.n)]
        for m, c in sorted(self.terms, key=lambda t: [-e for e in t[0]]):
            high, low = (
                "".join(names[i] + (power.format(s * e) if s * e > 1 else "") for i, e in enumerate(m) if s * e > 0)
                for s in (1, -1)
            )
            yield "-" if c < 0 else "+", abs(c), high, low, sum(e < 0 for e in m) > 1

    def __add__(self, other: Brackets) -> Brackets:
        return Brackets.of(self.n, [*self.terms, *other.terms])

    def __neg__(self) -> Brackets:
        return Brackets(self.n, tuple((m, -c) for m, c in self.terms))

    def __sub__(self, other: Brackets) -> Brackets:
        return self + -other

    def __mul__(self, other: Brackets) -> Brackets:
        return Brackets.of(self.n, [(times(a, b), x * y) for a, x in self.terms for b, y in other.terms])

    def __truediv__(self, other: Brackets) -> Brackets:
        if not len(other):
            raise ZeroDivisionError("division by zero")
        if len(other) > 1:
            raise ValueError("a sum in a denominator; multiply it out, denominators are products of brackets")
        ((m, c),) = other.terms
        return self * Brackets(self.n, ((tuple(-e for e in m), 1 / c),))

    def __pow__(self, power: int) -> Brackets:
        one = Brackets(self.n, (((0,) * (2 * len(pairs(self.n))), Fraction(1)),))
        out = one
        for _ in range(abs(power)):
            out = out * self
        return out if power >= 0 else one / out


def _signed(parts: list[str]) -> str:
    """Terms with their signs as a sum."""
    text = " ".join(parts) or "0"
    return text[2:] if text.startswith("+ ") else text.replace("- ", "-", 1)


def times(a: Powers, b: Powers) -> Powers:
    """Powers of a product of products."""
    return tuple(x + y for x, y in zip(a, b, strict=True))


def read(text: str, n: int) -> Brackets:
    """A sum of products of brackets from text: `<12>^3/(<23><34>[14]) - 2*[12]`. A sum in brackets is multiplied out.

    Args:
        text: Labels of two digits are set apart by a comma, `<1,12>`; ⟨ and ⟩ are read as < and >.
        n: Number of particles.

    Raises:
        ValueError: If the text is malformed, with the column; a label is no particle; terms differ in little group.
    """

    def name(found: re.Match[str]) -> str:
        # As long as what it stands for, so that columns of errors are those of the text.
        kind, digits = ("a", found.group(1, 2)) if found.group(1) else ("s", found.group(3, 4))
        return f"{kind}{digits[0]}_{digits[1]}".ljust(len(found.group()), "_")

    plain = _BRACKET.sub(lambda m: "\x00" + name(m), text)
    # Brackets that follow one another are multiplied.
    plain = re.sub(r"(?<=[\w)])\s*\x00", "*", plain).replace("\x00", "")
    form = parse(plain)
    values = {}
    for word in form.names:
        parts = re.fullmatch(r"([as])(\d+)_(\d+)_*", word)
        if not parts:
            raise ValueError(f"expected brackets such as <12> or [12], got {word}")
        i, j = int(parts[2]), int(parts[3])
        if not (1 <= i <= n and 1 <= j <= n):
            raise ValueError(f"bracket of {i} and {j}: there are {n} particles; give the number with --points")
        at, sign = place_of(n, i, j, parts[1] == "s") if i != j else (0, 0)
        powers = tuple(int(k == at) for k in range(2 * len(pairs(n))))
        values[word] = Brackets.of(n, [(powers, Fraction(sign))])
    unit = (0,) * (2 * len(pairs(n)))
    try:
        out: Brackets = form.evaluate(values, lambda c: Brackets.of(n, [(unit, Fraction(c))]))
    except ZeroDivisionError:
        raise ValueError("division by zero") from None
    weights(out)
    return out


def weights(e: Brackets) -> tuple[int, ...]:
    """Little-group weight of each particle: angle minus square brackets that hold it, the same in every term.

    Raises:
        ValueError: If terms differ: such a sum is no amplitude, and its value depends on phases.

    Example:
        >>> weights(read("<12>^3/(<23><31>)", 3))
        (2, 2, -2)
    """
    found = []
    half = len(pairs(e.n))
    for m, _ in e.terms:
        of = [0] * e.n
        for at, power in enumerate(m):
            for label in pairs(e.n)[at % half]:
                of[label - 1] += power if at < half else -power
        found.append(tuple(of))
    for k, other in enumerate(found):
        if other != found[0]:
            first, here = (Brackets(e.n, (e.terms[i],)) for i in (0, k))
            raise ValueError(
                f"terms of different little-group weights: {first} has {found[0]}, {here} has {other}; "
                "they cannot be added"
            )
    return found[0] if found else (0,) * e.n


@dataclass(frozen=True)
class Relation:
    """Products that add up to nothing.

    Args:
        name: What it says.
        terms: ((powers, sign), …).
    """

    name: str
    terms: tuple[tuple[Powers, int], ...]


@lru_cache
def relations(n: int) -> tuple[Relation, ...]:
    """Schouten identities and momentum conservation of n particles.

    Example:
        >>> relations(4)[0].name, len(relations(4)), len(relations(5)), len(relations(6))
        ('Schouten of <1 2 3 4>', 21, 45, 91)
    """
    size = 2 * len(pairs(n))
    labels = range(1, n + 1)

    def product(*brackets: tuple[int, int, bool]) -> tuple[Powers, int]:
        powers, sign = [0] * size, 1
        for i, j, square in brackets:
            at, s = place_of(n, i, j, square)
            powers[at] += 1
            sign *= s
        return tuple(powers), sign

    out = []
    for square, name in ((False, "<{}>"), (True, "[{}]")):
        for i, j, k, m in combinations(labels, 4):
            three = [((i, j), (k, m)), ((i, k), (m, j)), ((i, m), (j, k))]
            terms = tuple(product((*a, square), (*b, square)) for a, b in three)
            out.append(Relation(f"Schouten of {name.format(f'{i} {j} {k} {m}')}", terms))
    for i in labels:
        for j in labels:
            terms = tuple(product((i, k, False), (k, j, True)) for k in labels if k not in (i, j))
            out.append(Relation(f"momentum between <{i}| and |{j}]", terms))
    # A pair against the others; of four particles each pair stands for two.
    for count in range(2, n // 2 + 1):
        for chosen in combinations(labels, count):
            if 2 * count == n and 1 not in chosen:
                continue
            rest = [k for k in labels if k not in chosen]
            sides = [(p, 1) for p in combinations(chosen, 2)] + [(p, -1) for p in combinations(rest, 2)]
            terms = tuple((product((*p, False), (*p, True))[0], sign) for p, sign in sides)
            out.append(Relation(f"squared momentum of {', '.join(map(str, chosen))}", terms))
    return tuple(out)
