"""Symmetries of sectors: what they say holds, and what is left are the masters that are known."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest

from lpm.theory.ibp.family import Family, Index, read_family
from lpm.theory.ibp.laporta import Reducer, Seeds, seeds_for
from lpm.theory.ibp.reduce import reduce_at, reduce_over
from lpm.theory.ibp.sectors import live_sectors, symanzik
from lpm.theory.ibp.symmetries import Carried, symmetries

P = 2**31 - 1
POINT = {"d": 41, "m1": 1, "m2": 31, "m3": 47}
SUNRISE, BANANA = read_family("sunrise"), read_family("banana")
SUNRISES = ((1, 0, 1, 0, 0, 1, 0), (0, 1, 1, 1, 0, 0, 0))
"""Two equal masters of the triangle-box."""
EQUAL = replace(SUNRISE, name="equal", masses=("m", "m", "m", "0", "0"))


@pytest.mark.parametrize("name", ["banana", "box", "sunrise", "trianglebox"])
def test_the_polynomials_of_both_sectors_are_equal(name: str) -> None:
    family = read_family(name)
    found = symmetries(family)
    assert found
    for s in found:
        to = dict(s.lines)
        carried = {
            tuple(next((e[i] for i in to if to[i] == j), 0) for j in range(family.lines)): c
            for e, c in symanzik(family).items()
            if all(not n or i in to for i, n in enumerate(e))
        }
        target = {e: c for e, c in symanzik(family).items() if all(not n or s.target >> i & 1 for i, n in enumerate(e))}
        assert carried == target


@pytest.mark.parametrize("family", ["box", "trianglebox"])
def test_both_sides_reduce_to_the_same(family: str) -> None:
    """Without symmetries: with numerators, and among them changes of the external momenta.

    To identities alone the masters of two sectors are distinct though they are equal; that is said once, by hand.
    """

    def merged(terms: dict[Index, int]) -> dict[Index, int]:
        out: dict[Index, int] = {}
        for i, c in terms.items():
            same = SUNRISES[1] if i == SUNRISES[0] else i
            out[same] = (out.get(same, 0) + c) % P
        return {i: c for i, c in out.items() if c}

    f = read_family(family)
    point = {"d": 11, "s": 1, "t": 3} if family == "box" else POINT
    looked = 0
    for s in symmetries(f):
        lines = {i for i, _ in s.lines}
        down = [i for i in range(len(f.propagators)) if i not in lines]
        index = tuple(1 + (i == min(lines)) if i in lines else -(i in down[:2]) for i in range(len(f.propagators)))
        carried = Carried(s, f, point, P)(index)
        reducer = Reducer(f, point, P, seeds_for([index, *carried], rank=1))
        assert merged(reducer.reduce({index: 1})) == merged(reducer.reduce(carried))
        looked += carried != {index: 1}
    assert looked > 10


@pytest.mark.parametrize(
    ("family", "point", "dots", "plain", "left"),
    [
        (SUNRISE, {"d": 41, "s": 5, "m1": 3, "m2": 7, "m3": 11}, 3, 7, 7),
        (EQUAL, {"d": 41, "s": 5, "m": 3}, 3, 7, 3),
        (BANANA, {"d": 41, "s": 5, "m": 3}, 3, 15, 4),
        (read_family("trianglebox"), POINT, 2, 16, 15),
    ],
    ids=["sunrise", "equal", "banana", "trianglebox"],
)
def test_masters(family: Family, point: dict[str, int], dots: int, plain: int, left: int) -> None:
    """Sunrise: Tarasov, hep-ph/9703319. Banana of equal masses: Primo and Tancredi, arXiv 1704.05465."""
    where = Seeds(sectors=live_sectors(family), dots=dots, rank=2)
    found = [Reducer(family, point, P, where, symmetric=s).masters(dots - 1, rank=2) for s in (False, True)]
    assert [len(masters) for masters in found] == [plain, left]
    assert set(found[1]) <= set(found[0])


def test_a_sector_is_reduced_to_its_image() -> None:
    index = (1, 0, 2, 0, 0, 1, -1)  # the sunrise of another momentum that is equal
    found = reduce_at(read_family("trianglebox"), {index: Fraction(1)}, POINT, P, symmetric=True)
    assert set(found.terms) == {(0, 1, 1, 1, 0, 0, 0)}
    assert any("→" in name for name, _, _ in found.proof)


def test_more_identities_are_tried_for_what_is_left_over() -> None:
    """Two small systems leave the dotted banana as it is; it is no master."""
    target = (2, 1, 1, 1, 0, 0, 0, 0, 0)
    found = reduce_at(BANANA, {target: Fraction(1)}, {"d": 41, "s": 5, "m": 3}, P)
    assert found.settled
    assert target not in found.terms


def test_three_loops() -> None:
    """The massless banana of any powers is a ratio of Gamma functions: one bubble within the other."""
    family = replace(BANANA, name="massless", masses=())
    target, corner = (2, 1, 2, 1, 0, 0, 0, 0, 0), (1, 1, 1, 1, 0, 0, 0, 0, 0)
    found = reduce_over(family, {target: Fraction(1)}, {"s": 1}, "d")
    assert set(found) == {corner}

    def euclidean(index: Index, d: float) -> float:
        lines, total = index[:4], sum(index)
        each = math.prod(math.gamma(d / 2 - a) / math.gamma(a) for a in lines)
        return each * math.gamma(total - 3 * d / 2) / math.gamma(2 * d - total)

    for d in (4.3, 5.7, 9.1):
        assert float(found[corner](Fraction(d))) == pytest.approx(euclidean(target, d) / euclidean(corner, d), rel=1e-9)
