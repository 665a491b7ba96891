"""Pieces through a crew: a few at a time, each tried again if its worker is lost, failures collected.

Never more than `crew.room` pieces are with the crew; the next is handed over, and only then planned, when one comes
back. What goes wrong inside a piece comes back as its `Failure`. What else goes wrong is the crew's fault (a worker
killed, a connection lost): the piece is tried again, a bounded number of times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from lpm.data.farm.crew import Crew
from lpm.data.farm.piece import Failure, Made, Note, Piece, finished, perform

__all__ = ["Plan", "Unfinished", "each", "look", "make"]

ATTEMPTS = 3
"""How often a piece is tried if its worker is lost."""

T = TypeVar("T")
R = TypeVar("R")


class Unfinished(ValueError):  # noqa: N818 (some pieces may be made)
    """Some pieces could not be made; all others were.

    Args:
        failures: Which, and why.
        summary: JSON of what was made.
        advice: What to do.
    """

    def __init__(self, failures: Sequence[Failure], summary: dict[str, Any], advice: str) -> None:
        self.failures = tuple(failures)
        self.summary = summary
        count = "1 piece" if len(failures) == 1 else f"{len(failures)} pieces"
        super().__init__(f"{count} failed, the first: {failures[0].reason}; {advice}")


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Args:
        pieces: All.
        done: Names of files that are made.
        missing: Names of files to make.
        failures: What cannot even be planned.
    """

    pieces: int
    done: tuple[str, ...]
    missing: tuple[str, ...]
    failures: tuple[Failure, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "pieces": self.pieces,
            "done": len(self.done),
            "missing": list(self.missing),
            "failed": [f.to_json() for f in self.failures],
        }


def look(pieces: Iterable[Piece], failures: Sequence[Failure] = ()) -> Plan:
    """See what is made and what is not; makes nothing."""
    pieces = list(pieces)
    with ThreadPoolExecutor(4) as pool:  # hashing lets other threads run
        notes: list[Note | None] = list(pool.map(finished, pieces))
    done = tuple(p.output.name for p, note in zip(pieces, notes, strict=True) if note is not None)
    missing = tuple(p.output.name for p, note in zip(pieces, notes, strict=True) if note is None)
    return Plan(len(pieces), done, missing, tuple(failures))


def make(
    pieces: Iterable[Piece], crew: Crew, watch: Callable[[Piece, int], None] = lambda piece, done: None
) -> Iterator[tuple[Piece, Made | Failure]]:
    """Make all pieces, in any order.

    Args:
        pieces: Planned as they are needed.
        crew: Who works.
        watch: Told of progress inside a piece, if the crew is this very process.

    Yields:
        Each piece with what became of it, once.
    """
    if crew.here:
        yield from each(lambda piece: perform(piece, partial(watch, piece)), pieces, crew)
    else:
        yield from each(perform, pieces, crew)


@dataclass(eq=False)
class _Errand(Generic[T]):
    """An item on its way, and how often it got lost."""

    item: T
    lost: int = 0


def each(call: Callable[[T], R | Failure], items: Iterable[T], crew: Crew) -> Iterator[tuple[T, R | Failure]]:
    """Call a function on each item, by a crew.

    Args:
        call: A function of a module that answers with a `Failure` rather than raise.
        items: Taken as they are needed.
        crew: Who works.

    Yields:
        Each item with the answer, in the order in which they come back.
    """
    source = (_Errand(item) for item in items)
    again: deque[_Errand[T]] = deque()
    flying: dict[Future[R | Failure], _Errand[T]] = {}
    while True:
        # Where one death takes all along, those that were there go on one by one: so the guilty is found, and alone.
        room = 1 if again and crew.shared_fate else crew.room
        while len(flying) < room and (errand := again.popleft() if again else next(source, None)):
            flying[_submit(crew, call, errand.item)] = errand
        if not flying:
            return
        back, _ = wait(flying, timeout=crew.pulse, return_when=FIRST_COMPLETED)
        if crew.shared_fate and any(future.exception() for future in back):
            back, _ = wait(flying)  # all are lost; mended is once they have come back
        broken = not back
        for future in back:
            errand = flying.pop(future)
            try:
                answer = future.result()
            except Exception as error:  # not of the piece: its own errors come back as answers
                broken = True
                errand.lost += 1
                if errand.lost < ATTEMPTS:
                    again.append(errand)
                    continue
                answer = _lost(errand.item, error)
            yield errand.item, answer
        if broken:
            crew.mend()


def _submit(crew: Crew, call: Callable[[T], R], item: T) -> Future[R]:
    """Hand over; a crew that cannot take it is like one that lost it."""
    try:
        return crew.submit(call, item)
    except Exception as error:
        future: Future[R] = Future()
        future.set_exception(error)
        return future


def _lost(item: object, error: Exception) -> Failure:
    name = item.name if isinstance(item, Piece) else str(item)
    what = " ".join([type(error).__name__, *str(error).split()])[:200]
    return Failure(name, f"{name}: its worker died {ATTEMPTS} times (out of memory?); use fewer --workers ({what})")
