"""A learned reduction: a policy ranks identities, a beam of states follows the best, exact arithmetic does the rest.

As in SAILIR (arXiv 2604.05034), one call lowers one integral by one level, so that memory does not grow with how
complex the integrals are: a system of equations is never written down. Half of the beam are states whose most complex
integral is the simplest, half those that are simplest in sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpm.model.model import Model
from lpm.theory.ibp.family import Family, Index, show
from lpm.theory.ibp.identities import Point
from lpm.theory.ibp.paths import State, masters, solve, substitute
from lpm.theory.ibp.policy import Options, batch_of, options
from lpm.theory.ibp.sectors import live_sectors, sector_of
from lpm.theory.ibp.steps import Row, Sector, Step, heavy, level

__all__ = ["BeamConfig", "Lowered", "Lowering", "certified"]


@dataclass(frozen=True, kw_only=True)
class BeamConfig:
    """How widely to search.

    Args:
        beam: States that are kept in each round.
        tried: Steps of each state that are tried, the most probable ones.
        depth: Most steps.
    """

    beam: int = 20
    tried: int = 5
    depth: int = 80

    def __post_init__(self) -> None:
        if min(self.beam, self.tried, self.depth) < 1:
            raise ValueError(f"expected beam, tried and depth of at least 1, got {self}")


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
        sector, limit = self.sector(index), level(index)
        front: list[tuple[State, tuple[Step, ...]]] = [(State(sector, {index: 1}, {}, index), ())]
        looked = 0
        for _ in range(self.config.depth):
            ahead = []
            for (state, way), steps in zip(front, self._ranked([s for s, _ in front]), strict=True):
                for step in steps:
                    after = state.take(step)
                    looked += 1
                    if after is None:
                        continue
                    open_ = [i for i in after[0] if i not in self.masters]
                    if all(level(i) < limit for i in open_):
                        return self._whole(sector, index, (*way, step), looked)
                    new = State(sector, *after, max(open_, key=heavy), state.used | {step})
                    ahead.append((new, (*way, step)))
            if not ahead:
                break
            front = self._kept(ahead)
        raise ValueError(f"{show(index)}: not lowered within {self.config}; try a wider beam, or the method laporta")

    def _ranked(self, states: Sequence[State]) -> list[list[Step]]:
        """The most probable steps of each state."""
        choices = [options(s) for s in states]
        batch = batch_of(states, choices, of=self.model.schema)
        chances = self.model.predict(batch, ("step",))["step"].numpy()
        out, at = [], 0
        for o in choices:
            out.append(self._best(o, chances[at : at + len(o)]))
            at += len(o)
        return out

    def _best(self, o: Options, chances: NDArray[np.float32]) -> list[Step]:
        return [o.step(int(i)) for i in np.argsort(-chances, kind="stable")[: self.config.tried]]

    def _kept(self, ahead: list[tuple[State, tuple[Step, ...]]]) -> list[tuple[State, tuple[Step, ...]]]:
        """Half by the most complex integral, half by the sum of all; each set of integrals once."""
        unique = {frozenset(s.terms): (s, w) for s, w in reversed(ahead)}
        found = sorted(unique.values(), key=lambda x: (heavy(x[0].target), _size(x[0].terms)))
        half = -(-self.config.beam // 2)
        first, rest = found[:half], found[half:]
        return first + sorted(rest, key=lambda x: _size(x[0].terms))[: self.config.beam - half]

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


def _size(terms: Iterable[Index]) -> int:
    """How complex a sum is."""
    return sum(sum(level(i)) for i in terms)
