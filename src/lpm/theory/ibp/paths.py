"""Paths to learn from: scrambled sums of masters and the way back, and what exact reductions did.

Scrambled, as in SAILIR (arXiv 2604.05034): a sum of the masters of a random sector is scrambled; each time an identity
at some seed is added to it, either such that one of its integrals goes, or with a random factor. On the way back the
most complex integral that is no master is the target, and the step is the first identity that was used and holds it,
once what was eliminated before is put in. Paths that do not end at the masters are dropped. Unlike there, sectors that
vanish are never entered.

Solved: a random integral is reduced exactly, and the identities that its proof adds up are the ones to choose, each
time any of those that hold the target. Scrambled sums seldom need an identity for what another one brought in; a search
starts from single integrals, where that is the rule, and a policy that has seen scrambled sums alone gets lost there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lpm.theory.ibp.family import Family, Index
from lpm.theory.ibp.identities import Point
from lpm.theory.ibp.sectors import live_sectors, sector_of
from lpm.theory.ibp.steps import PATTERN, Row, Sector, Step, heavy, level

__all__ = ["PathConfig", "State", "Way", "eliminated", "masters", "paths", "solve", "substitute"]


TRIES = 4
"""Systems of identities that are tried for an integral, each with one power of numerators more."""


@dataclass(frozen=True, kw_only=True)
class PathConfig:
    """How sums are scrambled.

    Args:
        fewest: Identities that are added, at least.
        most: At most.
        dots: Most dots of seeds that are chosen freely.
        rank: Most powers of numerators of seeds that are chosen freely.
        widest: Paths whose sum grows longer than this are dropped.
        solved: Share of paths that are not scrambled but solved; their integrals have at most as many dots and powers.
    """

    fewest: int = 5
    most: int = 25
    dots: int = 3
    rank: int = 4
    widest: int = 250
    solved: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.fewest <= self.most or min(self.dots, self.rank) < 0 or self.widest < 1:
            raise ValueError(f"expected 1 ≤ fewest ≤ most, dots and rank ≥ 0, widest ≥ 1, got {self}")
        if not 0 <= self.solved <= 1:
            raise ValueError(f"solved: expected a share between 0 and 1, got {self.solved}")


@dataclass(frozen=True, eq=False)
class State:
    """Where a reduction within a sector stands.

    Args:
        sector: The sector.
        terms: Integrals and their coefficients.
        solved: Integrals that were eliminated before, each by the integrals that it equals; none of them holds another.
        target: The most complex integral that is no master.
        used: Steps that were taken.
    """

    sector: Sector
    terms: Row
    solved: dict[Index, Row]
    target: Index
    used: frozenset[Step] = frozenset()

    def take(self, step: Step) -> tuple[Row, dict[Index, Row]] | None:
        """Terms and solved integrals after a step; None if its identity does not hold the target after all."""
        p, row = self.sector.prime, substitute(self.sector.row(step), self.solved, self.sector.prime)
        if self.target not in row:
            return None
        found = solve(row, self.target, p)
        return substitute(self.terms, {self.target: found}, p), eliminated(self.solved, self.target, found, p)


Way = list[tuple[State, tuple[Step, ...]]]
"""States, each with the steps that are right: the one that was taken first."""


def substitute(row: Row, solved: dict[Index, Row], prime: int) -> Row:
    """A sum with what solved integrals equal in their place; none of these may hold another."""
    held = [i for i in row if i in solved]
    out = dict(row)
    for index in held:
        factor = out.pop(index)
        for i, c in solved[index].items():
            if value := (out.get(i, 0) + factor * c) % prime:
                out[i] = value
            else:
                out.pop(i, None)
    return out


def eliminated(solved: dict[Index, Row], index: Index, found: Row, prime: int) -> dict[Index, Row]:
    """Solved integrals with one more among them, put into all others."""
    new = {index: found}
    return {i: substitute(r, new, prime) if index in r else r for i, r in solved.items()} | new


def solve(row: Row, index: Index, prime: int) -> Row:
    """What an integral of a row equals."""
    factor = -pow(row[index], -1, prime) % prime
    return {i: c * factor % prime for i, c in row.items() if i != index}


@lru_cache(maxsize=8)
def _masters(family: Family, point: tuple[tuple[str, int], ...], prime: int) -> frozenset[Index]:
    from lpm.theory.ibp.laporta import Reducer, Seeds  # compiled code: not needed to describe or train a policy

    live = live_sectors(family)
    reducer = Reducer(family, dict(point), prime, Seeds(sectors=live, dots=1, rank=2))
    return frozenset(reducer.masters(dots=1, rank=1))


def masters(family: Family, point: Point, prime: int = PATTERN) -> frozenset[Index]:
    """The simplest integrals, found by a reduction of few dots and numerators.

    Example:
        >>> from lpm.theory.ibp.family import read_family
        >>> len(masters(read_family("trianglebox"), dict(d=41, m1=1, m2=31, m3=47)))
        16
    """
    return _masters(family, tuple(point.items()), prime)


def paths(family: Family, point: Point, config: PathConfig, rng: np.random.Generator) -> Iterator[Way]:
    """Paths from scrambled sums back to masters, without end: the states, each with the step that was taken.

    Args:
        family: The family.
        point: {symbol: value}, `d` among them.
        config: How sums are scrambled.
        rng: Decides everything.
    """
    known = masters(family, point)
    sectors = [Sector(family, point, PATTERN, s) for s in live_sectors(family)]
    while True:
        sector = sectors[int(rng.integers(len(sectors)))]
        if rng.random() < config.solved:
            if way := _solved(sector, _seed(sector, config, rng), known):
                yield way
            continue
        mine = [i for i in known if sector_of(i) == sector.number]
        start = {i: int(rng.integers(1, PATTERN)) for i in sorted(mine)}
        if made := _scrambled(sector, start, config, rng):
            path = _back(sector, *made, frozenset(mine), start)
            if path:
                yield path


def _scrambled(
    sector: Sector, start: Row, config: PathConfig, rng: np.random.Generator
) -> tuple[Row, list[Step]] | None:
    """A sum to which identities were added, and these; None if it grew too long."""
    terms, used = dict(start), list[Step]()
    for _ in range(int(rng.integers(config.fewest, config.most + 1))):
        chosen = sorted(terms)[int(rng.integers(len(terms)))] if terms and rng.random() < 0.5 else None
        step = _step(sector, chosen, config, rng)
        if step is None or step in used:
            continue
        row = sector.row(step)
        if chosen is None:
            factor = int(rng.integers(1, PATTERN))
        else:
            factor = -terms[chosen] * pow(row[chosen], -1, PATTERN) % PATTERN
        terms = substitute({**terms, (): factor}, {(): row}, PATTERN)
        used.append(step)
        if len(terms) > config.widest:
            return None
    return terms, used


def _step(sector: Sector, holds: Index | None, config: PathConfig, rng: np.random.Generator) -> Step | None:
    """A random step, one that holds an integral if it is given; None if the draw is no step of this sector."""
    anchor = holds or _seed(sector, config, rng)
    near = sector.around(anchor)
    if not len(near.identity):
        return None
    i = int(rng.integers(len(near.identity)))
    return int(near.identity[i]), tuple(near.seed[i].tolist())


def _seed(sector: Sector, config: PathConfig, rng: np.random.Generator) -> Index:
    """A random integral of the sector with few dots and powers of numerators."""
    out = [sector.number >> i & 1 for i in range(len(sector.family.propagators))]
    up, down = ([i for i, a in enumerate(out) if bool(a) == positive] for positive in (True, False))
    for places, most, sign in ((up, config.dots, 1), (down, config.rank, -1)):
        for _ in range(int(rng.integers(most + 1)) if places else 0):
            out[places[int(rng.integers(len(places)))]] += sign
    return tuple(out)


def _solved(sector: Sector, index: Index, known: frozenset[Index]) -> Way:
    """How an integral was lowered by an exact reduction; empty if that takes more identities than are tried."""
    from lpm.theory.ibp.laporta import Reducer, seeds_for

    way: Way = []
    if index in known:
        return way
    limit = level(index)
    for more in range(TRIES):
        reducer = Reducer(sector.family, sector.point, PATTERN, seeds_for([index], rank=more - 1))
        result = reducer.reduce({index: 1})
        if all(sector_of(i) != sector.number or i in known or level(i) < limit for i in result):
            break
    else:
        return way
    steps = ((reducer.names.index(name), seed) for name, seed, _ in reducer.certify({index: 1}, result))
    rows = {step: row for step in steps if (row := sector.row(step))}
    terms, solved = {index: 1}, dict[Index, Row]()
    while open_ := [i for i in terms if i not in known and level(i) >= limit]:
        target = max(open_, key=heavy)
        right = sorted((s for s, row in rows.items() if target in row), key=lambda s: _cost(rows[s]))
        if not right:
            return []
        used = frozenset(s[0] for _, s in way)
        way.append((State(sector, terms, solved, target, used), tuple(right)))
        new = {target: solve(rows.pop(right[0]), target, PATTERN)}
        rows = {s: substitute(r, new, PATTERN) if target in r else r for s, r in rows.items()}
        solved = eliminated(solved, target, new[target], PATTERN)
        terms = substitute(terms, new, PATTERN)
    return way


def _cost(row: Row) -> tuple[tuple[int, ...], int]:
    """What a row would bring in: its most complex integral, then how many."""
    return max(map(heavy, row)), len(row)


def _back(sector: Sector, terms: Row, used: list[Step], known: frozenset[Index], start: Row) -> Way:
    """The way back; empty if it does not end at the masters."""
    path: Way = []
    p, solved = sector.prime, dict[Index, Row]()
    rows = {step: sector.row(step) for step in used}  # with what was solved put in
    while open_ := [i for i in terms if i not in known]:
        target = max(open_, key=heavy)
        step = next((s for s, row in rows.items() if target in row), None)
        if step is None:
            return []
        path.append((State(sector, terms, solved, target, frozenset(s[0] for _, s in path)), (step,)))
        new = {target: solve(rows.pop(step), target, p)}
        rows = {s: substitute(r, new, p) if target in r else r for s, r in rows.items()}
        solved = eliminated(solved, target, new[target], p)
        terms = substitute(terms, new, p)
    return path if terms == start else []
