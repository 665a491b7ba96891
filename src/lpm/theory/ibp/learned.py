"""A learned reduction: a policy ranks identities, a beam of states follows the best, exact arithmetic does the rest.

As in SAILIR (arXiv 2604.05034), one call lowers one integral by one level, so that memory does not grow with how
complex the integrals are: a system of equations is never written down. There, the beam keeps the states whose integrals
are the simplest. Here it keeps those that the policy thinks the most probable, and it begins narrow: a way often leads
through more complex integrals before it comes down, and a policy that has seen solved integrals knows that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lpm.model.model import Model
from lpm.theory.ibp.family import Family, Index, show
from lpm.theory.ibp.identities import Point
from lpm.theory.ibp.paths import State, masters, solve, substitute
from lpm.theory.ibp.policy import batch_of, options
from lpm.theory.ibp.sectors import live_sectors, sector_of
from lpm.theory.ibp.steps import Row, Sector, Step, heavy, level

__all__ = ["BeamConfig", "Lowered", "Lowering", "certified"]


@dataclass(frozen=True, kw_only=True)
class BeamConfig:
    """How widely to search.

    Args:
        beam: States that are kept in each round, at most: a narrow beam is tried first, then wider ones.
        tried: Steps of each state that are tried, the most probable ones.
        depth: Most steps.
    """

    beam: int = 32
    tried: int = 4
    depth: int = 100

    def __post_init__(self) -> None:
        if min(self.beam, self.tried, self.depth) < 1:
            raise ValueError(f"expected beam, tried and depth of at least 1, got {self}")


NARROW = 4
"""The beam that is tried first."""


@dataclass(frozen=True, eq=False)
class _Place:
    """A state of the beam, the steps that led to it, and the logarithm of their chance."""

    state: State
    way: tuple[Step, ...]
    chance: float


@dataclass(frozen=True)
class Lowered:
    """An integral in terms of simpler ones.

    Args:
        terms: They, of this sector and of those with fewer lines.
        steps: The identities that were used, in order.
        looked: States that were looked at.
    """

    terms: Row
    steps: tuple[Step, ...]
    looked: int


class Lowering:
    """Lowers integrals of a family at a point, one by one.

    Args:
        family: The family.
        point: {symbol: value}, `d` among them.
        prime: The modulus.
        model: The policy: ranks the rows of `lpm.theory.ibp.policy`.
        config: How widely to search.
    """

    def __init__(
        self, family: Family, point: Point, prime: int, model: Model, config: BeamConfig | None = None
    ) -> None:
        self.family, self.point, self.prime = family, point, prime
        self.model, self.config = model.eval(), config or BeamConfig()
        self.masters = masters(family, point)
        self.live = frozenset(live_sectors(family))
        self._sectors: dict[int, Sector] = {}

    def sector(self, index: Index) -> Sector:
        """Of an integral."""
        number = sector_of(index)
        if number not in self._sectors:
            self._sectors[number] = Sector(self.family, self.point, self.prime, number)
        return self._sectors[number]

    def done(self, index: Index) -> bool:
        """Whether there is nothing to do: a master, or an integral that vanishes."""
        return index in self.masters or sector_of(index) not in self.live

    def __call__(self, index: Index) -> Lowered:
        """Lower one integral, to integrals of lower level or of sectors with fewer lines.

        Raises:
            ValueError: If no way was found; a wider beam may find one.
        """
        looked, beam = 0, min(NARROW, self.config.beam)
        while True:
            way, more = self._searched(index, beam)
            looked += more
            if way:
                return self._whole(self.sector(index), index, way, looked)
            if beam == self.config.beam:
                wider = "try a wider beam, or the method laporta"
                raise ValueError(f"{show(index)}: not lowered by {self.config.depth} steps with beam {beam}; {wider}")
            beam = min(2 * beam, self.config.beam)

    def _searched(self, index: Index, beam: int) -> tuple[tuple[Step, ...], int]:
        """Steps that lower an integral, none if none were found; and how many states were looked at."""
        sector, limit, looked = self.sector(index), level(index), 0
        front = [_Place(State(sector, {index: 1}, {}, index), (), 0.0)]
        for _ in range(self.config.depth):
            ahead: dict[frozenset[Index], _Place] = {}
            for place, (steps, chances) in zip(front, self._ranked([p.state for p in front]), strict=True):
                for step, chance in zip(steps, chances, strict=True):
                    looked += 1
                    if (after := place.state.take(step)) is None:
                        continue
                    way, open_ = (*place.way, step), [i for i in after[0] if i not in self.masters]
                    if all(level(i) < limit for i in open_):
                        return way, looked
                    state = State(sector, *after, max(open_, key=heavy), place.state.used | {step})
                    new, key = _Place(state, way, place.chance + chance), frozenset(state.terms)
                    if key not in ahead or ahead[key].chance < new.chance:
                        ahead[key] = new
            front = sorted(ahead.values(), key=lambda p: -p.chance)[:beam]
        return (), looked

    def _ranked(self, states: Sequence[State]) -> list[tuple[list[Step], list[float]]]:
        """The most probable steps of each state, and the logarithms of their chances."""
        if not states:
            return []
        choices = [options(s) for s in states]
        chances = self.model.predict(batch_of(states, choices, of=self.model.schema), ("step",))["step"].numpy()
        out, at = [], 0
        for o in choices:
            here = chances[at : at + len(o)]
            best = np.argsort(-here, kind="stable")[: self.config.tried]
            out.append(([o.step(int(i)) for i in best], np.log(here[best].clip(1e-9)).tolist()))
            at += len(o)
        return out

    def _whole(self, sector: Sector, index: Index, steps: tuple[Step, ...], looked: int) -> Lowered:
        """What an integral equals by some steps, with the integrals of fewer lines."""
        rows = [sector.row(step, below=True) for step in steps]
        solved: dict[Index, Row] = {}
        terms: Row = {index: 1}
        for row in rows:
            target = max((i for i in terms if sector_of(i) == sector.number and i not in self.masters), key=heavy)
            new = {target: solve(substitute(row, solved, self.prime), target, self.prime)}
            solved = {i: substitute(r, new, self.prime) if target in r else r for i, r in solved.items()} | new
            terms = substitute(terms, new, self.prime)
        if not certified(rows, index, terms, self.prime):
            raise ValueError(f"{show(index)}: the identities do not add up to what was found: please report this")
        return Lowered(terms, steps, looked)


def certified(rows: Sequence[Row], index: Index, terms: Row, prime: int) -> bool:
    """Whether an integral equals a sum because of some identities: by elimination in another order than theirs.

    Args:
        rows: The identities, each a sum that vanishes.
        index: The integral.
        terms: The sum.
        prime: The modulus.

    Example:
        >>> rows = [{(2,): 1, (1,): 3}, {(3,): 2, (2,): 4}]
        >>> certified(rows, (3,), {(1,): 6}, 7), certified(rows, (3,), {(1,): 5}, 7)
        (True, False)
    """
    left = dict(terms)
    left[index] = (left.get(index, 0) - 1) % prime
    done: dict[Index, Row] = {}
    for row in reversed(rows):
        rest = substitute(row, done, prime)
        if rest:
            pivot = min(rest)
            new = {pivot: solve(rest, pivot, prime)}
            done = {i: substitute(r, new, prime) if pivot in r else r for i, r in done.items()} | new
    return not substitute(left, done, prime)
