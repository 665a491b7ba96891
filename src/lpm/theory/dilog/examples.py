"""Sums of dilogarithms that are longer than they need be, for tests and benchmarks."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lpm.theory.dilog.sums import Dilogs
from lpm.theory.ratio import Ratio

__all__ = ["example"]


def example(terms: int, zeros: int, scrambles: int, rng: np.random.Generator) -> tuple[Dilogs, Dilogs]:
    """A simple sum, and an equal one that is not: the generator of arXiv 2206.04115.

    Arguments are ratios of polynomials of degree two at most with coefficients from -2 to 2, coefficients 1 to 8 with a
    sign. Reflections, inversions and duplications are applied to single terms, before equal ones are added up.

    Args:
        terms: Of the simple sum.
        zeros: Pairs of terms that cancel, added before the scrambling.
        scrambles: Identities that are applied.
        rng: Decides all.
    """

    def drawn() -> Ratio:
        while True:
            high, low = (rng.integers(-2, 3, size=int(rng.integers(1, 4))).tolist() for _ in range(2))
            if any(low) and (f := Ratio.of(high, low)).constant is None:
                return f

    def coefficient() -> Fraction:
        return Fraction(int(rng.integers(1, 9)) * (1 if rng.random() < 0.5 else -1))

    items = [(drawn(), coefficient()) for _ in range(terms)]
    simple = Dilogs.of(items)
    for _ in range(zeros):
        f, c = drawn(), coefficient()
        items += [(f, c), (f, -c)]
    for _ in range(scrambles):
        i, kind = int(rng.integers(len(items))), int(rng.integers(3))
        f, c = items[i]
        items[i : i + 1] = [[(1 - f, -c)], [(1 / f, -c)], [(-f, -c), (f * f, c / 2)]][kind]
    return simple, Dilogs.of(items)
