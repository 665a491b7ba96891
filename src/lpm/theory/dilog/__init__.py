"""Dilogarithms: sums of Li2 of rational functions, simplified by search and judged by their symbols."""

from lpm.theory.dilog.examples import example
from lpm.theory.dilog.judge import bloch_wigner, certificate, equal, fewest, symbol, value
from lpm.theory.dilog.logarithms import Remainder, dilogarithm, equation
from lpm.theory.dilog.search import Classes, Duplication, FiveTerms, searched, simplify
from lpm.theory.dilog.sums import Dilogs, class_of, fold, read

__all__ = [
    "Classes",
    "Dilogs",
    "Duplication",
    "FiveTerms",
    "Remainder",
    "bloch_wigner",
    "certificate",
    "class_of",
    "dilogarithm",
    "equal",
    "equation",
    "example",
    "fewest",
    "fold",
    "read",
    "searched",
    "simplify",
    "symbol",
    "value",
]
