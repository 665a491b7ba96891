"""Integrals lowered one by one, by several processes at a time, until only masters are left.

The driver remembers what each integral equals. Workers know nothing but the one integral in hand, so their memory stays
flat. What was found can be kept in a file, from which a reduction that was killed goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, field, replace
from functools import lru_cache
from heapq import heappop, heappush
from pathlib import Path

import torch

from lpm.data.farm import Crew, Farm, open_crew
from lpm.model.checkpoint import load
from lpm.records.config import to_dict
from lpm.records.environment import peak_memory
from lpm.records.hashing import hash_json
from lpm.theory.ibp.family import Family, Index, show
from lpm.theory.ibp.learned import Lowered, Lowering, SearchConfig
from lpm.theory.ibp.paths import masters, substitute
from lpm.theory.ibp.sectors import sector_of
from lpm.theory.ibp.steps import Row, weight

__all__ = ["Answer", "Memo", "Work", "reduce"]

AHEAD = 2
"""Integrals handed to each worker, so that it never waits."""


@dataclass(frozen=True)
class Work:
    """What all workers are told.

    Args:
        family: The family.
        point: ((symbol, value), …), `d` among them.
        prime: The modulus.
        policy: Folder of a trained policy.
        config: How widely to search.
        masters: The integrals to end at, if they are at hand: finding them takes compiled code and its memory.
    """

    family: Family
    point: tuple[tuple[str, int], ...]
    prime: int
    policy: Path
    config: SearchConfig = field(default_factory=SearchConfig)
    masters: frozenset[Index] | None = None

    @property
    def name(self) -> str:
        """A hash of what decides the results: not of the policy, which decides the way only."""
        return hash_json({"family": to_dict(self.family), "point": sorted(self.point), "prime": self.prime})


@lru_cache(maxsize=2)
def lowering(work: Work) -> Lowering:
    """Ready to lower integrals; one for each process."""
    torch.set_num_threads(1)
    known = work.masters or masters(work.family, dict(work.point))
    return Lowering(work.family, dict(work.point), work.prime, load(work.policy), work.config, known)


@dataclass(frozen=True)
class Answer:
    """What a worker found.

    Args:
        lowered: The integral in simpler ones.
        peak: Most memory that the worker ever held, bytes.
        seconds: Processor time that it took.
    """

    lowered: Lowered
    peak: int
    seconds: float


def lower(work: Work, index: Index) -> Answer:
    """Lower one integral: what a worker is called with."""
    here, begun = lowering(work), time.process_time()
    out = here(index)
    return Answer(out, peak_memory(), time.process_time() - begun)


class Memo:
    """What is known of integrals, in memory and, if asked, in a file to which each finding is appended.

    What this process adds was checked by the worker that found it. What is read is not: the identities of a line add
    up only together with those of lines before it, and to add all up again would take their number in memory.

    Args:
        work: What the findings are good for.
        path: The file, JSON lines; None to keep nothing.

    Attributes:
        known: {integral: the simpler ones that it equals}.
        trusted: Integrals of which a reduction took what was read.

    Raises:
        ValueError: If the file belongs to another family, point or prime, or cannot be read.
    """

    def __init__(self, work: Work, path: Path | None = None) -> None:
        self.known: dict[Index, Row] = {}
        self.trusted: set[Index] = set()
        self._read_here: set[Index] = set()
        self.path = path
        if path is None:
            return
        if path.exists():
            self._read(path, work)
        else:
            head = {"family": work.family.name, "point": dict(work.point), "prime": work.prime, "name": work.name}
            path.write_text(json.dumps(head) + "\n", encoding="utf-8")

    def _read(self, path: Path, work: Work) -> None:
        content = path.read_bytes()
        head, *rest = content.split(b"\n")
        try:
            found = json.loads(head)["name"]
        except (ValueError, TypeError, KeyError):
            raise ValueError(f"{path}: holds no reduction; choose another file") from None
        if found != work.name:
            was = ", ".join(f"{k} {v}" for k, v in json.loads(head).items() if k != "name")
            raise ValueError(f"{path}: was made with {was}; its residues are wrong here, choose another file")
        for line in rest:
            try:
                one = json.loads(line)
                index, terms = tuple(one["integral"]), {tuple(i): c for i, c in one["terms"]}
                if any(weight(i) >= weight(index) or type(c) is not int for i, c in terms.items()):
                    continue  # nothing that a reduction finds, nor could use
            except (ValueError, TypeError, KeyError):  # the line at which it was killed
                continue
            self.known[index] = terms
            self._read_here.add(index)
        if not content.endswith(b"\n"):  # what comes next must not join a line that was cut
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")

    def add(self, index: Index, found: Lowered) -> None:
        """Remember what an integral equals."""
        self.known[index] = found.terms
        self._read_here.discard(index)
        if self.path is not None:
            line = {"integral": index, "terms": list(found.terms.items()), "steps": found.steps}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def take(self, index: Index) -> Row:
        """What an integral that is known equals."""
        if index in self._read_here:
            self.trusted.add(index)
        return self.known[index]


def reduce(
    work: Work,
    terms: Mapping[Index, int],
    *,
    workers: int = 1,
    memo: Memo | None = None,
    tell: Callable[[Index, Answer], None] = lambda index, answer: None,
) -> Row:
    """A sum of integrals in terms of masters.

    Args:
        work: What to reduce with.
        terms: {integral: residue}.
        workers: Processes; 1 for this one.
        memo: What is known already, and where findings go.
        tell: Called with each integral and what was found of it.

    Raises:
        ValueError: If an integral is not of the family, or cannot be lowered.
    """
    here = lowering(work)
    memo = memo or Memo(work)
    for index in terms:
        work.family.check(index)
    seen = {i for i in terms if not here.done(i)}
    left = _Left()
    for index in seen:
        left.push(index)

    def take(index: Index, answer: Answer | None) -> None:
        if answer is not None:
            memo.add(index, answer.lowered)
            tell(index, answer)
        for i in memo.take(index):
            if i not in seen and not here.done(i):
                seen.add(i)
                left.push(i)

    with open_crew(Farm(workers=workers, ahead=AHEAD), Path()) as crew:
        _lowered(work if workers == 1 else replace(work, masters=here.masters), left, crew, memo, take)
    return _collected(terms, seen, memo.known, here)


class _Left:
    """Integrals that are to be lowered, the most complex first: sector by sector, so that workers meet neighbours."""

    def __init__(self) -> None:
        self._heap: list[tuple[tuple[int, ...], Index]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, index: Index) -> None:
        """One more."""
        heappush(self._heap, (tuple(-x for x in weight(index)), index))

    def pop(self) -> Index:
        """The most complex one, taken away."""
        return heappop(self._heap)[1]


def _lowered(work: Work, left: _Left, crew: Crew, memo: Memo, take: Callable[[Index, Answer | None], None]) -> None:
    """All that is left, by a crew; what is found of one may add to what is left."""
    flying: dict[Future[Answer], Index] = {}
    while left or flying:
        while left and len(flying) < crew.room:
            index = left.pop()
            if index in memo.known:
                take(index, None)
            else:
                flying[crew.submit(lower, work, index)] = index
        for future in wait(flying, return_when=FIRST_COMPLETED).done if flying else ():
            index = flying.pop(future)
            try:
                answer = future.result()
            except BrokenExecutor as error:
                why = "a worker died (out of memory?); use fewer --workers, a --memo keeps what was found"
                raise ValueError(f"{show(index)}: {why}") from error
            take(index, answer)


def _collected(terms: Mapping[Index, int], seen: set[Index], known: Mapping[Index, Row], here: Lowering) -> Row:
    """Put everything in, the most complex integrals first."""
    out = {i: c % here.prime for i, c in terms.items() if sector_of(i) in here.live}
    waiting = sorted(seen, key=weight)
    while waiting:
        index = waiting.pop()
        if index in out:
            found = {i: c for i, c in known[index].items() if sector_of(i) in here.live}
            assert all(weight(i) < weight(index) for i in found), f"{show(index)}: nothing simpler was found"
            out = substitute(out, {index: found}, here.prime)
    return {i: c for i, c in sorted(out.items(), key=lambda x: weight(x[0]), reverse=True) if c}
