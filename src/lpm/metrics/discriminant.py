r"""Discriminants: one number from the scores of many classes, as a formula that can be computed, printed and stored.

A formula is an object, not a string: sums of class scores, and what arithmetic makes of them. A class may be any node
of the tree of classes; its score is the sum of the scores of its leaves. Most discriminants have the form

.. math:: D = \frac{P_S}{P_S + P_B} ,

with the probabilities of the classes that are wanted and of those they are to be told from.

Shapes: N events.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from lpm.data.tree import Tree
from lpm.metrics.estimate import Array
from lpm.records.config import from_dict, to_dict

__all__ = ["PUBLISHED", "AnyFormula", "Discriminant", "Formula", "Number", "Operation", "Score", "score"]


class Formula:
    """What can be computed from the scores of classes; `+ - * /` make new ones, with numbers too."""

    def __add__(self, other: AnyFormula | float) -> Operation:
        return Operation("+", _known(self), _formula(other))

    def __sub__(self, other: AnyFormula | float) -> Operation:
        return Operation("-", _known(self), _formula(other))

    def __mul__(self, other: AnyFormula | float) -> Operation:
        return Operation("*", _known(self), _formula(other))

    def __truediv__(self, other: AnyFormula | float) -> Operation:
        return Operation("/", _known(self), _formula(other))

    def __radd__(self, other: float) -> Operation:
        return Operation("+", Number(other), _known(self))

    def __rmul__(self, other: float) -> Operation:
        return Operation("*", Number(other), _known(self))

    def __rsub__(self, other: float) -> Operation:
        return Operation("-", Number(other), _known(self))

    def __rtruediv__(self, other: float) -> Operation:
        return Operation("/", Number(other), _known(self))

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in it, each once."""
        match _known(self):
            case Score(of):
                return of
            case Operation(_, left, right):
                return tuple(dict.fromkeys([*left.classes, *right.classes]))
            case _:
                return ()

    def value(self, scores: Mapping[str, Array]) -> Array:
        """(N,) values from the (N,) score of each class; 0 / 0 is NaN."""
        match _known(self):
            case Score(of):
                return np.asarray(np.sum([scores[name] for name in of], axis=0))
            case Number(number):
                return np.asarray(number, dtype=np.float64)
            case Operation(sign, left, right):
                with np.errstate(divide="ignore", invalid="ignore"):
                    return np.asarray(_ARITHMETIC[sign](left.value(scores), right.value(scores)))

    def latex(self) -> str:
        """As LaTeX, without dollar signs."""
        match _known(self):
            case Score(of):
                return " + ".join(_probability(name) for name in of)
            case Number(number):
                return f"{number:g}"
            case Operation("/", left, right):
                return rf"\frac{{{left.latex()}}}{{{right.latex()}}}"
            case Operation("*", left, right):
                a, b = (rf"\left({f.latex()}\right)" if _is_sum(f) else f.latex() for f in (left, right))
                return rf"{a} \cdot {b}"
            case Operation(sign, left, right):
                b = rf"\left({right.latex()}\right)" if sign == "-" and _is_sum(right) else right.latex()
                return f"{left.latex()} {sign} {b}"

    def __str__(self) -> str:
        match _known(self):
            case Score(of):
                return " + ".join(f"P({name})" for name in of)
            case Number(number):
                return f"{number:g}"
            case Operation(sign, left, right):
                a = f"({left})" if sign in "*/" and _is_sum(left) else str(left)
                tight = sign in "*/" and (_is_sum(right) or isinstance(right, Operation))
                return f"{a} {sign} " + (f"({right})" if tight or (sign == "-" and _is_sum(right)) else str(right))


_ARITHMETIC: Mapping[str, Callable[[Array, Array], Array]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Score(Formula):
    """The sum of the scores of some classes.

    Args:
        of: Names of classes.
    """

    of: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Number(Formula):
    """A number."""

    number: float


@dataclass(frozen=True, slots=True)
class Operation(Formula):
    """Two formulas joined by `+`, `-`, `*` or `/`."""

    sign: Literal["+", "-", "*", "/"]
    left: AnyFormula
    right: AnyFormula


AnyFormula: TypeAlias = Score | Number | Operation


def score(*of: str) -> Score:
    """The sum of the scores of some classes.

    Example:
        >>> d = score("H_bb") / (score("H_bb") + 0.5 * score("QCD", "top"))
        >>> str(d)
        'P(H_bb) / (P(H_bb) + 0.5 * (P(QCD) + P(top)))'
        >>> float(d.value({"H_bb": np.array(0.5), "QCD": np.array(0.4), "top": np.array(0.1)}))
        0.6666666666666666
    """
    return Score(of)


@dataclass(frozen=True, kw_only=True)
class Discriminant:
    """A number that is large for some classes and small for others.

    Args:
        name: How it is called, a word.
        signal: Classes that are wanted.
        background: Classes they are to be told from.
        formula: How it is computed; None for P_S / (P_S + P_B).
        neither: Its value where the formula is 0 / 0: an event that is neither signal nor background.

    Raises:
        ValueError: If signal or background is empty.

    Example:
        >>> d = Discriminant(name="HbbvsQCD", signal=("H_bb",), background=("QCD",))
        >>> str(d)
        'HbbvsQCD = P(H_bb) / (P(H_bb) + P(QCD))'
        >>> d == Discriminant.from_json(d.to_json())
        True
    """

    name: str
    signal: tuple[str, ...]
    background: tuple[str, ...]
    formula: AnyFormula | None = None
    neither: float = 0.0

    def __post_init__(self) -> None:
        if not self.signal or not self.background:
            raise ValueError(f"discriminant {self.name}: expected at least one class of signal and one of background")

    @property
    def expression(self) -> AnyFormula:
        """How it is computed."""
        if self.formula is not None:
            return self.formula
        return Score(self.signal) / Operation("+", Score(self.signal), Score(self.background))

    def value(self, scores: Mapping[str, ArrayLike], tree: Tree) -> Array:
        """The discriminant of each event.

        Args:
            scores: {leaf: (N,) probability}, of all leaves below the classes in the formula.
            tree: What lies below each class.

        Returns:
            (N,) finite values.

        Raises:
            ValueError: If a score is missing or not finite, or the formula divides something by 0.

        Example:
            >>> from lpm.data.tree import tree
            >>> d = Discriminant(name="HvsQCD", signal=("H",), background=("QCD",))
            >>> t = tree("jet", tree("H", "H_bb", "H_cc"), "QCD", "Z")
            >>> d.value({"H_bb": [0.5, 0.0], "H_cc": [0.25, 0.0], "QCD": [0.25, 0.0]}, t).tolist()
            [0.75, 0.0]
        """
        sums: dict[str, Array] = {}
        for name in self.expression.classes:
            leaves = tree.below(name)
            missing = [leaf for leaf in leaves if leaf not in scores]
            if missing:
                raise ValueError(f"{self.name}: no score of {', '.join(missing)}, which the formula needs")
            sums[name] = np.sum([np.asarray(scores[leaf], dtype=np.float64) for leaf in leaves], axis=0)
            bad = int((~np.isfinite(sums[name])).sum())
            if bad:
                raise ValueError(f"{self.name}: the score of {name} is not finite for {bad:,} events; leave them out")
        found = np.asarray(self.expression.value(sums), dtype=np.float64)
        found = np.where(np.isnan(found), self.neither, found)
        if not np.isfinite(found).all():
            raise ValueError(
                f"{self.name}: {int((~np.isfinite(found)).sum()):,} values are infinite, by a division by 0"
            )
        return found

    def latex(self) -> str:
        r"""As an equation in LaTeX, without dollar signs.

        Example:
            >>> print(Discriminant(name="T", signal=("H",), background=("QCD",)).latex())
            T = \frac{P_\mathrm{H}}{P_\mathrm{H} + P_\mathrm{QCD}}
        """
        name = self.name if len(self.name) == 1 else rf"\mathrm{{{self.name}}}"
        return f"{name} = {self.expression.latex()}"

    def __str__(self) -> str:
        return f"{self.name} = {self.expression}"

    def to_json(self) -> Any:
        """Plain values for JSON."""
        return to_dict(self)

    @classmethod
    def from_json(cls, raw: Any) -> Discriminant:
        """Read what `to_json` wrote.

        Raises:
            ValueError: If it is something else; the message names the place.
        """
        made: Discriminant = from_dict(cls, raw, "discriminant")
        return made


PUBLISHED = (
    Discriminant(name="HbbvsQCD", signal=("H_bb",), background=("QCD",)),
    Discriminant(name="HccvsQCD", signal=("H_cc",), background=("QCD",)),
    Discriminant(name="THVV", signal=("H_WW_4q", "H_WW_3q"), background=("QCD", "top")),
    Discriminant(name="WvsQCD", signal=("W",), background=("QCD",)),
    Discriminant(name="TvsQCD", signal=("top_bqq", "top_bq"), background=("QCD",)),
)
"""Discriminants in use at CMS: T_HVV (arXiv 2604.09809), the others in the form of arXiv 2004.08262."""


def _formula(x: AnyFormula | float) -> AnyFormula:
    return x if isinstance(x, Score | Number | Operation) else Number(float(x))


def _known(x: Formula) -> AnyFormula:
    assert isinstance(x, Score | Number | Operation)
    return x


def _probability(name: str) -> str:
    spaced = name.replace("_", r"\,")
    return rf"P_\mathrm{{{spaced}}}"


def _is_sum(f: AnyFormula) -> bool:
    return (isinstance(f, Operation) and f.sign in "+-") or (isinstance(f, Score) and len(f.of) > 1)
