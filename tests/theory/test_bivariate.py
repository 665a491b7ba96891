"""Rational functions of two variables from their residues."""

from __future__ import annotations

from fractions import Fraction

import pytest

from lpm.theory.bivariate import bivariate_functions
from lpm.theory.ibp.family import read_family
from lpm.theory.ibp.reduce import reduce_at, reduce_over_two
from lpm.theory.modular import residue
from lpm.theory.parse import parse


def test_a_function_is_found_and_its_text_says_it() -> None:
    def sample(x: int, y: int, p: int) -> dict[str, int]:
        top = (3 * x * x * y - residue(Fraction(1, 2), p) * x + y * y) % p
        return {"f": top * pow(x * (y - 1) + 7, -1, p) % p, "zero": 0, "one": 1}

    found = bivariate_functions(sample)
    assert set(found) == {"f", "one"}
    x, y = Fraction(5, 3), Fraction(-2, 7)
    wanted = (3 * x * x * y - x / 2 + y * y) / (x * (y - 1) + 7)
    assert found["f"](x, y) == wanted
    assert parse(found["f"].text("x", "y")).evaluate({"x": x, "y": y}, Fraction) == wanted
    assert found["one"].text("x", "y") == "1"


def test_a_pole_at_the_first_point_is_passed_by() -> None:
    begin = 1_000_003
    found = bivariate_functions(lambda x, y, p: {"f": pow((x - begin) * (y - begin), -1, p) if
                                                 (x - begin) * (y - begin) % p else _pole()})  # fmt: skip
    assert found["f"](Fraction(begin + 2), Fraction(begin + 5)) == Fraction(1, 10)


def _pole() -> int:
    raise ZeroDivisionError("a pole")


def test_what_is_no_rational_function_is_refused() -> None:
    with pytest.raises(ValueError, match="30 points do not determine the functions"):
        bivariate_functions(lambda x, y, p: {"f": pow(3, x + y, p)}, most=30)


def test_a_reduction_at_any_dimension_and_ratio() -> None:
    """The function at a point is the reduction there."""
    family, target, p = read_family("trianglebox"), (1, 0, 2, 0, 1, 1, 0), 2**31 - 1
    found = reduce_over_two(family, {target: Fraction(1)}, {"m1": 1, "m2": 31}, ("d", "m3"))
    point = {"d": 41, "m3": 47}
    there = reduce_at(family, {target: Fraction(1)}, {"m1": 1, "m2": 31, **point}, p).terms
    values = {i: residue(f(*map(Fraction, point.values())), p) for i, f in found.items()}
    assert values == there
    with pytest.raises(ValueError, match="d: expected a symbol of family trianglebox without a value"):
        reduce_over_two(family, {target: Fraction(1)}, {"m1": 1, "m2": 31}, ("d", "d"))
