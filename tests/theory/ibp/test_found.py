"""What was solved on the way to other integrals is true, is bounded, and saves the search."""

from __future__ import annotations

from fractions import Fraction

import pytest

from lpm.model.checkpoint import load, resolve
from lpm.theory.ibp.family import Index, read_family
from lpm.theory.ibp.found import certified
from lpm.theory.ibp.learned import Lowering, SearchConfig
from lpm.theory.ibp.reduce import reduce_at

FAMILY = read_family("trianglebox")
POINT = {"d": 41, "m1": 1, "m2": 31, "m3": 47}
PRIME = 1009
INDEX = (1, 0, 1, -1, 1, 1, 0)


@pytest.fixture(scope="module")
def lowering() -> Lowering:
    return Lowering(FAMILY, POINT, PRIME, load(resolve("ibp-trianglebox")))


def exact(terms: dict[Index, int]) -> dict[Index, int]:
    return reduce_at(FAMILY, {i: Fraction(c) for i, c in terms.items()}, POINT, PRIME).terms


def test_all_that_is_kept_is_true(lowering: Lowering) -> None:
    lowering(INDEX)
    found = lowering.found(INDEX)
    assert len(found.whole) > 3
    total: dict[Index, int] = {}
    for n, (index, row) in enumerate(found.whole.items(), 2):
        assert not set(row) & set(found.whole)
        assert found.inside[index].items() <= row.items()
        for i, c in {index: PRIME - 1, **row}.items():
            total[i] = (total.get(i, 0) + n * c) % PRIME
    assert exact(total) == {}


def test_what_was_solved_is_not_searched_again(lowering: Lowering) -> None:
    first = lowering(INDEX)
    again = lowering(INDEX)
    assert (again.steps, again.looked) == ((), 0)
    assert exact(again.terms) == exact(first.terms)


def test_only_so_much_is_kept(lowering: Lowering) -> None:
    few = Lowering(FAMILY, POINT, PRIME, lowering.model, SearchConfig(known=2), lowering.masters)
    assert exact(few(INDEX).terms) == exact({INDEX: 1})
    assert len(few.found(INDEX).whole) == len(few.found(INDEX).steps) == 2
    for sector in ((0, 1, 1, 1, 0, 0, 0), (1, 0, 1, 0, 1, 0, 0)):
        few.found(sector)
    assert not few.found(INDEX).whole


def test_a_search_that_fails_is_told_and_a_wider_one_finds_the_way(lowering: Lowering) -> None:
    index = (-2, 0, 1, 1, 2, 0, -2)
    few = Lowering(FAMILY, POINT, PRIME, lowering.model, SearchConfig(taken=8, most=32, tries=1), lowering.masters)
    with pytest.raises(
        ValueError, match=r"I\[-2,0,1,1,2,0,-2\]: not lowered by 32 identities; take the method laporta"
    ):
        few(index)
    wider = Lowering(FAMILY, POINT, PRIME, lowering.model, SearchConfig(taken=8, most=32, tries=4), lowering.masters)
    lowered = wider(index)
    assert len(lowered.steps) > 16
    assert exact(lowered.terms) == exact({index: 1})


def test_what_is_false_is_found_out(lowering: Lowering) -> None:
    alone = Lowering(FAMILY, POINT, PRIME, lowering.model, known=lowering.masters)
    lowered = alone(INDEX)
    rows = [alone.found(INDEX).sector.row(step, below=True) for step in lowered.steps]
    honest = lowered.terms
    assert certified(rows, {INDEX: honest}, PRIME)
    wrong = {**honest, next(iter(honest)): 1 + honest[next(iter(honest))]}
    assert not certified(rows, {INDEX: wrong}, PRIME)
    assert not certified(rows[1:], {INDEX: honest}, PRIME)
