"""A learned reduction: a policy ranks identities, a beam of states follows the best, exact arithmetic does the rest.

As in SAILIR (arXiv 2604.05034), one call lowers one integral by one level, so that memory does not grow with how
complex the integrals are: a system of equations is never written down. There, the beam keeps the states whose integrals
are the simplest. Here it keeps those that the policy thinks the most probable, and it begins narrow: a way often leads
through more complex integrals before it comes down, and a policy that has seen solved integrals knows that. Integrals
that were solved on the way to others are put in where they turn up (`lpm.theory.ibp.found`).
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
    """

    beam: int = 32
    tried: int = 4
    depth: int = 100
    ranked: int = 200
    known: int = 300

    def __post_init__(self) -> None:
        if min(self.beam, self.tried, self.depth, self.ranked) < 1 or self.known < 0:
            raise ValueError(
                f"expected beam, tried, depth and ranked of at least 1 and known of at least 0, got {self}"
            )


NARROW = 1
"""The beam that is tried first."""

VAIN = 6
"""Steps that are looked at for each that is followed: many say nothing new once much is known."""

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
        while True:
            found = self.found(index)
            way, more = self._searched(index, found, beam)
            looked += more
            if way is not None:
                return Lowered(found.add(index, way), way, looked)
            if beam == self.config.beam and not found.whole:
                wider = "try a wider beam, or the method laporta"
                raise ValueError(f"{show(index)}: not lowered by {self.config.depth} steps with beam {beam}; {wider}")
            if beam == self.config.beam:  # what was found before may have led astray
                del self._found[sector_of(index)]
                beam = min(NARROW, self.config.beam)
            else:
                beam = min(2 * beam, self.config.beam)

    def _searched(self, index: Index, found: Found, beam: int) -> tuple[tuple[Step, ...] | None, int]:
        """Steps that lower an integral, None if none were found; and how many states were looked at."""
        limit, looked = level(index), 0
        terms = substitute({index: 1}, found.inside, self.prime)
        if (target := self._target(terms, limit)) is None:
            return (), 0
        front = [_Place(State(found.sector, terms, found.inside, target, found.steps), (), 0.0)]
        for _ in range(self.config.depth):
            ahead: dict[frozenset[Index], tuple[_Move, Index]] = {}
            ranked = self._ranked([p.state for p in front])
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

    def _ranked(self, states: Sequence[State]) -> list[list[tuple[Step, float]]]:
        """The most probable steps of each state, with the logarithms of their chances."""
        choices = [options(s, self.config.ranked) for s in states]
        chances = self.model.predict(batch_of(states, choices, of=self.model.schema), ("step",))["step"].numpy()
        out, at = [], 0
        for o in choices:
            here = chances[at : at + len(o)]
            best = np.argsort(-here, kind="stable")[: VAIN * self.config.tried]
            logarithms = np.log(here[best].clip(1e-9)).tolist()
            out.append([(o.step(int(i)), x) for i, x in zip(best, logarithms, strict=True)])
            at += len(o)
        return out
