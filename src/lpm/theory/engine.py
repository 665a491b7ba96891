"""One engine to scramble and unscramble expressions; domains say what an expression is and which steps keep its value.

A domain differs from another only in its file: what its expressions are, which steps are legal, what a step gives, and
how complex an expression is. The engine makes examples from simple expressions (`scramble`) and searches the way back
(`search`), by beam, with a memory of all that it has seen, so that it never goes in circles.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Domain", "Found", "Rank", "Step", "scramble", "search"]

E = TypeVar("E", bound=Hashable)
S = TypeVar("S", bound="Step")


class Step(Protocol):
    """What is done to an expression."""

    def __str__(self) -> str: ...


class Domain(Protocol[E, S]):
    """A kind of expression. Expressions can be hashed, and are equal if they are written alike."""

    def steps(self, expression: E) -> Sequence[S]:
        """Legal steps."""
        ...

    def apply(self, expression: E, step: S) -> E:
        """What a step gives; its value is the same."""
        ...

    def cost(self, expression: E) -> tuple[int, ...]:
        """How complex an expression is: its number of terms first."""
        ...


Rank = Callable[[Sequence[Any], Sequence[Sequence[Any]]], Sequence[NDArray[np.floating[Any]]]]
"""How promising steps are: of expressions, and of the legal steps of each, the scores of these; the most is best."""


@dataclass(frozen=True)
class Found:
    """The simplest expression that was met.

    Args:
        expression: The expression.
        steps: The way there.
        seen: Expressions that were looked at.
        complete: False if a limit ended the search before all ways within the beam had been followed.
    """

    expression: Any
    steps: tuple[Any, ...]
    seen: int
    complete: bool


def scramble(domain: Domain[E, S], expression: E, steps: int, rng: np.random.Generator) -> tuple[E, list[S]]:
    """Random legal steps from an expression; fewer if none is left.

    Args:
        domain: Its domain.
        expression: Where to begin.
        steps: Number of steps.
        rng: Decides them.
    """
    taken: list[S] = []
    for _ in range(steps):
        legal = domain.steps(expression)
        if not legal:
            break
        step = legal[int(rng.integers(len(legal)))]
        expression = domain.apply(expression, step)
        taken.append(step)
    return expression, taken


def search(
    domain: Domain[E, S],
    expression: E,
    *,
    beam: int = 20,
    depth: int = 50,
    patience: int = 6,
    seconds: float = 60.0,
    fewest: int = 0,
    rank: Rank | None = None,
    tried: int = 8,
) -> Found:
    """The simplest expression that steps lead to, by beam search.

    In each round all steps of the `beam` simplest expressions are taken, or those that rank highest; what was seen
    before is passed over.

    Args:
        domain: Of the expression.
        expression: Where to begin.
        beam: Expressions that are kept in each round; 1 is greedy.
        depth: Most rounds.
        patience: Rounds without anything simpler after which to stop.
        seconds: Time after which to stop.
        fewest: No expression of this value has fewer terms, so none with as many is improved upon.
        rank: Scores steps before they are taken: a rule, or a policy. All are taken if None.
        tried: Steps of each expression that are taken if they are ranked, the best ones.
    """
    best, price = expression, domain.cost(expression)
    way: tuple[S, ...] = ()
    front: list[tuple[tuple[int, ...], E, tuple[S, ...]]] = [(price, expression, ())]
    seen, idle, end = {expression}, 0, time.monotonic() + seconds
    for _ in range(depth if price[0] > fewest else 0):
        ahead: list[tuple[tuple[int, ...], E, tuple[S, ...]]] = []
        legal = [domain.steps(here) for _, here, _ in front]
        if rank:
            legal = _best(rank([here for _, here, _ in front], legal), legal, tried)
        for (_, here, path), steps in zip(front, legal, strict=True):
            for step in steps:
                there = domain.apply(here, step)
                if there not in seen:
                    seen.add(there)
                    ahead.append((domain.cost(there), there, (*path, step)))
            if time.monotonic() > end:
                return Found(best, way, len(seen), False)
        if not ahead:
            break
        front = sorted(ahead, key=lambda x: x[0])[:beam]
        idle += 1
        if front[0][0] < price:
            price, best, way = front[0]
            idle = 0
        if price[0] <= fewest or idle >= patience:
            break
    return Found(best, way, len(seen), True)


def _best(scores: Sequence[NDArray[Any]], legal: Sequence[Sequence[S]], tried: int) -> list[Sequence[S]]:
    """The steps of each expression that rank highest, the best first."""
    order = [np.argsort(-s, kind="stable")[:tried].tolist() for s in scores]
    return [[steps[i] for i in best] for steps, best in zip(legal, order, strict=True)]
