"""Rational functions: arithmetic beside Python's fractions, roots and factors."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpm.theory.ratio import Ratio

_polynomials = st.lists(st.integers(-5, 5), min_size=1, max_size=4)
_ratios = st.builds(Ratio.of, _polynomials, _polynomials.filter(any))


def at(f: Ratio, x: Fraction) -> Fraction | None:
    high, low = (sum((c * x**i for i, c in enumerate(p)), Fraction(0)) for p in (f.high, f.low))
    return high / low if low else None


@given(_ratios, _ratios)
def test_arithmetic_is_that_of_the_values(f: Ratio, g: Ratio) -> None:
    x = Fraction(17, 23)  # no root of so small a polynomial
    a, b = at(f, x), at(g, x)
    assert a is not None
    assert b is not None
    assert at(f + g, x) == a + b
    assert at(f - g, x) == a - b
    assert at(f * g, x) == a * b
    assert at(1 - f, x) == 1 - a
    assert at(f**2, x) == a**2
    if g.high:
        assert at(f / g, x) == a / b
        assert at(1 / g, x) == at(g**-1, x) == 1 / b
    else:
        with pytest.raises(ZeroDivisionError):
            f / g


@given(_ratios)
def test_equal_functions_are_written_alike(f: Ratio) -> None:
    g = Ratio.of([3, -2, 7])
    assert f * g / g == f
    assert hash(f + g - g) == hash(f)
    assert f.low[-1] > 0


@given(_ratios.filter(lambda f: bool(f.high)))
def test_roots_and_factors(f: Ratio) -> None:
    root = (f * f).root()
    assert root is not None
    assert root in (f, -f)
    product = Ratio((1,))
    for factor, power in f.factors().items():
        product = product * Ratio.of(list(factor)) ** power
    assert product in (f, -f)


def test_what_is_no_square() -> None:
    assert Ratio.of([0, 1]).root() is None
    assert Ratio.of([2]).root() is None
    assert Ratio.of([-1, 0, -1]).root() is None


def test_text() -> None:
    assert str(Ratio.of([1, -2], [0, 3])) == "(-2*x + 1)/(3*x)"
    assert str(Ratio.of([])) == "0"
    assert Ratio.of([6], [4]).constant == Fraction(3, 2)
    assert Ratio.of([0, 1]).constant is None
