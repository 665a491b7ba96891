r"""Colour lines for hard events that come without: chosen at random among those of leading colour.

At leading colour every colour ends on an anticolour: quarks end strings, gluons lie inside them. An amplitude of given
lines falls with the invariants of neighbours along each string, as the maximally helicity-violating ones do (Parke and
Taylor, Phys. Rev. Lett. 56 (1986) 2459), so lines are drawn with probability :math:`\prod 1/|2 p_i \cdot p_j|` over all
neighbours i, j. The lines decide where the parton shower radiates, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import prod

import numpy as np

__all__ = ["Leg", "colour_lines", "coloured"]

FIRST = 501
"""Number of the first colour line, by custom."""

Lines = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Leg:
    """One line of an event: PDG number, status (-1 incoming, 1 outgoing), momentum (px, py, pz, E) in GeV."""

    pdg_id: int
    status: int
    p: tuple[float, float, float, float]

    @property
    def kind(self) -> int:
        """Colour as if outgoing: 1 triplet, -1 antitriplet, 8 octet, 0 none."""
        if self.pdg_id == 21:
            return 8
        if not 1 <= abs(self.pdg_id) <= 6:
            return 0
        return (1 if self.pdg_id > 0 else -1) * self.status


def colour_lines(legs: Sequence[Leg], rng: np.random.Generator) -> Lines:
    """Colour and anticolour of each leg, 0 for none.

    Args:
        legs: Incoming and outgoing particles.
        rng: Source of randomness.

    Raises:
        ValueError: If the colours cannot be closed.

    Example:
        >>> q, anti = Leg(2, -1, (0, 0, 9, 9)), Leg(-2, -1, (0, 0, -9, 9))
        >>> top, antitop = Leg(6, 1, (5, 0, 0, 9)), Leg(-6, 1, (-5, 0, 0, 9))
        >>> colour_lines([q, anti, top, antitop], np.random.default_rng(0))
        ((502, 0), (0, 501), (502, 0), (0, 501))
    """
    starts = [i for i, leg in enumerate(legs) if leg.kind in (1, 8)]
    ends = [i for i, leg in enumerate(legs) if leg.kind in (-1, 8)]
    closed = [c for c in permutations(ends) if len(starts) == len(ends) and _whole(legs, starts, c)]
    # Quarks that meet in a gluon rather than in a boson, if there is a choice.
    choices = [c for c in closed if not _annihilates(legs, starts, c)] or closed
    if not choices:
        raise ValueError(f"the colours of {[leg.pdg_id for leg in legs]} cannot be closed: no such process")
    weight = np.array([prod(1 / _invariant(legs[a], legs[b]) for a, b in zip(starts, c, strict=True)) for c in choices])
    chosen = choices[rng.choice(len(choices), p=weight / weight.sum())] if starts else ()
    colour, anti = [0] * len(legs), [0] * len(legs)
    for line, (a, b) in enumerate(zip(starts, chosen, strict=True), start=FIRST):
        # What is a colour of an outgoing particle is an anticolour of an incoming one.
        (colour if legs[a].status > 0 else anti)[a] = line
        (anti if legs[b].status > 0 else colour)[b] = line
    return tuple(zip(colour, anti, strict=True))


def _whole(legs: Sequence[Leg], starts: Sequence[int], ends: Sequence[int]) -> bool:
    """Whether all gluons lie on strings between quarks, or on one ring if there are no quarks."""
    follow = dict(zip(starts, ends, strict=True))
    if any(i == j for i, j in follow.items()):
        return False
    quarks = [i for i in starts if legs[i].kind == 1]
    seen = set()
    for i in quarks or starts[:1]:
        while i in follow and i not in seen:
            seen.add(i)
            i = follow[i]
    return all(i in seen for i in starts)


def _annihilates(legs: Sequence[Leg], starts: Sequence[int], ends: Sequence[int]) -> bool:
    """Whether an incoming quark and antiquark make a singlet."""
    pairs = ((legs[i], legs[j]) for i, j in zip(starts, ends, strict=True))
    return any(a.status < 0 and b.status < 0 and 8 not in (a.kind, b.kind) for a, b in pairs)


def _invariant(a: Leg, b: Leg) -> float:
    product = a.p[3] * b.p[3] - sum(x * y for x, y in zip(a.p[:3], b.p[:3], strict=True))
    return max(2 * abs(product), 1e-3)


def coloured(text: Iterable[str], seed: int) -> Iterator[str]:
    """The lines of a Les Houches file (arXiv hep-ph/0609017), with colours where an event has none.

    Args:
        text: Its lines.
        seed: Equal seeds give equal colours.
    """
    rng = np.random.default_rng(seed)
    inside: list[str] | None = None
    for line in text:
        if line.lstrip().startswith("<event"):
            inside = []
            yield line
        elif inside is not None and line.lstrip().startswith("</event"):
            yield from _event(inside, rng)
            yield line
            inside = None
        elif inside is not None:
            inside.append(line)
        else:
            yield line


def _event(lines: list[str], rng: np.random.Generator) -> Iterator[str]:
    count = int(lines[0].split()[0])
    rows = [line.split() for line in lines[1 : 1 + count]]
    if any(int(r[4]) or int(r[5]) for r in rows):
        yield from lines
        return
    yield lines[0]
    real = [i for i, r in enumerate(rows) if int(r[1]) in (-1, 1)]
    legs = [Leg(int(rows[i][0]), int(rows[i][1]), tuple(float(x) for x in rows[i][6:10])) for i in real]  # type: ignore[arg-type]
    for i, (colour, anti) in zip(real, colour_lines(legs, rng), strict=True):
        rows[i][4:6] = str(colour), str(anti)
    for row in rows:
        yield " ".join(row) + "\n"
    yield from lines[1 + count :]
