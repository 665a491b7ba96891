r"""Two judges of sums of dilogarithms.

Two sums are equal, modulo products of logarithms and constants, if their symbols are:
:math:`\sum_i c_i\, (1-f_i) \wedge f_i` with both factorised over the rationals, which is exact. The function of Bloch
and Wigner is an independent check with numbers.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from lpm.theory.dilog.sums import Dilogs
from lpm.theory.ratio import polynomial_text

__all__ = ["Symbol", "bloch_wigner", "certificate", "equal", "fewest", "symbol", "value"]

Symbol = dict[tuple[tuple[int, ...], tuple[int, ...]], Fraction]
"""{(factor, factor): coefficient}; a factor by its coefficients, the constant one first."""


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
        >>> from lpm.theory.dilog.sums import read
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
        >>> from lpm.theory.dilog.sums import read
        >>> equal(read("Li2(x)"), read("-Li2(1/x)")), equal(read("Li2(x)"), read("Li2(1/x)"))
        (True, False)
    """
    return not symbol(Dilogs.of([*a.terms, *((f, -c) for f, c in b.terms)]))


def certificate(e: Dilogs) -> list[str]:
    """The symbol in words, for others to check: a line for each pair of factors.

    Example:
        >>> from lpm.theory.dilog.sums import read
        >>> certificate(read("Li2(x)"))
        ['1 * (x - 1) ^ (x)']
    """
    found = sorted(symbol(e).items())
    return [f"{c} * ({polynomial_text(a)}) ^ ({polynomial_text(b)})" for (a, b), c in found]


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
