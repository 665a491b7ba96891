"""Dilogarithms: identities, two judges, and sums that are simplified to what they were made from."""

from fractions import Fraction

import numpy as np
import pytest

from lpm.theory.dilog import (
    Dilogs,
    FiveTerms,
    dilogarithm,
    equal,
    equation,
    example,
    fewest,
    fold,
    read,
    simplify,
    symbol,
    value,
)
from lpm.theory.ratio import Ratio

MIX = ((0, 2, 5), (1, 1, 5), (2, 1, 6), (3, 1, 7))


def points(n: int = 4) -> np.ndarray:  # type: ignore[type-arg]
    rng = np.random.default_rng(5)
    return rng.normal(size=n) + 1j * rng.normal(size=n)


@pytest.mark.parametrize(
    "identity",
    [
        "Li2((1-x)/(2+x)) + Li2(1 - (1-x)/(2+x))",
        "Li2(x^2+1) + Li2(1/(x^2+1))",
        "Li2(x^4) - 2*Li2(x^2) - 2*Li2(-x^2)",
        "Li2(x) + Li2(3*x) + Li2((1-x)/(1-3*x^2)) + Li2(1-3*x^2) + Li2((1-3*x)/(1-3*x^2))",
    ],
)
def test_identities_hold_for_both_judges(identity: str) -> None:
    e = read(identity)
    assert not symbol(e)
    assert np.abs(value(e, points())).max() < 1e-10
    assert len(simplify(e).expression) == 0


def test_the_judges_agree_on_what_is_not_equal() -> None:
    rng = np.random.default_rng(1)
    for i in range(40):
        _, e = example(*MIX[i % 4], rng)
        extra = Ratio.of([int(rng.integers(2, 9)), 1], [1, 0, 1])
        other = Dilogs.of([*e.terms, (extra, Fraction(1))])
        assert not equal(e, other)
        assert np.abs(value(e, points()) - value(other, points())).max() > 1e-6


def test_scrambled_sums_are_equal_and_are_found_back() -> None:
    rng = np.random.default_rng(2)
    for i in range(80):
        simple, e = example(*MIX[i % 4], rng)
        assert equal(simple, e)
        found = simplify(e)
        assert equal(found.expression, e)
        assert fewest(e) <= len(found.expression) <= len(simple)


def test_an_argument_of_high_degree_is_no_obstacle() -> None:
    x = Ratio.of([0, 1])
    terms, f = [], (x + 2) / (x + 1)
    for n in range(4):
        terms.append((-f, -Fraction(1, 2**n)))
        f = f * f
    e = Dilogs.of([*terms, (f, Fraction(1, 2**4))])
    assert len(e) == 5
    assert len(simplify(e).expression) == 1


def test_five_terms_are_used() -> None:
    five = FiveTerms(Ratio.of([0, 1]), Ratio.of([1, 2]), Ratio.of([0, 1])).relation()
    rest = Dilogs.of(five[:4])
    assert len(rest) == 4
    assert len(simplify(rest).expression) == 1


def test_equations_hold_with_logarithms_and_constants() -> None:
    rng, x = np.random.default_rng(4), points(6)
    for i in range(40):
        _, e = example(*MIX[i % 4], rng)
        found, rest = equation(e)

        def total(terms: Dilogs) -> np.ndarray:  # type: ignore[type-arg]
            parts = [float(c) * dilogarithm(f.at(x)) for f, c in terms.terms]
            return np.sum(parts, axis=0) if parts else np.zeros(len(x), dtype=complex)

        scale = 1 + np.abs(total(e)).max()
        assert np.abs(total(e) - total(found.expression) - rest.value(x)).max() < 1e-9 * scale, str(e)


def test_five_terms_make_no_equation() -> None:
    five = FiveTerms(Ratio.of([0, 1]), Ratio.of([1, 2]), Ratio.of([0, 1])).relation()
    with pytest.raises(ValueError, match="five terms"):
        equation(Dilogs.of(five))


def test_folding_is_told() -> None:
    e, told = fold(read("Li2(1/(1-x)) + Li2(1/x)"))
    assert str(e) == "0"
    assert told == ["inversion of Li2(1/x)", "inversion and reflection of Li2((-1)/(x - 1))"]


def test_constants_are_left_out_and_like_terms_added() -> None:
    assert str(read("Li2(1/2) + Li2(x) + 3*Li2(x)/2 - Li2(x+0)*2")) == "1/2*Li2(x)"
    assert read("Li2(x) - Li2(x)") == Dilogs(())
    assert read("-2*Li2((1-x)/(1+x))/3").latex() == r"-2/3\,\mathrm{Li}_2((-x + 1)/(x + 1))"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Li2(x", "column 6: expected a closing bracket, got the end"),
        ("Li3(x)", "unknown function Li3; known are Li2"),
        ("Li2(y)", "expected functions of x, got y"),
        ("Li2(x)*Li2(x)", "products of dilogarithms"),
        ("x*Li2(x)", "coefficients of Li2 must be numbers"),
        ("Li2(x) + x", "expected a sum of Li2, got x beside it"),
        ("1/Li2(x)", "in a denominator"),
        ("Li2(x)^2", "powers of dilogarithms"),
        ("Li2(Li2(x))", "dilogarithm of a dilogarithm"),
        ("Li2(1/(x-x))", "division by zero"),
    ],
)
def test_what_is_no_sum_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(text)
