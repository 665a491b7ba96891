"""Colour lines close, conserve colour, and are drawn among those of leading colour."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from lpm.sim.colour import Leg, Lines, colour_lines, coloured

IDS = {
    "gg > tt": (21, 21, 6, -6),
    "qq > tt": (2, -2, 6, -6),
    "qg > ttq": (1, 21, 6, -6, 1),
    "gg > ttZ": (21, 21, 6, -6, 23),
    "gg > tttt": (21, 21, 6, -6, 6, -6),
    "qq > tttt": (-3, 3, 6, -6, 6, -6),
    "gg > gg": (21, 21, 21, 21),
    "qq > ee": (2, -2, 11, -11),
}


def make(name: str, seed: int) -> list[Leg]:
    rng = np.random.default_rng(seed)
    legs = []
    for i, pdg in enumerate(IDS[name]):
        p = rng.normal(0, 100, 3) if i > 1 else np.array([0, 0, 400.0 * (1 - 2 * i)])
        mass = 172.5 if abs(pdg) == 6 else 0.0
        legs.append(Leg(pdg, -1 if i < 2 else 1, (*p.tolist(), float(np.hypot(np.linalg.norm(p), mass)))))
    return legs


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("seed", range(5))
def test_colours_close(name: str, seed: int) -> None:
    legs = make(name, seed)
    lines = colour_lines(legs, np.random.default_rng(seed))
    start: Counter[int] = Counter()
    for leg, (colour, anti) in zip(legs, lines, strict=True):
        triplet = 1 <= abs(leg.pdg_id) <= 6
        assert bool(colour) == (leg.pdg_id == 21 or (triplet and leg.pdg_id > 0))
        assert bool(anti) == (leg.pdg_id == 21 or (triplet and leg.pdg_id < 0))
        assert not colour or colour != anti
        start[colour] += leg.status
        start[anti] -= leg.status
    del start[0]
    assert not any(start.values()), "each line leaves one particle and enters another"


def lines_of(name: str, tries: int = 200) -> set[Lines]:
    return {colour_lines(make(name, 0), np.random.default_rng(i)) for i in range(tries)}


def test_number_of_flows_is_that_of_leading_colour() -> None:
    assert len(lines_of("gg > tt")) == 2
    assert len(lines_of("qq > tt")) == 1
    assert 6 <= len(lines_of("gg > tttt", 600)) <= 12


def test_neighbours_in_angle_are_preferred() -> None:
    left, right = Leg(21, -1, (0, 0, 500, 500)), Leg(21, -1, (0, 0, -500, 500))
    top, antitop = Leg(6, 1, (50, 0, 400, 440)), Leg(-6, 1, (-50, 0, -400, 440))
    near = 0
    for seed in range(200):
        colours = colour_lines([left, right, top, antitop], np.random.default_rng(seed))
        near += colours[2][0] == colours[0][0]
    assert near > 150


def test_what_cannot_close_is_refused() -> None:
    legs = [Leg(2, -1, (0, 0, 9, 9)), Leg(11, -1, (0, 0, -9, 9)), Leg(6, 1, (0, 5, 0, 9)), Leg(-6, 1, (0, -5, 0, 9))]
    with pytest.raises(ValueError, match="cannot be closed"):
        colour_lines(legs, np.random.default_rng(0))


def test_files_with_colours_are_left_alone() -> None:
    event = [
        "<event>\n",
        " 3 1 1.0 91.0 0.0 0.1\n",
        " 2 -1 0 0 501 0 0 0 45 45 0 0 9\n",
        " -2 -1 0 0 0 501 0 0 -45 45 0 0 9\n",
        " 23 1 1 2 0 0 0 0 0 90 90 0 9\n",
        "</event>\n",
    ]
    assert list(coloured(event, 0)) == event
    bare = [line.replace("501", "0") for line in event]
    done = list(coloured(["<LesHouchesEvents>\n", *bare, "</LesHouchesEvents>\n"], 0))
    assert len(done) == len(bare) + 2
    assert done[4].split()[4:6] == ["0", "501"] or done[3].split()[4:6] == ["501", "0"]
