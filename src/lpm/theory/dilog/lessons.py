"""Sums of dilogarithms with the steps that a search took, to learn from."""

from __future__ import annotations

import numpy as np

from lpm.theory.dilog.examples import example
from lpm.theory.dilog.policy import rows
from lpm.theory.dilog.search import Classes, FiveTerms, searched
from lpm.theory.dilog.sums import fold
from lpm.theory.ranked import Lesson

__all__ = ["lesson"]

TERMS, ZEROS, SCRAMBLES = 3, 2, 12
"""Most terms of a simple sum, most pairs that cancel, most scrambles."""


def lesson(rng: np.random.Generator) -> Lesson:
    """A scrambled sum, and what was done with it step by step; steps that are taken later are right at once.

    Args:
        rng: Decides all.
    """
    terms, zeros = int(rng.integers(TERMS + 1)), int(rng.integers(ZEROS + 1))
    _, e = example(terms, max(zeros, int(terms == 0)), int(rng.integers(4, SCRAMBLES + 1)), rng)
    here, found, out = fold(e)[0], searched(e, beam=5), []
    degree = max([8, *(f.degree for f, _ in here.terms)])
    for i, step in enumerate(found.steps):
        domain = Classes(degree=degree, five=any(isinstance(s, FiveTerms) for s in found.steps[i:]))
        legal = domain.steps(here)
        right = [legal.index(s) for s in dict.fromkeys(found.steps[i:]) if s in legal]
        out.append((rows(here, legal), right))
        here = domain.apply(here, step)
    return out
