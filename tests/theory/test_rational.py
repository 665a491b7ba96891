"""Rational functions from samples modulo primes."""

from fractions import Fraction

import pytest

from lpm.theory.modular import PRIMES, residue
from lpm.theory.rational import RationalFunction, rational_functions


def sampled(**functions: RationalFunction):  # type: ignore[no-untyped-def]
    return lambda x, p: {k: f.modulo(x, p) for k, f in functions.items()}


def of(*coefficients: str) -> tuple[Fraction, ...]:
    return tuple(map(Fraction, coefficients))


def test_functions_come_back() -> None:
    wanted = {
        "constant": RationalFunction(of("-3/7"), of("1")),
        "polynomial": RationalFunction(of("1", "0", "0", "5/3"), of("1")),
        "pole": RationalFunction(of("2"), of("-4", "1")),
        "both": RationalFunction(of("1", "-10/3", "7"), of("5", "0", "1/9", "1")),
        "large": RationalFunction(of("123456789012345678901/987654321098765432"), of("11111111111111111/3", "1")),
    }
    assert rational_functions(sampled(**wanted)) == wanted


def test_what_is_zero_everywhere_is_left_out() -> None:
    assert rational_functions(lambda x, p: {"zero": 0, "one": 1}) == {"one": RationalFunction(of("1"), of("1"))}
    assert rational_functions(lambda x, p: {}) == {}


def test_poles_are_stepped_over() -> None:
    f = RationalFunction(of("1"), tuple(Fraction(c) for c in (1_000_003 * 1_000_004, -2_000_007, 1)))
    assert rational_functions(sampled(f=f)) == {"f": f}


def test_what_is_no_rational_function_is_refused() -> None:
    with pytest.raises(ValueError, match="points do not determine"):
        rational_functions(lambda x, p: {"f": pow(3, x, p)}, most=30)


def test_text_and_values() -> None:
    f = RationalFunction(of("-1/2", "0", "-1"), of("0", "1"))
    assert f.text("s") == "(-s^2 - 1/2)/(s)"
    assert f(Fraction(2)) == Fraction(-9, 4)
    assert f.modulo(2, PRIMES[0]) == residue(Fraction(-9, 4), PRIMES[0])
