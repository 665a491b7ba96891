r"""The search for a shorter sum of dilogarithms.

Steps are relations between classes of arguments, each of which takes one class away: duplication (Zagier, *The
Dilogarithm Function*, 2007),

.. math:: \mathrm{Li}_2(f^2) \sim 2\mathrm{Li}_2(f) + 2\mathrm{Li}_2(-f),

and the identity of five terms. It ends where the symbol says that no shorter sum exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations

from lpm.theory.dilog.judge import fewest
from lpm.theory.dilog.sums import Dilogs, fold, orbit
from lpm.theory.engine import Found, Rank, search
from lpm.theory.ratio import Ratio

__all__ = ["Classes", "Duplication", "FiveTerms", "Step", "classes_of", "searched", "simplify"]


TRIED = 4
"""Steps of a sum that are taken if a policy ranks them."""


@dataclass(frozen=True)
class Duplication:
    """Put Li2(f²) = 2 Li2(f) + 2 Li2(-f) in, such that the term of `away` goes."""

    f: Ratio
    away: Ratio

    def __str__(self) -> str:
        return f"duplication of Li2({self.f}), for Li2({self.away})"

    def relation(self) -> list[tuple[Ratio, Fraction]]:
        """Terms that add up to nothing."""
        return [(self.f * self.f, Fraction(1)), (self.f, Fraction(-2)), (-self.f, Fraction(-2))]


@dataclass(frozen=True)
class FiveTerms:
    """Put the relation of five terms of f and g in, such that the term of `away` goes."""

    f: Ratio
    g: Ratio
    away: Ratio

    def __str__(self) -> str:
        return f"five terms of {self.f} and {self.g}, for Li2({self.away})"

    def relation(self) -> list[tuple[Ratio, Fraction]]:
        """Terms that add up to nothing."""
        rest = 1 - self.f * self.g
        return [(a, Fraction(1)) for a in (self.f, self.g, (1 - self.f) / rest, rest, (1 - self.g) / rest)]


Step = Duplication | FiveTerms


@lru_cache(maxsize=100_000)
def classes_of(step: Step) -> tuple[tuple[Ratio, Fraction], ...]:
    """The relation between classes that a step uses."""
    return fold(Dilogs.of(step.relation()))[0].terms


class Classes:
    """Sums of classes: steps are relations that take one of the classes away.

    Args:
        five: Whether relations of five terms are tried.
        degree: Highest degree of an argument that a step may bring in.
        pairs: Whether to take only steps that make the sum no longer.
    """

    def __init__(self, five: bool = False, degree: int = 8, pairs: bool = False) -> None:
        self.five, self.degree, self.pairs = five, degree, pairs

    def steps(self, e: Dilogs) -> Sequence[Step]:
        """Duplications that hold a class of the sum, and relations of five terms that hold two."""
        out: list[Step] = []
        for away, _ in e.terms:
            for f, _, _ in orbit(away)[:2] + orbit(away)[5:]:
                out += [Duplication(f, away), Duplication(-f, away)]
                if (root := f.root()) is not None:
                    out.append(Duplication(root, away))
        if self.five:
            for (f, _), (g, _) in combinations(e.terms, 2):
                for a, _, _ in orbit(f):
                    out += [FiveTerms(a, b, f) for b, _, _ in orbit(g) if (1 - a * b).constant is None]
        here = {f for f, _ in e.terms}
        return [s for s in out if self._helps(s, here)]

    def _helps(self, step: Step, here: set[Ratio]) -> bool:
        relation = {f for f, _ in classes_of(step)}
        if step.away not in relation or max(f.degree for f in relation) > self.degree:
            return False
        return not self.pairs or 2 * len(relation & here) >= len(relation)

    def apply(self, e: Dilogs, step: Step) -> Dilogs:
        """The sum without one of its classes, and with the others of the relation."""
        relation = dict(classes_of(step))
        factor = -dict(e.terms)[step.away] / relation[step.away]
        return Dilogs.of([*e.terms, *((f, c * factor) for f, c in relation.items())])

    def cost(self, e: Dilogs) -> tuple[int, ...]:
        """Number of terms, then how large their arguments are."""
        return (len(e), sum(f.degree for f, _ in e.terms), sum(sum(map(abs, (*f.high, *f.low))) for f, _ in e.terms))


def simplify(
    e: Dilogs, *, beam: int = 20, patience: int = 3, seconds: float = 60.0, policy: Rank | None = None
) -> Found:
    """A sum of as few dilogarithms as are found: folded, then by duplications, then by relations of five terms.

    Args:
        e: The sum.
        beam: Sums that are followed at a time.
        patience: Rounds without a simpler one after which to stop.
        seconds: Time after which to stop.
        policy: Ranks the steps, of which the best `TRIED` of a sum are taken; all are if None.

    Returns:
        The sum; the steps are text.

    Example:
        >>> from lpm.theory.dilog.sums import read
        >>> found = simplify(read("Li2(x^2) - 2*Li2(-x) + 2*Li2(1-x)"))
        >>> print(found.expression, found.steps[-1])
        0 duplication of Li2(x), for Li2(x)
    """
    out = searched(e, beam=beam, patience=patience, seconds=seconds, policy=policy)
    return Found(out.expression, (*fold(e)[1], *map(str, out.steps)), out.seen, out.complete)


def searched(
    e: Dilogs, *, beam: int = 20, patience: int = 3, seconds: float = 60.0, policy: Rank | None = None
) -> Found:
    """As `simplify`; the steps are those that follow folding, as `Duplication` and `FiveTerms`."""
    folded = fold(e)[0]
    least, degree = fewest(folded), max([8, *(f.degree for f, _ in folded.terms)])
    out = Found(folded, (), 1, True)
    for domain, width, rounds in (
        (Classes(degree=degree, pairs=True), beam, patience),
        (Classes(degree=degree), beam, patience),
        (Classes(degree=degree, five=True), max(1, beam // 4), 1),
    ):
        if len(out.expression) > least:
            more = search(
                domain, out.expression, beam=width, patience=rounds, seconds=seconds / 3, fewest=least, rank=policy,
                tried=TRIED,
            )  # fmt: skip
            out = Found(
                more.expression, (*out.steps, *more.steps), out.seen + more.seen, out.complete and more.complete
            )
    return out
