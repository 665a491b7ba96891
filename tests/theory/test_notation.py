"""What is printed as LaTeX or JSON is read again; what is no expression is refused."""

import json

import numpy as np
import pytest

from lpm.theory.dilog import equal as equal_dilogs
from lpm.theory.dilog import example as example_dilogs
from lpm.theory.dilog import read as read_dilogs
from lpm.theory.ibp.family import read_family
from lpm.theory.ibp.reduce import read_terms
from lpm.theory.notation import plain
from lpm.theory.ratio import Ratio
from lpm.theory.spinor import example, read


def test_latex_of_brackets_is_read_again() -> None:
    rng = np.random.default_rng(0)
    for n in (4, 5, 6):
        for _ in range(10):
            _, e = example(n, rng)
            assert read(plain(e.latex()), n) == e
            assert read(plain(json.dumps({"result": str(e)})), n) == e


def test_latex_of_dilogarithms_is_read_again() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        _, e = example_dilogs(2, 1, 6, rng)
        assert equal_dilogs(read_dilogs(plain(e.latex())), e)


EXPONENTS = range(-12, 13)
POWERS = ["{}^{}", "{}^({})", "{}^{{{}}}", "{}^{{ {} }}", "{}**{}"]
"""Ways to write a power."""


@pytest.mark.parametrize("n", EXPONENTS)
@pytest.mark.parametrize("power", POWERS)
def test_powers_of_brackets_are_read_again(power: str, n: int) -> None:
    for base in ("<12>", "[23]", r"\langle 1 2 \rangle"):
        e = read(plain(f"3{power.format(base, n)}[34]" if "*" not in power else f"3*{power.format(base, n)}*[34]"), 4)
        assert e == read("*".join(["3*[34]", *([plain(base)] * n)]) if n >= 0 else f"3*[34]/{plain(base)}^{-n}", 4)
        for text in (str(e), e.latex(), json.dumps({"result": e.latex()})):
            assert read(plain(text), 4) == e


@pytest.mark.parametrize("n", EXPONENTS)
@pytest.mark.parametrize("power", POWERS)
def test_powers_in_dilogarithms_are_read_again(power: str, n: int) -> None:
    e = read_dilogs(plain(f"Li2({power.format('x', n)}/(3+x)) - 2*Li2(x)"))
    assert e.terms[1][0] == Ratio((0, 1)) ** n / Ratio((3, 1))
    for text in (str(e), e.latex(), json.dumps({"result": e.latex()})):
        assert read_dilogs(plain(text)) == e


def test_every_digit_of_a_power_is_set_high() -> None:
    assert read_dilogs("Li2(2*x^12 - x)").latex() == r"\mathrm{Li}_2(2\,x^{12} - x)"


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\mathrm{Li}_2(x^{2}3) + \mathrm{Li}_2(x^{-2} 3)", "Li2(3*x^2) + Li2(3/x^2)"),
        (r"\mathrm{Li}_2(1-\tfrac{1}{x})", "Li2(1-1/x)"),
        (r"$\operatorname{Li}_{2}\left(x^{2}\right) - \frac12 \Li_2(x)$", "Li2(x^2) - 1/2*Li2(x)"),
        (r"3\,\mathrm{Li}_2(2x)", "3*Li2(2*x)"),
        (r"3 Li2(\frac{x}{2})", "3*Li2(x/2)"),
    ],
)
def test_as_others_write(latex: str, text: str) -> None:
    assert equal_dilogs(read_dilogs(plain(latex)), read_dilogs(text))


def test_integrals() -> None:
    family = read_family("box")
    wanted = read_terms("3*I[1,1,1,1] - I[0,1,0,1]", family)
    assert read_terms(plain(r"3\, I_{1,1,1,1} - I_{0,1,0,1}"), family) == wanted
    assert read_terms(plain(json.dumps({"terms": {"1,1,1,1": 3, "0,1,0,1": -1}})), family) == wanted


@pytest.mark.parametrize("text", ["{", '{"a": 1}', '{"terms": {}}', r"\frac{1}{2"])
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|column"):
        plain(text)
