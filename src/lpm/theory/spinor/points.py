"""Brackets at points: the judge of sums, and what their zeros and poles tell.

Two sums are equal if they are at random points of a finite field that conserve momentum: a false answer has a chance of
about the degree over the prime, 10⁻¹⁷.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from lpm.theory.modular import PRIMES, reconstruct, residue
from lpm.theory.spinor.brackets import Brackets, Powers, pairs, weights

__all__ = ["certificate", "equal", "single", "value"]


def single(e: Brackets) -> Brackets | None:
    """The one product that a sum is equal to, or None: read off from its zeros and poles, without search.

    Where one bracket is made as small as a prime, in whole numbers modulo a high power of it, the sum is as small as
    the power with which that bracket stands in it (De Laurentis, Page, arXiv 2203.04269).

    Example:
        >>> from lpm.theory.spinor.brackets import read
        >>> print(single(read("<12><34> + <14><23>", 5)), single(read("<12>[24] + 2*<13>[34]", 5)))
        <13><24> None
    """
    size = 2 * len(pairs(e.n))
    powers = []
    for at in range(size):
        found = _valuation(e, at)
        if found is None:
            return None
        powers.append(found)
    one = Brackets(e.n, ((tuple(powers), Fraction(1)),))
    try:
        if weights(one) != weights(e):
            return None
    except ValueError:
        return None
    prime = PRIMES[0]
    ratios = [value(e, seed) * pow(value(one, seed), -1, prime) % prime for seed in range(3)]
    c = reconstruct(ratios[0], prime)
    if c is None or not c or any(r != ratios[0] for r in ratios):
        return None
    return Brackets(e.n, ((tuple(powers), c),))


_SMALL, _DIGITS = 2**31 - 1, 40


def _valuation(e: Brackets, at: int) -> int | None:
    """The power of a prime that divides the sum where it divides one bracket; None if it cannot be told."""
    modulus, rng = _SMALL**_DIGITS, np.random.default_rng(at)
    point = _point(e.n, rng, modulus, at)
    sizes = [_split(x, modulus) for x in point]
    terms = []
    for m, c in e.terms:
        power = sum(p * sizes[i][0] for i, p in enumerate(m))
        unit = residue(c, modulus)
        for i, p in enumerate(m):
            if p:
                unit = unit * pow(sizes[i][1], p, modulus) % modulus
        terms.append((power, unit))
    low = min(power for power, _ in terms)
    total = sum(unit * _SMALL ** (power - low) for power, unit in terms) % modulus
    # Digits that were cut off leave nothing to be told of a sum that is too small.
    size = _split(total, modulus)[0]
    return None if size > _DIGITS // 2 else low + size


def _split(x: int, modulus: int) -> tuple[int, int]:
    """Power of the prime, and the rest."""
    count = 0
    while x and x % _SMALL == 0:
        x, count = x // _SMALL, count + 1
    return (count, x % modulus) if x else (_DIGITS, 1)


def value(e: Brackets, seed: int, prime: int = PRIMES[0]) -> int:
    """The value at a random point of a finite field that conserves momentum.

    Args:
        e: The sum.
        seed: Decides the point; one at which a denominator vanishes is drawn again.
        prime: The modulus.
    """
    rng = np.random.default_rng(seed)
    while True:
        try:
            point = _point(e.n, rng, prime)
            total = 0
            for m, c in e.terms:
                product = residue(c, prime)
                for at, power in enumerate(m):
                    if power:
                        product = product * pow(point[at], power, prime) % prime
                total += product
            return total % prime
        except (ZeroDivisionError, ValueError):
            continue


def _point(n: int, rng: np.random.Generator, modulus: int, small: int = -1) -> list[int]:
    """All brackets of random spinors whose momenta add up to nothing, perhaps one of them small."""
    left, right = ([[int(x) for x in rng.integers(1, 2**31, size=2)] for _ in range(n)] for _ in range(2))
    half = len(pairs(n))
    # The last two square spinors are chosen such that all adds up to nothing; neither is one of a small bracket.
    solved = [n - 2, n - 1]
    if small >= 0:
        i, j = (x - 1 for x in pairs(n)[small % half])
        solved = [k for k in range(n) if k not in (i, j)][-2:]
        side = left if small < half else right
        side[j] = [(7 * a + _SMALL * (3 + b)) % modulus for a, b in zip(side[i], side[j], strict=True)]

    def bracket(a: Sequence[int], b: Sequence[int]) -> int:
        return (a[0] * b[1] - a[1] * b[0]) % modulus

    first, second = solved
    p, q = left[first], left[second]
    inverse = pow(bracket(p, q), -1, modulus)
    others = [k for k in range(n) if k not in solved]
    for at, other, sign in ((first, q, -1), (second, p, 1)):
        right[at] = [
            sign * sum(bracket(left[k], other) * right[k][c] for k in others) * inverse % modulus for c in (0, 1)
        ]
    angles = [bracket(left[i - 1], left[j - 1]) for i, j in pairs(n)]
    return angles + [bracket(right[i - 1], right[j - 1]) for i, j in pairs(n)]


def certificate(a: Brackets, b: Brackets, points: int = 2) -> list[dict[str, Any]]:
    """What the judge sees, for others to check: the brackets at each point, and the values of both sums.

    Example:
        >>> from lpm.theory.spinor.brackets import read
        >>> seen = certificate(read("<12>[23]", 4), read("-<14>[43]", 4), points=1)[0]
        >>> product = seen["brackets"]["<12>"] * seen["brackets"]["[23]"] % seen["prime"]
        >>> seen["values"] == [product, product]
        True
    """
    names = [str(Brackets(a.n, ((m, Fraction(1)),))) for m in _units(a.n)]
    out = []
    for seed in range(points):
        brackets = [value(Brackets(a.n, ((m, Fraction(1)),)), seed) for m in _units(a.n)]
        values = [value(e, seed) for e in (a, b)]
        out.append({"prime": PRIMES[0], "brackets": dict(zip(names, brackets, strict=True)), "values": values})
    return out


def _units(n: int) -> list[Powers]:
    """Each bracket by itself."""
    size = 2 * len(pairs(n))
    return [tuple(int(i == k) for i in range(size)) for k in range(size)]


def equal(a: Brackets, b: Brackets, points: int = 2) -> bool:
    """Whether two sums are equal, at random points of a finite field.

    Example:
        >>> from lpm.theory.spinor.brackets import read
        >>> equal(read("<12>[23]", 4), read("-<14>[43]", 4)), equal(read("<12>[23]", 4), read("<14>[43]", 4))
        (True, False)
    """
    rest = a - b
    return all(value(rest, seed) == 0 for seed in range(points))
