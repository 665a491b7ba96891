"""Sums of brackets that are longer than they need be, for tests and benchmarks."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lpm.theory.spinor.brackets import Brackets, Powers, pairs, place_of, relations, times

__all__ = ["example"]


def example(
    n: int, rng: np.random.Generator, *, products: int | None = None, scrambles: int | None = None
) -> tuple[Brackets, Brackets]:
    """A simple sum, and an equal one that is not, after arXiv 2408.04720.

    One to three products in the numerator, each bracket with a power drawn from a Poisson distribution of mean 0.75,
    over one product; the further products are the first with its labels exchanged between brackets, so that all have
    the same weights. One to three times, one of these is done: a bracket of a numerator is replaced with a relation; a
    term is multiplied by one, written as a relation over one of its terms; or a term and its opposite are added, one of
    them written otherwise.

    Args:
        n: Number of particles.
        rng: Decides all.
        products: How many, if not one to three.
        scrambles: How many, if not one to three.
    """
    size = 2 * len(pairs(n))
    low = tuple(-int(x) for x in rng.poisson(0.75, size))
    first = tuple(int(x) for x in rng.poisson(0.75, size))
    tops = [first, *(_exchanged(first, n, rng) for _ in range((products or int(rng.integers(1, 4))) - 1))]

    def coefficient() -> Fraction:
        return Fraction(int(rng.integers(1, 6)) * (1 if rng.random() < 0.5 else -1))

    simple = Brackets.of(n, [(times(m, low), coefficient()) for m in tops])
    if not len(simple):
        return example(n, rng, products=products, scrambles=scrambles)
    items = [*simple.terms]
    for _ in range(scrambles or int(rng.integers(1, 4))):
        kind = int(rng.integers(3))
        if kind == 2:
            m, c = times(_exchanged(first, n, rng), low), coefficient()
            items += [(m, -c), *_replaced((m, c), n, rng, anywhere=True)]
        else:
            i = int(rng.integers(len(items)))
            items[i : i + 1] = _replaced(items[i], n, rng, anywhere=kind == 1)
    return simple, Brackets.of(n, items)


def _exchanged(m: Powers, n: int, rng: np.random.Generator) -> Powers:
    """The same labels in other brackets of the same kind."""
    half, out = len(pairs(n)), list(m)
    for start in (0, half):
        labels = [x for at, pair in enumerate(pairs(n)) for x in pair * out[start + at]]
        for _ in range(100):
            rng.shuffle(labels)
            made = list(zip(labels[::2], labels[1::2], strict=True))
            if all(i != j for i, j in made):
                out[start : start + half] = [0] * half
                for i, j in made:
                    out[place_of(n, i, j, start > 0)[0]] += 1
                break
    return tuple(out)


def _replaced(
    term: tuple[Powers, Fraction], n: int, rng: np.random.Generator, anywhere: bool
) -> list[tuple[Powers, Fraction]]:
    """A term written with a relation: in place of a bracket above the line, or of any, as it must if it has none."""
    (m, c), every = term, relations(n)
    anywhere = anywhere or max(m) <= 0
    while True:
        relation = every[int(rng.integers(len(every)))]
        own, sign = relation.terms[int(rng.integers(len(relation.terms)))]
        if anywhere or any(e and p > 0 for e, p in zip(own, m, strict=True)):
            rest = tuple(x - y for x, y in zip(m, own, strict=True))
            return [(times(rest, o), -c * sign * s) for o, s in relation.terms if o != own]
