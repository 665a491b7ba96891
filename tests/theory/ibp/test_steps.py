"""Steps within a sector are all identities that hold an integral, and only those."""

from __future__ import annotations

from itertools import product

import pytest

from lpm.theory.ibp.family import read_family
from lpm.theory.ibp.identities import identities
from lpm.theory.ibp.laporta import weight
from lpm.theory.ibp.sectors import live_sectors, sector_of
from lpm.theory.ibp.steps import PATTERN, Sector, code, heavy, level, order

POINT = {"d": 41, "m1": 1, "m2": 31, "m3": 47}


@pytest.mark.parametrize("index", [(1, 1, 1, 1, 1, 1, 0), (1, 0, 2, 0, 1, 1, -1), (0, 1, 1, 1, 0, 0, 0)])
def test_all_steps_that_hold_an_integral_are_listed(index: tuple[int, ...]) -> None:
    family = read_family("trianglebox")
    sector = Sector(family, POINT, PATTERN, sector_of(index))
    near = sector.around(index)
    listed = {(int(k), tuple(s)) for k, s in zip(near.identity, near.seed.tolist(), strict=True)}
    live = set(live_sectors(family))
    expected = set()
    for number, identity in enumerate(identities(family, POINT, PATTERN)):
        for shift in identity.shifts.tolist():
            seed = tuple(a - b for a, b in zip(index, shift, strict=True))
            found = {}
            for t, c, w in zip(identity.shifts, identity.constants, identity.slopes, strict=True):
                value = (int(c) + sum(int(x) * a for x, a in zip(w, seed, strict=True))) % PATTERN
                if value:
                    found[tuple(a + int(b) for a, b in zip(seed, t, strict=True))] = value
            sectors = [sector_of(i) for i in found]
            above = [s for s in sectors if s >= 64 or (s in live and s & sector.number != s)]
            if index in found and not above:
                expected.add((number, seed))
                whole = {i: v for i, v in found.items() if sector_of(i) in live}
                assert sector.row((number, seed), below=True) == whole
                inside = {i: v for i, v in whole.items() if sector_of(i) == sector.number}
                assert sector.row((number, seed)) == inside
    assert listed == expected
    for k, seed, codes, places in zip(near.identity, near.seed.tolist(), near.code, near.heavy, strict=True):
        row = sector.row((int(k), tuple(seed)))
        assert sorted(codes[codes >= 0].tolist()) == sorted(code(i) for i in row)
        assert sorted(places[places >= 0].tolist()) == sorted(order(i) for i in row)


def test_the_order_within_a_sector_is_that_of_the_reduction() -> None:
    found = [(1 + a, 0, 1 + b, 0, 1, 1 - 0, -c) for a, b, c in product(range(3), repeat=3)]
    assert sorted(found, key=heavy) == sorted(found, key=weight) == sorted(found, key=order)
    assert level((2, -1, 3)) == (5, 1)


def test_each_integral_of_eleven_propagators_has_a_number_of_its_own() -> None:
    """So many have the families of two loops and five legs."""
    ones = (1,) * 10
    found = [(*ones, a) for a in range(-8, 9)]
    found += [(*ones[:-1], a, 1) for a in range(-8, 9)] + [(a, *ones) for a in (2, 3)]
    assert len({code(i) for i in found}) == len(set(found))
    assert sorted(found, key=heavy) == sorted(found, key=order)
    with pytest.raises(ValueError, match="expected indices between -16 and 15 for 11 propagators"):
        code((*ones, 16))
