"""Spinor-helicity: sums of products of spinor brackets, simplified by search and judged in finite fields."""

from lpm.theory.spinor.brackets import Brackets, Relation, read, relations, weights
from lpm.theory.spinor.examples import example
from lpm.theory.spinor.gluons import amplitude, parke_taylor
from lpm.theory.spinor.points import certificate, equal, single, value
from lpm.theory.spinor.search import simplify
from lpm.theory.spinor.steps import Step, Sums, fold, tidy

__all__ = [
    "Brackets",
    "Relation",
    "Step",
    "Sums",
    "amplitude",
    "certificate",
    "equal",
    "example",
    "fold",
    "parke_taylor",
    "read",
    "relations",
    "simplify",
    "single",
    "tidy",
    "value",
    "weights",
]
