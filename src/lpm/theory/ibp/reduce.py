"""From text to a certified reduction: how many identities are needed is found by trying."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from lpm.theory.bivariate import BivariateFunction, bivariate_functions
from lpm.theory.ibp.family import Family, Index
from lpm.theory.ibp.identities import Point
from lpm.theory.ibp.laporta import Reducer, Seeds, Share, seeds_for
from lpm.theory.ibp.sectors import live_sectors, sector_of
from lpm.theory.modular import residue
from lpm.theory.rational import RationalFunction, rational_functions

__all__ = ["Reduction", "read_terms", "reduce_at", "reduce_over", "reduce_over_two"]

_INTEGRAL = re.compile(r"\s*(?P<sign>[+-]?)\s*(?:(?P<high>\d+)(?:/(?P<low>\d+))?\s*\*?\s*)?I\[(?P<index>[^\]]*)\]")
TRIES = 4
"""Systems of seeds that are tried, each larger than the one before."""


@dataclass(frozen=True)
class Reduction:
    """A sum of integrals in terms of the simplest ones.

    Args:
        terms: {integral: residue}, the most complex first.
        proof: The identities that add up to the sum minus these terms, each with its name, seed and factor.
        seeds: Where identities were written down.
        equations: Their number.
        settled: Whether a smaller system of seeds had left the same integrals: then they are taken for masters.
    """

    terms: dict[Index, int]
    proof: tuple[Share, ...]
    seeds: Seeds
    equations: int
    settled: bool


def read_terms(text: str, family: Family) -> dict[Index, Fraction]:
    """A sum of integrals from text.

    Raises:
        ValueError: If the text is malformed, with the column, or an integral is not one of the family.

    Example:
        >>> from lpm.theory.ibp.family import read_family
        >>> read_terms("I[2,1,1,1] - 3/2*I[1,1,1,1]", read_family("box"))
        {(2, 1, 1, 1): Fraction(1, 1), (1, 1, 1, 1): Fraction(-3, 2)}
    """
    out: dict[Index, Fraction] = {}
    at = 0
    while text[at:].strip() or not out:
        found = _INTEGRAL.match(text, at)
        if not found or (out and not found["sign"]):
            column = at + len(text[at:]) - len(text[at:].lstrip()) + 1
            wanted = "a sign and an integral" if out else "an integral"
            raise ValueError(f"column {column}: expected {wanted} such as 3*I[1,0,2], got {text[at:].strip()[:20]!r}")
        try:
            index = family.check(tuple(int(a) for a in found["index"].split(",")))
        except ValueError as error:
            column = found.start("index") + 1
            why = str(error) if "family" in str(error) else f"expected whole numbers, got {found['index']!r}"
            raise ValueError(f"column {column}: {why}") from None
        if found["low"] and not int(found["low"]):
            raise ValueError(f"column {found.start('low') + 1}: division by zero")
        value = Fraction(int(found["high"] or 1), int(found["low"] or 1)) * (-1 if found["sign"] == "-" else 1)
        out[index] = out.get(index, Fraction(0)) + value
        at = found.end()
    return out


def _systems(terms: Mapping[Index, object], tries: int) -> Iterator[Seeds]:
    """Larger and larger systems of seeds, by turns with more powers of numerators and with more dots."""
    first = seeds_for(terms, rank=-1)
    yield first
    for n in range(1, tries):
        yield Seeds(sectors=first.sectors, dots=first.dots + n // 3, rank=first.rank + n - n // 3)


def reduce_at(
    family: Family,
    terms: Mapping[Index, Fraction],
    point: Point,
    prime: int,
    *,
    memory: int = 2**34,
    tries: int = TRIES,
    symmetric: bool = False,
) -> Reduction:
    """Reduce a sum of integrals at one point, with more and more identities until two systems leave the same integrals.

    Args:
        family: The family.
        terms: {integral: coefficient}.
        point: {symbol: value}, `d` among them.
        prime: The modulus.
        memory: Most bytes for what elimination finds.
        tries: Most systems.
        symmetric: Whether integrals that are equal by a change of momenta are one.

    Raises:
        ValueError: If a symbol has no value, the modulus is no prime, or the identities have a pole at the point.
        MemoryError: If elimination needs more memory.

    Example:
        >>> from lpm.theory.ibp.family import read_family
        >>> found = reduce_at(read_family("box"), {(2, 1, 1, 1): Fraction(1)}, dict(d=11, s=1, t=3), 10007)
        >>> found.terms, found.settled
        ({(1, 1, 1, 1): 10001, (0, 1, 0, 1): 8677}, True)
    """
    for index in terms:
        family.check(index)
    try:
        values = {i: residue(c, prime) for i, c in terms.items()}
    except ZeroDivisionError as error:
        raise ValueError(f"{error}; choose another prime") from None
    live = set(live_sectors(family))
    if not any(sector_of(i) in live for i in terms):
        return Reduction({}, (), Seeds(sectors=(), dots=0, rank=0), 0, True)
    before: set[Index] | None = None
    for seeds in _systems(terms, tries):
        try:
            reducer = Reducer(family, point, prime, seeds, memory, symmetric=symmetric)
        except ZeroDivisionError as error:
            raise ValueError(f"family {family.name}: {error}; choose another point or prime") from None
        result = reducer.reduce(values)
        settled = before == set(result)
        # What was asked for and is left over may be a master, or may need more identities: then these are tried.
        if settled and not any(i in values and not _corner(i) for i in result):
            break
        before = set(result)
    proof = reducer.certify(values, result)
    return Reduction(result, tuple(proof), seeds, reducer.equations, settled)


def _corner(index: Index) -> bool:
    """Whether an integral is the simplest of its sector."""
    return all(a in (0, 1) for a in index)


def reduce_over(
    family: Family,
    terms: Mapping[Index, Fraction],
    point: Point,
    symbol: str,
    *,
    memory: int = 2**34,
    symmetric: bool = False,
) -> dict[Index, RationalFunction]:
    """Coefficients as exact rational functions of one symbol, the others at rational numbers.

    Args:
        family: The family.
        terms: {integral: coefficient}.
        point: Values of all other symbols.
        symbol: `d`, or one of the kinematics.
        memory: Most bytes for what elimination finds.
        symmetric: Whether integrals that are equal by a change of momenta are one.

    Raises:
        ValueError: If a symbol has no value, or the functions are too large to be found.

    Example:
        >>> from lpm.theory.ibp.family import read_family, show
        >>> found = reduce_over(read_family("box"), {(2, 1, 1, 1): Fraction(1)}, dict(s=1, t=3), "d")
        >>> {show(i): f.text("d") for i, f in found.items()}
        {'I[1,1,1,1]': '-d + 5', 'I[0,1,0,1]': '(4/9*d^2 - 32/9*d + 20/3)/(d - 6)'}
    """
    sample = _sampler(family, terms, point, (symbol,), memory, symmetric)
    found = rational_functions(lambda x, prime: sample((x,), prime))
    return {i: f for i, f in found.items() if isinstance(i, tuple)}


def reduce_over_two(
    family: Family,
    terms: Mapping[Index, Fraction],
    point: Point,
    symbols: tuple[str, str],
    *,
    memory: int = 2**34,
    symmetric: bool = False,
) -> dict[Index, BivariateFunction]:
    """Coefficients as exact rational functions of two symbols: the dimension and a ratio of kinematics, say.

    Args:
        family: The family.
        terms: {integral: coefficient}.
        point: Values of all other symbols.
        symbols: `d`, or some of the kinematics.
        memory: Most bytes for what elimination finds.
        symmetric: Whether integrals that are equal by a change of momenta are one.

    Raises:
        ValueError: If a symbol has no value, or the functions are too large to be found.

    Example:
        >>> from lpm.theory.ibp.family import read_family, show
        >>> found = reduce_over_two(read_family("box"), {(2, 1, 1, 1): Fraction(1)}, dict(s=1), ("d", "t"))
        >>> found[1, 1, 1, 1].text("d", "t")
        '-d + 5'
    """
    sample = _sampler(family, terms, point, symbols, memory, symmetric)
    found = bivariate_functions(lambda x, y, prime: sample((x, y), prime))
    return {i: f for i, f in found.items() if isinstance(i, tuple)}


def _sampler(
    family: Family,
    terms: Mapping[Index, Fraction],
    point: Point,
    symbols: tuple[str, ...],
    memory: int,
    symmetric: bool,
) -> Callable[[tuple[int, ...], int], dict[Index, int]]:
    """What the sum reduces to at values of some symbols, modulo a prime."""
    for i, symbol in enumerate(symbols):
        if symbol not in family.symbols or symbol in point or symbol in symbols[:i]:
            others = ", ".join(s for s in family.symbols if s not in point)
            raise ValueError(
                f"{symbol}: expected a symbol of family {family.name} without a value, out of {others or 'none'}"
            )
    seeds: list[Seeds] = []

    def sample(at: tuple[int, ...], prime: int) -> dict[Index, int]:
        values = {i: residue(c, prime) for i, c in terms.items()}
        here = {**point, **dict(zip(symbols, at, strict=True))}
        if not seeds:  # what is enough at one point is enough at others
            seeds.append(reduce_at(family, terms, here, prime, memory=memory, symmetric=symmetric).seeds)
        if not seeds[0].sectors:
            return {}
        return Reducer(family, here, prime, seeds[0], memory, symmetric=symmetric).reduce(values)

    return sample
