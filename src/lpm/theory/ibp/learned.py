"""A learned reduction: a policy ranks identities, a beam of states follows the best, exact arithmetic does the rest.

As in SAILIR (arXiv 2604.05034), one call lowers one integral by one level, so that memory does not grow with how
complex the integrals are: a system of equations is never written down. There, the beam keeps the states whose integrals
are the simplest. Here it keeps those that the policy thinks the most probable, and it begins narrow: a way often leads
through more complex integrals before it comes down, and a policy that has seen solved integrals knows that. Integrals
that were solved on the way to others are put in where they turn up (`lpm.theory.ibp.found`). Where a beam finds no way,
many identities are solved together (`lpm.theory.ibp.pool`): states of a beam cannot use what the others know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lpm.model.model import Model
from lpm.theory.ibp.family import Family, Index, show
from lpm.theory.ibp.found import Found
from lpm.theory.ibp.identities import Point
from lpm.theory.ibp.paths import State, masters, substitute
from lpm.theory.ibp.policy import batch_of, options
from lpm.theory.ibp.pool import Pool
from lpm.theory.ibp.sectors import live_sectors, sector_of
from lpm.theory.ibp.steps import Row, Sector, Step, heavy, level

__all__ = ["BeamConfig", "Lowered", "Lowering"]


@dataclass(frozen=True, kw_only=True)
class BeamConfig:
    """How widely to search.

    Args:
        beam: States that are kept in each round, at most: a narrow beam is tried first, then wider ones.
        tried: Steps of each state that are followed, the most probable ones.
        depth: Most steps.
        ranked: Steps of each state that the policy sees, those that bring in the fewest new integrals.
        known: Solved integrals that are remembered of a sector.
        together: Identities that are solved together where no beam finds a way, at most; 0 for none.
    """

    beam: int = 32
    tried: int = 4
    depth: int = 100
    ranked: int = 200
    known: int = 300
    together: int = 400

    def __post_init__(self) -> None:
        if min(self.beam, self.tried, self.depth, self.ranked) < 1 or min(self.known, self.together) < 0:
            raise ValueError(
                f"expected beam, tried, depth and ranked of at least 1, known and together of at least 0, got {self}"
            )


NARROW = 1
"""The beam that is tried first."""

VAIN = 6
"""Steps that are looked at for each that is followed: many say nothing new once much is known."""

TAKEN = 16
"""Identities that are taken in each round with the narrowest beam, where they are solved together."""

SECTORS = 2
"""Sectors of which anything is remembered. Integrals are lowered sector by sector."""


@dataclass(frozen=True, eq=False)
class _Place:
    """A state of the beam, the steps that led to it, and the logarithm of their chance."""

    state: State
    way: tuple[Step, ...]
    chance: float


@dataclass(frozen=True, eq=False)
class _Move:
    """A step from a place of the beam: what the target equals by it, and the terms that this leaves."""

    place: _Place
    step: Step
    chance: float
    found: Row
    terms: Row

    def place_after(self, target: Index) -> _Place:
        """Where it leads."""
        s = self.place.state
        state = State(s.sector, self.terms, s.kept(self.found), target, s.used | {self.step})
        return _Place(state, (*self.place.way, self.step), self.chance)


@dataclass(frozen=True)
class Lowered:
    """An integral in terms of simpler ones.

    Args:
        terms: They, of this sector and of those with fewer lines.
        steps: The identities that were used, in order, besides those by which others were lowered before.
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
        known: The masters; looked for if absent.
    """

    def __init__(
        self, family: Family, point: Point, prime: int, model: Model, config: BeamConfig | None = None,
        known: frozenset[Index] | None = None,
    ) -> None:  # fmt: skip
        self.family, self.point, self.prime = family, point, prime
        self.model, self.config = model.eval(), config or BeamConfig()
        self.masters = known or masters(family, point)
        self.live = frozenset(live_sectors(family))
        self._found: dict[int, Found] = {}

    def found(self, index: Index) -> Found:
        """What is known of the sector of an integral."""
        number = sector_of(index)
        out = self._found.pop(number, None)
        if out is None:
            sector = Sector(self.family, self.point, self.prime, number)
            out = Found(sector, self.masters, self.config.known)
        self._found[number] = out
        while len(self._found) > SECTORS:
            del self._found[next(iter(self._found))]
        return out

    def done(self, index: Index) -> bool:
        """Whether there is nothing to do: a master, or an integral that vanishes."""
        return index in self.masters or sector_of(index) not in self.live

    def __call__(self, index: Index) -> Lowered:
        """Lower one integral, to integrals of lower level or of sectors with fewer lines.

        Raises:
            ValueError: If no way was found; a wider beam may find one.
        """
        looked, beam = 0, min(NARROW, self.config.beam)
        while beam <= self.config.beam:
            for found in self._starts(index):
                for search, width in ((self._searched, beam), (self._together, TAKEN * beam)):
                    way, more = search(index, found, width)
                    looked += more
                    if way is not None:
                        self._found[sector_of(index)] = found
                        return Lowered(found.add(index, way), way, looked)
            beam *= 2
        raise ValueError(
            f"{show(index)}: not lowered by {self.config.depth} steps with beam {self.config.beam}, nor by "
            f"{self.config.together} identities together; try a wider beam, or the method laporta"
        )

    def _starts(self, index: Index) -> Iterator[Found]:
        """What is known of the sector; then nothing, if that is to no avail: what was found may lead astray."""
        found = self.found(index)
        yield found
        if found.whole:
            yield Found(found.sector, self.masters, self.config.known)

    def _together(self, index: Index, found: Found, taken: int) -> tuple[tuple[Step, ...] | None, int]:
        """The same by many identities that are solved together, `taken` more in each round."""
        pool, used, limit = Pool(found), set(found.steps), level(index)
        while len(pool.steps) + taken <= self.config.together:
            terms = pool.put({index: 1})
            if (target := self._target(terms, limit)) is None:
                return pool.behind({index: 1}), len(used) - len(found.steps)
            state = State(found.sector, terms, pool.rows, target, frozenset(used))
            new = 0
            for step, _ in self._ranked([state], self.config.ranked)[0]:
                used.add(step)
                new += pool.add(step)
                if new == taken:
                    break
            if not new:
                break
        return None, len(used) - len(found.steps)

    def _searched(self, index: Index, found: Found, beam: int) -> tuple[tuple[Step, ...] | None, int]:
        """Steps that lower an integral, None if none were found; and how many states were looked at."""
        limit, looked = level(index), 0
        terms = substitute({index: 1}, found.inside, self.prime)
        if (target := self._target(terms, limit)) is None:
            return (), 0
        front = [_Place(State(found.sector, terms, found.inside, target, found.steps), (), 0.0)]
        for _ in range(self.config.depth):
            ahead: dict[frozenset[Index], tuple[_Move, Index]] = {}
            ranked = self._ranked([p.state for p in front], VAIN * self.config.tried)
            for move in (m for place, best in zip(front, ranked, strict=True) for m in self._moves(place, best)):
                looked += 1
                if (target := self._target(move.terms, limit)) is None:
                    return (*move.place.way, move.step), looked
                key = frozenset(move.terms)
                if key not in ahead or ahead[key][0].chance < move.chance:
                    ahead[key] = move, target
            best = sorted(ahead.values(), key=lambda m: -m[0].chance)[:beam]
            front = [move.place_after(target) for move, target in best]
            if not front:
                break
        return None, looked

    def _target(self, terms: Row, limit: tuple[int, int]) -> Index | None:
        """The most complex integral that is no master; None if all of these are below the level that is asked for."""
        open_ = [i for i in terms if i not in self.masters]
        return max(open_, key=heavy) if any(level(i) >= limit for i in open_) else None

    def _moves(self, place: _Place, ranked: Sequence[tuple[Step, float]]) -> Iterator[_Move]:
        """The most probable steps whose identities hold the target."""
        left = self.config.tried
        for step, chance in ranked:
            if left and (found := place.state.found(step)) is not None:
                left -= 1
                yield _Move(place, step, place.chance + chance, found, place.state.put(found))

    def _ranked(self, states: Sequence[State], most: int) -> list[list[tuple[Step, float]]]:
        """The most probable steps of each state, with the logarithms of their chances."""
        choices = [options(s, self.config.ranked) for s in states]
        chances = self.model.predict(batch_of(states, choices, of=self.model.schema), ("step",))["step"].numpy()
        out, at = [], 0
        for o in choices:
            here = chances[at : at + len(o)]
            best = np.argsort(-here, kind="stable")[:most]
            logarithms = np.log(here[best].clip(1e-9)).tolist()
            out.append([(o.step(int(i)), x) for i, x in zip(best, logarithms, strict=True)])
            at += len(o)
        return out
