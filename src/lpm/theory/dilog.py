r"""Sums of dilogarithms of rational functions, modulo products of logarithms and constants.

Four identities connect dilogarithms (Zagier, *The Dilogarithm Function*, 2007):

.. math:: \mathrm{Li}_2(1-f) \sim -\mathrm{Li}_2(f), \quad \mathrm{Li}_2(1/f) \sim -\mathrm{Li}_2(f), \quad
          \mathrm{Li}_2(f^2) \sim 2\mathrm{Li}_2(f) + 2\mathrm{Li}_2(-f),

and the one of five terms. Reflection and inversion make a group of six: of the six arguments f, 1/f, 1 - f, … the
simplest stands for all, so they need no search (`fold`). What is searched are duplications and relations of five terms
between such classes, each of which takes one term away or exchanges terms.

Two sums are equal if their symbols are (`symbol`): :math:`\sum_i c_i\, (1-f_i) \wedge f_i`, with both factorised over
the rationals, which is exact. The function of Bloch and Wigner (`bloch_wigner`) is an independent check with numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np

from lpm.theory.engine import Found, search
from lpm.theory.parse import parse
from lpm.theory.ratio import Ratio

__all__ = [
    "Classes",
    "Dilogs",
    "Duplication",
    "FiveTerms",
    "bloch_wigner",
    "class_of",
    "equal",
    "example",
    "fewest",
    "fold",
    "read",
    "searched",
    "simplify",
    "symbol",
    "value",
]

Terms = Mapping[Ratio, Fraction]
Symbol = dict[tuple[tuple[int, ...], tuple[int, ...]], Fraction]


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
        return str(self).replace("Li2", r"\mathrm{Li}_2").replace("*", r"\,")


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


def _orbit(f: Ratio) -> list[tuple[Ratio, int, tuple[str, ...]]]:
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
    return min(_orbit(f), key=lambda x: _size(x[0]))


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


@dataclass(frozen=True)
class Duplication:
    """Put Li2(f²) = 2 Li2(f) + 2 Li2(-f) in, such that the term of `away` goes."""

    f: Ratio
    away: Ratio

    def __str__(self) -> str:
        return f"duplication of Li2({self.f}), for Li2({self.away})"

    def relation(self) -> list[tuple[Ratio, Fraction]]:
        """Terms that add up to nothing."""
        return [(self.f * self.f, Fraction(1)), (self.f, Fraction(-2)), (-self.f, Fraction(-2))]


@dataclass(frozen=True)
class FiveTerms:
    """Put the relation of five terms of f and g in, such that the term of `away` goes."""

    f: Ratio
    g: Ratio
    away: Ratio

    def __str__(self) -> str:
        return f"five terms of {self.f} and {self.g}, for Li2({self.away})"

    def relation(self) -> list[tuple[Ratio, Fraction]]:
        """Terms that add up to nothing."""
        rest = 1 - self.f * self.g
        return [(a, Fraction(1)) for a in (self.f, self.g, (1 - self.f) / rest, rest, (1 - self.g) / rest)]


Step = Duplication | FiveTerms


class Classes:
    """Sums of classes: steps are relations that take one of the classes away.

    Args:
        five: Whether relations of five terms are tried.
        degree: Highest degree of an argument that a step may bring in.
        pairs: Whether to take only steps that make the sum no longer.
    """

    def __init__(self, five: bool = False, degree: int = 8, pairs: bool = False) -> None:
        self.five, self.degree, self.pairs = five, degree, pairs
        self._relations: dict[Step, tuple[tuple[Ratio, Fraction], ...]] = {}

    def relation(self, step: Step) -> tuple[tuple[Ratio, Fraction], ...]:
        """The relation between classes that a step uses."""
        if step not in self._relations:
            self._relations[step] = fold(Dilogs.of(step.relation()))[0].terms
        return self._relations[step]

    def steps(self, e: Dilogs) -> Sequence[Step]:
        """Duplications that hold a class of the sum, and relations of five terms that hold two."""
        out: list[Step] = []
        for away, _ in e.terms:
            for f, _, _ in _orbit(away)[:2] + _orbit(away)[5:]:
                out += [Duplication(f, away), Duplication(-f, away)]
                if (root := f.root()) is not None:
                    out.append(Duplication(root, away))
        if self.five:
            for (f, _), (g, _) in combinations(e.terms, 2):
                for a, _, _ in _orbit(f):
                    out += [FiveTerms(a, b, f) for b, _, _ in _orbit(g) if (1 - a * b).constant is None]
        here = {f for f, _ in e.terms}
        return [s for s in out if self._helps(s, here)]

    def _helps(self, step: Step, here: set[Ratio]) -> bool:
        relation = {f for f, _ in self.relation(step)}
        if step.away not in relation or max(f.degree for f in relation) > self.degree:
            return False
        return not self.pairs or 2 * len(relation & here) >= len(relation)

    def apply(self, e: Dilogs, step: Step) -> Dilogs:
        """The sum without one of its classes, and with the others of the relation."""
        relation = dict(self.relation(step))
        factor = -dict(e.terms)[step.away] / relation[step.away]
        return Dilogs.of([*e.terms, *((f, c * factor) for f, c in relation.items())])

    def cost(self, e: Dilogs) -> tuple[int, ...]:
        """Number of terms, then how large their arguments are."""
        return (len(e), sum(f.degree for f, _ in e.terms), sum(sum(map(abs, (*f.high, *f.low))) for f, _ in e.terms))


def simplify(e: Dilogs, *, beam: int = 20, patience: int = 3, seconds: float = 60.0) -> Found:
    """A sum of as few dilogarithms as are found: folded, then by duplications, then by relations of five terms.

    Args:
        e: The sum.
        beam: Sums that are followed at a time.
        patience: Rounds without a simpler one after which to stop.
        seconds: Time after which to stop.

    Returns:
        The sum; the steps are text.

    Example:
        >>> found = simplify(read("Li2(x^2) - 2*Li2(-x) + 2*Li2(1-x)"))
        >>> print(found.expression, found.steps[-1])
        0 duplication of Li2(x), for Li2(x)
    """
    out = searched(e, beam=beam, patience=patience, seconds=seconds)
    return Found(out.expression, (*fold(e)[1], *map(str, out.steps)), out.seen, out.complete)


def searched(e: Dilogs, *, beam: int = 20, patience: int = 3, seconds: float = 60.0) -> Found:
    """As `simplify`; the steps are those that follow folding, as `Duplication` and `FiveTerms`."""
    folded = fold(e)[0]
    least, degree = fewest(folded), max([8, *(f.degree for f, _ in folded.terms)])
    out = Found(folded, (), 1, True)
    for domain, width, rounds in (
        (Classes(degree=degree, pairs=True), beam, patience),
        (Classes(degree=degree), beam, patience),
        (Classes(degree=degree, five=True), max(1, beam // 4), 1),
    ):
        if len(out.expression) > least:
            more = search(domain, out.expression, beam=width, patience=rounds, seconds=seconds / 3, fewest=least)
            out = Found(
                more.expression, (*out.steps, *more.steps), out.seen + more.seen, out.complete and more.complete
            )
    return out


def example(terms: int, zeros: int, scrambles: int, rng: np.random.Generator) -> tuple[Dilogs, Dilogs]:
    """A simple sum, and an equal one that is not: the generator of arXiv 2206.04115.

    Arguments are ratios of polynomials of degree two at most with coefficients from -2 to 2, coefficients 1 to 8 with a
    sign. Reflections, inversions and duplications are applied to single terms, before equal ones are added up.

    Args:
        terms: Of the simple sum.
        zeros: Pairs of terms that cancel, added before the scrambling.
        scrambles: Identities that are applied.
        rng: Decides all.
    """

    def drawn() -> Ratio:
        while True:
            high, low = (rng.integers(-2, 3, size=int(rng.integers(1, 4))).tolist() for _ in range(2))
            if any(low) and (f := Ratio.of(high, low)).constant is None:
                return f

    def coefficient() -> Fraction:
        return Fraction(int(rng.integers(1, 9)) * (1 if rng.random() < 0.5 else -1))

    items = [(drawn(), coefficient()) for _ in range(terms)]
    simple = Dilogs.of(items)
    for _ in range(zeros):
        f, c = drawn(), coefficient()
        items += [(f, c), (f, -c)]
    for _ in range(scrambles):
        i, kind = int(rng.integers(len(items))), int(rng.integers(3))
        f, c = items[i]
        items[i : i + 1] = [[(1 - f, -c)], [(1 / f, -c)], [(-f, -c), (f * f, c / 2)]][kind]
    return simple, Dilogs.of(items)


def symbol(e: Dilogs) -> Symbol:
    """Coefficients of a ∧ b for irreducible a < b, one of them no number: all zero if, and only if, all is constant."""
    out: Symbol = {}
    for f, c in e.terms:
        left, right = (1 - f).factors(), f.factors()
        for a, m in left.items():
            for b, n in right.items():
                if a != b and (len(a) > 1 or len(b) > 1):
                    key, sign = ((a, b), 1) if a < b else ((b, a), -1)
                    out[key] = out.get(key, Fraction(0)) + sign * m * n * c
    return {k: v for k, v in out.items() if v}


def fewest(e: Dilogs) -> int:
    """A number of terms that no equal sum falls below: each adds at most two to the rank of the symbol without numbers.

    Example:
        >>> fewest(read("Li2(x) + Li2(x+3)")), fewest(read("Li2(x) + Li2(1/x)"))
        (2, 0)
    """
    from flint import fmpq, fmpq_mat

    found = {pair: c for pair, c in symbol(e).items() if all(len(a) > 1 for a in pair)}
    names = {a: i for i, a in enumerate(dict.fromkeys(a for pair in found for a in pair))}
    matrix = fmpq_mat(len(names), len(names))
    for (a, b), c in found.items():
        matrix[names[a], names[b]] = fmpq(c.numerator, c.denominator)
        matrix[names[b], names[a]] = -fmpq(c.numerator, c.denominator)
    return (int(matrix.rank()) + 1) // 2 if names else 0


def equal(a: Dilogs, b: Dilogs) -> bool:
    """Whether two sums are equal modulo products of logarithms and constants: exactly, by their symbols.

    Example:
        >>> equal(read("Li2(x)"), read("-Li2(1/x)")), equal(read("Li2(x)"), read("Li2(1/x)"))
        (True, False)
    """
    return not symbol(Dilogs.of([*a.terms, *((f, -c) for f, c in b.terms)]))


def bloch_wigner(z: Any) -> Any:
    """Im Li2(z) + arg(1 - z) ln|z| of complex numbers, which obeys all identities exactly.

    Example:
        >>> z = np.array([0.3 + 0.4j])
        >>> bool(abs(bloch_wigner(z) + bloch_wigner(1 - z))[0] < 1e-12)
        True
    """
    from scipy.special import spence

    z = np.asarray(z, dtype=complex)
    out = spence(1 - z).imag + np.angle(1 - z) * np.log(np.abs(z))
    return np.asarray(out)


def value(e: Dilogs, x: Any) -> Any:
    """The sum of Bloch–Wigner functions at complex numbers x."""
    total = np.zeros(np.shape(x))
    for f, c in e.terms:
        total = total + float(c) * bloch_wigner(f.at(x))
    return total
