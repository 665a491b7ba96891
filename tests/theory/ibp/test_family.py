"""Families, their identities and their sectors, against formulas written down by hand."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from lpm.theory.ibp.family import FAMILIES, Family, read_family
from lpm.theory.ibp.identities import Identity, identities
from lpm.theory.ibp.sectors import live_sectors, sector_of, subsectors

P = 1009
POINT = {"d": 41, "m1": 1, "m2": 31, "m3": 47}
BUBBLE: dict[str, Any] = {
    "name": "bubble", "loops": ("k",), "external": ("p",), "propagators": ("k", "k+p"), "products": {"p*p": "s"},
}  # fmt: skip


def terms(identity: Identity) -> dict[tuple[int, ...], list[int]]:
    """{shift: constant and slopes}."""
    rows = zip(identity.shifts.tolist(), identity.constants.tolist(), identity.slopes.tolist(), strict=True)
    return {tuple(s): [c, *a] for s, c, a in rows}


def slope(at: int, value: int) -> list[int]:
    return [value % P if i == at else 0 for i in range(8)]


def shift(up: int = 0, down: int = 0) -> tuple[int, ...]:
    return tuple((i == up) - (i == down) for i in range(1, 8))


def test_identities_of_the_triangle_box_are_those_of_its_source() -> None:
    found = {i.name: terms(i) for i in identities(read_family("trianglebox"), POINT, P)}
    assert found["k1.k1"] == {
        (0,) * 7: [41, P - 2, 0, P - 1, P - 1, 0, 0, P - 1],
        shift(3, 2): slope(3, 1), shift(3, 1): slope(3, -1), shift(4): slope(4, 1), shift(4, 1): slope(4, -1),
        shift(7): slope(7, 47), shift(7, 1): slope(7, -1),
    }  # fmt: skip
    assert found["k2.k2"] == {
        (0,) * 7: [41, 0, P - 2, P - 1, 0, P - 1, P - 1, 0],
        shift(3, 1): slope(3, 1), shift(3, 2): slope(3, -1), shift(5): slope(5, 47), shift(5, 2): slope(5, -1),
        shift(6): slope(6, 1), shift(6, 2): slope(6, -1),
    }  # fmt: skip


def test_live_sectors_of_the_triangle_box() -> None:
    wanted = [14, 15, 21, 23, *range(27, 32), 37, 39, 43, *range(45, 48), 53, 55, 57, *range(59, 64)]
    assert list(live_sectors(read_family("trianglebox"))) == wanted


def test_live_sectors_of_one_loop() -> None:
    assert live_sectors(read_family("box")) == (5, 7, 10, 11, 13, 14, 15)  # no bubble of one on-shell leg
    assert live_sectors(Family(**BUBBLE)) == (3,)  # no massless tadpole
    assert live_sectors(Family(**BUBBLE, masses=("m", "0"))) == (1, 3)
    assert live_sectors(read_family("sunrise")) == (3, 5, 6, 7)


def test_sectors() -> None:
    assert sector_of((1, -1, 0, 2)) == 9
    assert subsectors([6, 1]) == {0, 1, 2, 4, 6}


@pytest.mark.parametrize("path", sorted(FAMILIES.glob("*.json")), ids=lambda p: p.stem)
def test_families_that_come_along(path: Path) -> None:
    family = read_family(path.stem)
    assert family.name == path.stem
    assert family.text.endswith(".")
    assert live_sectors(family)


def test_scalar_products_in_propagators() -> None:
    family = Family(**BUBBLE)  # k.k = D1 and k.p = (D2 - D1 - s)/2
    assert family.inverse == ((1, 0), (Fraction(-1, 2), Fraction(1, 2)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"propagators": ("k", "k+q")}, "momentum 'k\\+q': no value for q"),
        ({"propagators": ("k", "p")}, "momentum 'p': expected a sum of momenta with a loop momentum"),
        ({"propagators": ("k", "k*p+k")}, "expected a sum of momenta"),
        ({"propagators": ("k", "k+")}, "column 3"),
        ({"propagators": ("k",)}, "expected 2 propagators"),
        ({"propagators": ("k", "-k")}, "not independent"),
        ({"products": {}}, r"no value for the scalar products p\*p"),
        ({"masses": ("m",)}, "1 masses for 2 propagators"),
        ({"numerators": 2}, "expected fewer than propagators"),
        ({"loops": ("k", "k")}, "different names"),
    ],
)
def test_what_is_no_family_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Family(**{**BUBBLE, **change})


def test_files_of_families(tmp_path: Path) -> None:
    raw = {k: list(v) if isinstance(v, tuple) else v for k, v in BUBBLE.items() if k != "name"}
    (tmp_path / "mine.json").write_text(json.dumps(raw))
    assert read_family(str(tmp_path / "mine.json")) == Family(**{**BUBBLE, "name": "mine"})
    (tmp_path / "bad.json").write_text('{"loops": ["k"]}')
    (tmp_path / "worse.json").write_text("[1, 2")
    for name in ("bad", "worse"):
        with pytest.raises(ValueError, match="no family of integrals"):
            read_family(str(tmp_path / f"{name}.json"))
    with pytest.raises(ValueError, match="expected one of banana, box, sunrise, trianglebox"):
        read_family("pentagon")


def test_a_point_needs_all_symbols() -> None:
    with pytest.raises(ValueError, match="no value for m2, m3"):
        identities(read_family("trianglebox"), {"d": 41, "m1": 1}, P)
    with pytest.raises(ValueError, match="numerators: never positive"):
        read_family("trianglebox").check((1, 1, 1, 1, 1, 1, 1))
    with pytest.raises(ValueError, match="has 7 indices, got 2"):
        read_family("trianglebox").check((1, 1))
