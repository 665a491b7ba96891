"""Text to expressions: precedence, errors with their column, and nothing evaluated that is not arithmetic."""

import operator
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpm.theory.modular import Residue
from lpm.theory.parse import parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 - 2 - 3", -4), ("2 * 3 + 4", 10), ("2 + 3 * 4", 14), ("(2 + 3) * 4", 20), ("-x^2", -9), ("(-x)^2", 9),
        ("12 / x / 2", 2), ("--x", 3), ("2*-x", -6), ("x**2", 9), ("x^-1", Fraction(1, 3)), ("+x", 3),
        ("x^(-1)", Fraction(1, 3)), ("2*x^( 2 )", 18), ("x^(-2)/x", Fraction(1, 27)),
    ],
)  # fmt: skip
def test_precedence(text: str, value: Fraction) -> None:
    assert parse(text).evaluate({"x": Fraction(3)}, Fraction) == value


_OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_numbers = st.integers(0, 99).map(lambda n: (str(n), n))
_sums = st.recursive(
    _numbers,
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(
        lambda t: (f"({t[0][0]} {t[1]} {t[2][0]})", _OPERATORS[t[1]](t[0][1], t[2][1]))
    ),
)


@given(_sums)
def test_what_python_makes_of_it(made: tuple[str, int]) -> None:
    text, wanted = made
    assert parse(text).evaluate({}) == wanted
    assert parse(text).evaluate({}, lambda n: Residue(n % 1009, 1009)).value == wanted % 1009


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 1: expected a number, a name or a bracket, got the end"),
        ("1 +", "column 4: expected a number, a name or a bracket, got the end"),
        ("2x", "column 2: expected an operator or the end, got 'x'"),
        ("(1 + 2", "column 7: expected a closing bracket, got the end"),
        ("1) + 2", r"column 2: expected an operator or the end, got '\)'"),
        ("a ? b", r"column 3: unexpected character '\?'"),
        ("x^y", "column 3: expected a whole number as exponent, got 'y'"),
        ("x^(y)", "column 4: expected a whole number as exponent, got 'y'"),
        ("x^(1+1)", r"column 5: expected a closing bracket, got '\+'"),
        ("x^(-1", "column 6: expected a closing bracket, got the end"),
        ("__import__('os')", r"column 12: unexpected character \"'\""),
        ("(" * 5000, "more than 200 brackets"),
        ("-" * 5000 + "1", "more than 200 brackets"),
    ],
)
def test_malformed_text(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_functions_and_names_are_those_that_are_given() -> None:
    form = parse("Li2(1 - x) + y")
    assert form.names == {"x", "y"}
    assert form.evaluate({"x": 3, "y": 1}, functions={"Li2": lambda z: 10 * z}) == -19
    with pytest.raises(ValueError, match="unknown function Li2; known are none"):
        form.evaluate({"x": 3, "y": 1})
    with pytest.raises(ValueError, match="no value for y; known are x"):
        form.evaluate({"x": 3}, functions={"Li2": lambda z: z})
