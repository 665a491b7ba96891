"""The exact reduction of Laporta, hep-ph/0102033: write down identities at many indices, solve them, simplest first.

The order of integrals decides what is expressed by what: by the number of lines, the sector, the sum of positive
indices, the sum of negative ones, and then the indices themselves. What elimination leaves over are the masters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from lpm.theory.ibp.family import Family, Index, show
from lpm.theory.ibp.identities import Identity, Point, identities
from lpm.theory.ibp.sectors import live_sectors, sector_of, subsectors
from lpm.theory.ibp.steps import weight
from lpm.theory.ibp.symmetries import Carried, symmetries
from lpm.theory.modular import check_prime
from lpm.theory.sparse import Rows, Solved, check, solve

__all__ = ["Reducer", "Seeds", "Share", "seeds_for", "weight"]

Whole = NDArray[np.int64]
Share = tuple[str, Index, int]
"""An identity by its name and seed, and what it is multiplied by."""


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """At which indices identities are written down.

    Args:
        sectors: Those in question; their subsectors are added.
        dots: Most that the positive indices of a seed exceed 1 by, together.
        rank: Most that the others fall below 0 by, together.
    """

    sectors: tuple[int, ...]
    dots: int
    rank: int


def seeds_for(targets: Iterable[Index], dots: int = 0, rank: int = 0) -> Seeds:
    """Seeds with which the targets are usually reduced.

    Args:
        targets: Integrals.
        dots: Further dots.
        rank: Further powers of numerators.

    Example:
        >>> seeds_for([(2, 0, 2, 0, 1, 1, 0), (1, 0, 1, 0, 1, 1, -1)])
        Seeds(sectors=(53,), dots=2, rank=2)
    """
    targets = list(targets)
    high = max(sum(a - 1 for a in t if a > 0) for t in targets)
    low = max(sum(-a for a in t if a < 0) for t in targets)
    # One power more than asked for: identities that raise an index often lower another.
    return Seeds(sectors=tuple(sorted({sector_of(t) for t in targets})), dots=max(high, 1) + dots,
                 rank=low + 1 + rank)  # fmt: skip


class Reducer:
    """Reduces integrals of one family at one point.

    Args:
        family: The family.
        point: {symbol: value}, `d` among them.
        prime: The modulus.
        seeds: Where identities are written down.
        memory: Most bytes for what elimination finds.
        symmetric: Whether sectors that carry into each other are one, see `lpm.theory.ibp.symmetries`.

    Attributes:
        equations: Number of identities written down.
        integrals: Number of integrals in them.

    Raises:
        ValueError: If a symbol has no value or the modulus is no prime.
        MemoryError: If elimination needs more memory.

    Example:
        >>> from lpm.theory.ibp.family import read_family
        >>> target, family = (0, 2, 1, 1, 0, 0, 0), read_family("trianglebox")
        >>> reducer = Reducer(family, dict(d=41, m1=1, m2=31, m3=47), 1009, seeds_for([target]))
        >>> reducer.reduce({target: 1})
        {(0, 1, 1, 1, 0, 0, 0): 700}
    """

    def __init__(
        self, family: Family, point: Point, prime: int, seeds: Seeds, memory: int = 2**34, *, symmetric: bool = False
    ) -> None:
        self.family, self.prime = family, check_prime(prime)
        self.live = frozenset(live_sectors(family))
        found = identities(family, point, prime)
        self.names = [i.name for i in found]
        self.seeds = _closed(family, seeds) if symmetric else seeds
        self._seeds = _corners(family, self.seeds, self.live)
        self._carried = list(_carried(family, point, prime, self.seeds)) if symmetric else []
        more = [row for _, _, row in self._carried]
        self._indices, rows = _equations(found, self._seeds, self.live, prime, more)
        self.equations, self.integrals = len(rows), len(self._indices)
        self._solved: Solved = solve(rows, max(1, self.integrals), prime, memory)
        self._place = {tuple(a): i for i, a in enumerate(self._indices.tolist())}

    def reduce(self, terms: Mapping[Index, int]) -> dict[Index, int]:
        """A sum of integrals in terms of the simplest ones that the identities leave, the most complex first.

        Args:
            terms: {integral: residue}.

        Raises:
            ValueError: If an integral is not one of this family.
        """
        out: dict[Index, int] = {}
        places, values = [], []
        for index, value in terms.items():
            if sector_of(self.family.check(index)) not in self.live:
                continue
            if index in self._place:
                places.append(self._place[index])
                values.append(value % self.prime)
            else:  # no identity holds it
                out[index] = (out.get(index, 0) + value) % self.prime
        found = self._solved.reduce(np.array(places, dtype=np.int64), np.array(values, dtype=np.uint64))
        for place, value in found.items():
            index = self.index(place)
            out[index] = (out.get(index, 0) + value) % self.prime
        return {i: v for i, v in sorted(out.items(), key=lambda x: weight(x[0]), reverse=True) if v}

    @property
    def rows(self) -> Rows:
        """The identities, as rows over integrals by number."""
        return self._solved.rows

    def place(self, index: Index) -> int:
        """Number of an integral."""
        return self._place[index]

    def index(self, place: int) -> Index:
        """The integral of a number."""
        return tuple(self._indices[place].tolist())

    def certify(self, terms: Mapping[Index, int], result: Mapping[Index, int]) -> list[Share]:
        """Prove that a sum of integrals equals a result: as a sum of identities, added up in plain whole numbers.

        Returns:
            The identities, each with its name, its seed and its factor: they add up to the sum minus the result.

        Raises:
            ValueError: If they do not add up to it.
        """
        known = {i: v for i, v in terms.items() if i in self._place}
        places = np.array([self._place[i] for i in known], dtype=np.int64)
        values = np.array([v % self.prime for v in known.values()], dtype=np.uint64)
        witness = self._solved.witness(places, values)
        left = check(self.rows, witness, self.prime)
        wanted = {self._place[i]: v for i, v in known.items()}
        for index, value in result.items():
            if index in self._place:
                place = self._place[index]
                wanted[place] = wanted.get(place, 0) - value
            elif (terms.get(index, 0) - value) % self.prime:
                raise ValueError(f"{show(index)}: no identity holds it, yet its coefficient has changed")
        if left != {i: v % self.prime for i, v in wanted.items() if v % self.prime}:
            raise ValueError("the identities do not add up to the result")
        return [(*self._origin(row), factor) for row, factor in witness.items()]

    def _origin(self, row: int) -> tuple[str, Index]:
        """Name and seed of an identity."""
        seed, number = divmod(row, len(self.names))
        if seed < len(self._seeds):
            return self.names[number], tuple(self._seeds[seed].tolist())
        return self._carried[row - len(self._seeds) * len(self.names)][:2]

    def masters(self, dots: int = 0, rank: int = 0) -> list[Index]:
        """Integrals of the seeds' sectors with few dots and powers of numerators that nothing is known of."""
        wanted = Seeds(sectors=self.seeds.sectors, dots=dots, rank=rank)
        out = []
        for sector in sorted(subsectors(wanted.sectors) & self.live):
            for index in map(tuple, _corner(self.family, sector, dots, rank).tolist()):
                if index in self._place and not self._solved.known(self._place[index]):
                    out.append(index)
        return sorted(out, key=weight)

    def __str__(self) -> str:
        return (
            f"{self.equations:,} identities of {self.integrals:,} integrals, sectors under "
            f"{', '.join(map(str, self.seeds.sectors))}, {self.seeds.dots} dots, numerators to the power "
            f"{self.seeds.rank}: rank {self._solved.rank:,}, {self._solved.terms:,} terms"
        )


def _corner(family: Family, sector: int, dots: int, rank: int) -> Whole:
    """(n, N) indices of a sector with at most so many dots and powers of numerators."""
    size = len(family.propagators)
    up = [i for i in range(size) if sector >> i & 1]
    down = [i for i in range(size) if not sector >> i & 1]

    def spread(places: list[int], most: int, sign: int) -> Whole:
        rows = []
        for total in range(most + 1 if places else 1):
            for chosen in combinations_with_replacement(places, total):
                row = [0] * size
                for i in chosen:
                    row[i] += sign
                rows.append(row)
        return np.array(rows, dtype=np.int64)

    base = np.array([sector >> i & 1 for i in range(size)], dtype=np.int64)
    return (base + spread(up, dots, 1)[:, None] + spread(down, rank, -1)[None]).reshape(-1, size)


def _corners(family: Family, seeds: Seeds, live: frozenset[int]) -> Whole:
    """(n, N) indices at which identities are written down."""
    corners = [_corner(family, s, seeds.dots, seeds.rank) for s in sorted(subsectors(seeds.sectors) & live)]
    return np.concatenate([np.zeros((0, len(family.propagators)), dtype=np.int64), *corners])


def _closed(family: Family, seeds: Seeds) -> Seeds:
    """Seeds with the sectors that the others carry into."""
    sectors = set(seeds.sectors)
    while new := {s.target for s in symmetries(family) if s.source in subsectors(sectors)} - subsectors(sectors):
        sectors |= new
    return replace(seeds, sectors=tuple(sorted(sectors)))


def _carried(family: Family, point: Point, prime: int, seeds: Seeds) -> Iterator[tuple[str, Index, dict[Index, int]]]:
    """Integrals less what they equal by symmetries: name, seed and row of each."""
    under = subsectors(seeds.sectors)
    for symmetry in symmetries(family):
        if symmetry.source not in under:
            continue
        carried = Carried(symmetry, family, point, prime)
        for seed in map(tuple, _corner(family, symmetry.source, seeds.dots, seeds.rank).tolist()):
            row = {i: prime - c for i, c in carried(seed).items()}
            row[seed] = (row.get(seed, 0) + 1) % prime
            if row := {i: c for i, c in row.items() if c}:
                yield symmetry.name, seed, row


def _equations(
    found: list[Identity], at: Whole, live: frozenset[int], prime: int, more: Sequence[Mapping[Index, int]]
) -> tuple[Whole, Rows]:
    """All identities at all seeds, then more rows: indices of the integrals in rising order, and the rows.

    An integral is a whole number while rows are made, to which a shift adds a constant. What it is, and whether it
    vanishes, is asked once for each and not for each term.
    """
    size = at.shape[1]
    others = np.array([i for row in more for i in row], dtype=np.int64).reshape(-1, size)
    reach = np.concatenate([at, others])
    low, high = reach.min(0, initial=0) - 2, reach.max(0, initial=0) + 2
    strides = np.concatenate([np.ones(1, dtype=np.int64), (high - low + 1).cumprod()[:-1]])
    base = (at - low) @ strides
    codes, values, rows = [], [], []
    for number, identity in enumerate(found):
        for shift, constant, slope in zip(identity.shifts, identity.constants, identity.slopes, strict=True):
            value = _linear(at, int(constant), slope.tolist(), prime)
            kept = value.nonzero()[0]
            codes.append(base[kept] + shift @ strides)
            values.append(value[kept])
            rows.append(kept * len(found) + number)
    codes.append((others - low) @ strides)
    values.append(np.array([c for row in more for c in row.values()], dtype=np.uint64))
    rows.append(np.repeat(len(at) * len(found) + np.arange(len(more)), [len(row) for row in more]))
    code, place = np.unique(np.concatenate(codes), return_inverse=True)
    index = code[:, None] // strides % (high - low + 1) + low
    alive = np.zeros(1 << size, dtype=bool)
    alive[list(live)] = True
    lives = alive[_sectors(index)]
    order = np.lexsort(_keys(index).T[::-1])
    order = order[lives[order]]
    rank = np.full(len(index), -1)
    rank[order] = np.arange(len(order))
    unknown, row = rank[place], np.concatenate(rows)
    terms = np.argsort(row, kind="stable")
    terms = terms[unknown[terms] >= 0]
    starts = np.searchsorted(row[terms], np.arange(len(at) * len(found) + len(more) + 1))
    return index[order], Rows(starts, unknown[terms], np.concatenate(values)[terms])


def _linear(at: Whole, constant: int, slopes: list[int], prime: int) -> NDArray[np.uint64]:
    """(n,) residues of constant + slopes · indices, without overflow: by a table of the multiples of each slope."""
    p = np.uint64(prime)
    out = np.full(len(at), constant % prime, dtype=np.uint64)
    for i, slope in enumerate(slopes):
        if slope and len(at):
            low = int(at[:, i].min())
            table = np.array([slope * a % prime for a in range(low, int(at[:, i].max()) + 1)], dtype=np.uint64)
            out += table[at[:, i] - low]
            out -= np.where(out >= p, p, np.uint64(0))
    return out


def _sectors(index: Whole) -> Whole:
    return np.asarray(((index > 0) << np.arange(index.shape[1])).sum(1))


def _keys(index: Whole) -> Whole:
    """(n, N + 4) rows whose order is that of the integrals."""
    up, down = np.where(index > 0, index, 0).sum(1), -np.where(index < 0, index, 0).sum(1)
    head = np.stack([(index > 0).sum(1), _sectors(index), up, down], 1)
    return np.concatenate([head, np.abs(index[:, ::-1])], 1)


def text_of(terms: Mapping[Index, int]) -> str:
    """A sum of integrals as text.

    Example:
        >>> text_of({(0, 1, 1): 700, (1, 0, 1): 3})
        '700 I[0,1,1] + 3 I[1,0,1]'
    """
    return " + ".join(f"{v} {show(i)}" for i, v in terms.items()) or "0"
