"""Spinor brackets: relations, the judge, and sums that are simplified to what they were made from."""

import math
import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from lpm.theory.engine import scramble
from lpm.theory.modular import PRIMES
from lpm.theory.spinor import (
    Brackets,
    Sums,
    amplitude,
    equal,
    example,
    fold,
    parke_taylor,
    read,
    relations,
    simplify,
    single,
    tidy,
    value,
    weights,
)


@pytest.mark.parametrize("n", [4, 5, 6, 7])
def test_relations_hold(n: int) -> None:
    for relation in relations(n):
        e = Brackets.of(n, [(m, Fraction(s)) for m, s in relation.terms])
        assert len(e) == len(relation.terms) > 1
        assert value(e, seed=3) == value(e, seed=4, prime=1_000_003) == 0


def test_values_are_those_of_numbers() -> None:
    """The same brackets from complex spinors obey the same identities."""
    rng = np.random.default_rng(0)
    left, right = (rng.normal(size=(5, 2)) + 1j * rng.normal(size=(5, 2)) for _ in range(2))

    def bracket(a: np.ndarray, b: np.ndarray) -> complex:  # type: ignore[type-arg]
        return complex(a[0] * b[1] - a[1] * b[0])

    p, q = left[3], left[4]
    right[3] = -sum(bracket(left[k], q) * right[k] for k in range(3)) / bracket(p, q)
    right[4] = sum(bracket(left[k], p) * right[k] for k in range(3)) / bracket(p, q)
    assert np.abs(np.einsum("ka,kb->ab", left, right)).max() < 1e-12
    both = [[bracket(side[i - 1], side[j - 1]) for i in range(1, 6) for j in range(i + 1, 6)] for side in (left, right)]
    for relation in relations(5):
        total = sum(s * np.prod(np.array([*both[0], *both[1]]) ** np.array(m)) for m, s in relation.terms)
        assert abs(total) < 1e-10


def test_the_judge_refuses_what_is_not_equal() -> None:
    rng = np.random.default_rng(1)
    for n in (4, 5, 6):
        for _ in range(30):
            simple, e = example(n, rng)
            assert equal(simple, e)
            (m, c), *rest = e.terms
            assert not equal(simple, Brackets.of(n, [(m, c + Fraction(1, 7)), *rest]))
            assert not equal(simple, -e)


@pytest.mark.parametrize("n", [4, 5, 6])
def test_scrambled_sums_are_found_back(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(40):
        simple, e = example(n, rng)
        found = simplify(e)
        assert equal(found.expression, e)
        assert len(found.expression) <= len(simple)
        assert not len(found.expression) or weights(found.expression) == weights(e)


def test_a_term_without_anything_above_the_line_can_be_scrambled_too() -> None:
    rng = np.random.default_rng(1004)  # the 43rd of these once had no end
    for _ in range(60):
        simple, e = example(4, rng)
    assert equal(simple, e)


def test_longer_sums_on_request() -> None:
    simple, e = example(5, np.random.default_rng(3), products=4, scrambles=9)
    assert len(simple) == 4
    assert len(e) > 9
    assert equal(simple, e)


def test_relabelled_particles_are_simplified_alike() -> None:
    rng = np.random.default_rng(9)
    swap = {1: 4, 2: 1, 3: 5, 4: 2, 5: 3}
    for _ in range(10):
        _, e = example(5, rng)
        text = str(e)
        other = read("".join(str(swap[int(x)]) if x.isdigit() and text[i - 1] in "<[12345" and _label(text, i) else x
                             for i, x in enumerate(text)), 5)  # fmt: skip
        assert len(simplify(other).expression) == len(simplify(e).expression)


def _label(text: str, i: int) -> bool:
    """Whether a digit stands within a bracket."""
    return max(text.rfind("<", 0, i), text.rfind("[", 0, i)) > max(text.rfind(">", 0, i), text.rfind("]", 0, i))


def test_random_steps_keep_the_value() -> None:
    rng = np.random.default_rng(2)
    for n in (4, 5, 6):
        simple, _ = example(n, rng)
        found, steps = scramble(Sums(n, new=n), simple, 3, rng)
        assert len(steps) <= 3
        assert equal(found, simple)


def test_a_single_product_is_read_off() -> None:
    hidden = read("3/2*<12>^3[45]/(<23>^2<34>[15])", 5)
    scrambled = hidden * read("(<14><23> - <13><24>)/(<12><34>)", 5)
    assert len(scrambled) == 2
    assert single(scrambled) == -hidden
    assert single(read("<12>[24] + 2*<13>[34]", 5)) is None


def test_four_particles_have_one_way_to_write_a_product() -> None:
    assert fold(read("<12>[23]", 4)) == fold(read("-<14>[43]", 4))
    assert fold(read("<12>[12]", 4)) == fold(read("<34>[34]", 4))
    assert tidy(fold(read("<12>^2/<34>^2", 4))) in (read("<12>^2/<34>^2", 4), read("[34]^2/[12]^2", 4))


@pytest.mark.parametrize("helicities", [(-1, -1, 1, 1), (-1, 1, -1, 1, 1), (1, -1, 1, 1, -1)])
def test_gluons_from_feynman_rules(helicities: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(helicities))
    n, wanted = len(helicities), parke_taylor(helicities)
    for _ in range(3):
        references = [int(rng.choice([j for j in range(1, n + 1) if j != i])) for i in range(1, n + 1)]
        found = simplify(amplitude(helicities, references)).expression
        assert len(found) == 1
        assert equal(found, wanted * read("-1/2", n)), references


def test_too_few_negative_helicities_give_nothing() -> None:
    for helicities in ((1, 1, 1, 1), (-1, 1, 1, 1), (1, 1, 1, 1, 1), (1, 1, -1, 1, 1)):
        references = [2, *[1] * (len(helicities) - 1)]
        a = amplitude(helicities, references)
        assert not len(a) or value(a, 0) == value(a, 1) == 0


def test_text() -> None:
    assert str(read("2*<21>⟨3 4⟩^2/([1,2]<13>)", 4)) == "-2*<12><34>^2/(<13>[12])"
    assert read("<12>/[34]", 4).latex() == r"\frac{\langle 1 2 \rangle}{[3 4]}"
    assert str(read("<1,10>[10,12]", 12)) == "<1,10>[10,12]"
    assert len(read("(<12> + <12>)*<34> - 2*<12><34>", 4)) == 0
    assert len(read("<11>", 4)) == 0
    assert value(read("7", 4), 0) == 7
    assert value(read("<12>/<12>", 4), 1, PRIMES[1]) == 1


def test_lips_agrees_at_its_own_points() -> None:
    """An independent program makes the points of a finite field: what was simplified has the same value there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lips = pytest.importorskip("lips")
        from syngular import Field
    rng = np.random.default_rng(5)
    for n, seed in ((4, 1), (5, 2), (6, 3)):
        point = lips.Particles(n, field=Field("finite field", 2**31 - 1, 1), seed=seed)
        labels = [(i, j) for i in range(1, n + 1) for j in range(i + 1, n + 1)]
        brackets = [point(form.format(i, j)) for form in ("⟨{}|{}⟩", "[{}|{}]") for i, j in labels]

        def at(e: Brackets, brackets: list[Any] = brackets) -> Any:
            products = [math.prod((b**p for b, p in zip(brackets, m, strict=True) if p), start=1) for m, _ in e.terms]
            return sum(c.numerator * x / c.denominator for x, (_, c) in zip(products, e.terms, strict=True))

        for _ in range(4):
            simple, scrambled = example(n, rng)
            found = simplify(scrambled).expression
            assert len(found) <= len(simple)
            assert at(scrambled) == at(found) == at(simple)
            assert at(found) != at(found + Brackets(n, found.terms[:1]))
