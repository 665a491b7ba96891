"""Sums of brackets with the steps that a search took, to learn from."""

from __future__ import annotations

import numpy as np

from lpm.theory.engine import search
from lpm.theory.ranked import Lesson
from lpm.theory.spinor.brackets import Brackets
from lpm.theory.spinor.effects import priced
from lpm.theory.spinor.examples import example
from lpm.theory.spinor.policy import rows
from lpm.theory.spinor.steps import Step, Sums, fold

__all__ = ["lesson", "way"]

PRODUCTS, SCRAMBLES = 4, 16
"""Most products of a simple sum, and most scrambles."""


def way(e: Brackets, *, beam: int = 10, seconds: float = 60.0) -> list[tuple[Brackets, tuple[Step, ...]]]:
    """Sums on the way to the shortest that is found, each with the steps that are right: that which is taken first.

    Steps that are taken later are right too if they are legal already and leave no more: their order does not matter.

    Args:
        e: Where to begin.
        beam: Sums that are followed at a time.
        seconds: Time after which to stop.
    """
    domain, here, out = Sums(e.n, 3), fold(e), []
    found = search(domain, here, beam=beam, patience=4, seconds=seconds, fewest=1, rank=priced)
    for i, step in enumerate(found.steps):
        legal = domain.steps(here)
        left = dict(zip(legal, priced([here], [legal])[0].round(9).tolist(), strict=True))
        later = [s for s in dict.fromkeys(found.steps[i:]) if s in left and left[s] >= left[step]]
        out.append((here, tuple(later)))
        here = domain.apply(here, step)
    return out


def lesson(rng: np.random.Generator) -> Lesson:
    """A scrambled sum of four, five or six particles, and what was done with it step by step.

    Args:
        rng: Decides all.
    """
    n, products = int(rng.integers(4, 7)), int(rng.integers(1, PRODUCTS + 1))
    _, e = example(n, rng, products=products, scrambles=round(SCRAMBLES ** float(rng.random())))
    out: Lesson = []
    for here, right in way(e):
        legal = Sums(n, 3).steps(here)
        out.append((rows(here, legal), [legal.index(s) for s in right]))
    return out
