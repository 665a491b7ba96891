"""A learned reduction: a policy names identities, and exact arithmetic solves those that it named, few at a time.

As in SAILIR (arXiv 2604.05034), one call lowers one integral by one level, so that memory does not grow with how
complex the integrals are: the system of all equations is never written down. There, a beam of states follows single
identities, each state with what it knows itself. Here there is one state: in each round the policy names some
identities for the most complex integral that is left, and all that were named are solved together
(`lpm.theory.ibp.pool`), so that none is lost and their order does not matter. Integrals that were solved on the way to
others are put in where they turn up (`lpm.theory.ibp.found`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from lpm.model.model import Model
from lpm.theory.ibp.family import Family, Index, show
from lpm.theory.ibp.found import Found
from lpm.theory.ibp.identities import Point
from lpm.theory.ibp.paths import State, masters
from lpm.theory.ibp.policy import batch_of, options
from lpm.theory.ibp.pool import Pool
from lpm.theory.ibp.sectors import live_sectors, sector_of
from lpm.theory.ibp.steps import Row, Sector, Step, heavy, level

__all__ = ["Lowered", "Lowering", "SearchConfig"]


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How widely to search.

    Args:
        taken: Identities that are added in each round, the most probable ones.
        ranked: Identities that the policy sees in each round, those that bring in the fewest new integrals.
        most: Identities that are solved together, at most.
        tries: Searches before an integral is given up, each with twice as many of all three as the one before.
        known: Solved integrals that are remembered of a sector.
    """

    taken: int = 16
    ranked: int = 1000
    most: int = 400
    tries: int = 3
    known: int = 300

    def __post_init__(self) -> None:
        if not 1 <= self.taken <= self.most or min(self.ranked, self.tries) < 1 or self.known < 0:
            raise ValueError(f"expected 1 ≤ taken ≤ most, ranked and tries ≥ 1, known ≥ 0, got {self}")

    def wider(self) -> SearchConfig:
        """With twice as many identities."""
        return replace(self, taken=2 * self.taken, ranked=2 * self.ranked, most=2 * self.most)


SECTORS = 2
"""Sectors of which anything is remembered. Integrals are lowered sector by sector."""


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
        self, family: Family, point: Point, prime: int, model: Model, config: SearchConfig | None = None,
        known: frozenset[Index] | None = None,
    ) -> None:  # fmt: skip
        self.family, self.point, self.prime = family, point, prime
        self.model, self.config = model.eval(), config or SearchConfig()
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
            ValueError: If no way was found; more identities may find one.
        """
        looked, config = 0, self.config
        for _ in range(config.tries):
            for found in self._starts(index):
                way, more = self._searched(index, found, config)
                looked += more
                if way is not None:
                    self._found[sector_of(index)] = found
                    return Lowered(found.add(index, way), way, looked)
            config, last = config.wider(), config
        raise ValueError(f"{show(index)}: not lowered by {last.most} identities; take the method laporta")

    def _starts(self, index: Index) -> Iterator[Found]:
        """What is known of the sector; then nothing, if that is to no avail: what was found may lead astray."""
        found = self.found(index)
        yield found
        if found.whole:
            yield Found(found.sector, self.masters, self.config.known)

    def _searched(self, index: Index, found: Found, config: SearchConfig) -> tuple[tuple[Step, ...] | None, int]:
        """Steps that lower an integral, None if none were found; and how many were looked at."""
        pool, used, limit = Pool(found), set(found.steps), level(index)
        while True:
            terms = pool.put({index: 1})
            open_ = [i for i in terms if i not in self.masters]
            looked = len(used) - len(found.steps)
            if not any(level(i) >= limit for i in open_):
                return pool.behind({index: 1}), looked
            if len(pool.steps) + config.taken > config.most:
                return None, looked
            state = State(found.sector, terms, pool.rows, max(open_, key=heavy), frozenset(used))
            new = 0
            for step in self._ranked(state, config.ranked):
                used.add(step)
                new += pool.add(step)
                if new == config.taken:
                    break
            if not new:
                return None, looked

    def _ranked(self, state: State, most: int) -> Iterator[Step]:
        """The steps of a state, the most probable first."""
        choices = options(state, most)
        chances = self.model.predict(batch_of([state], [choices], of=self.model.schema), ("step",))["step"].numpy()
        return (choices.step(int(i)) for i in np.argsort(-chances, kind="stable"))
