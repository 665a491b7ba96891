"""Sums of dilogarithms as rows for a policy, whatever the order of their terms.

What is told of a term or a step is counted over the whole sum, and the rows of an event have no order for the model.

Shapes: T terms, A steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from lpm.model.model import Model
from lpm.theory.dilog.search import Duplication, Step, classes_of
from lpm.theory.dilog.sums import Dilogs
from lpm.theory.ranked import Policy, Rows, schema_of
from lpm.theory.ratio import Ratio

__all__ = ["SCHEMA", "policy", "rows"]

KINDS = ("duplication", "five")

STATE = ("terms", "highest")
TERM = ("degree", "size", "steps", "least")
STEP = ("others", "missing", "present", "gone", "degree", "size", "highest", "rivals", "high", "large")
"""Of a step: other classes of its relation; those not in the sum; those that are; of these, those that cancel; degrees
and coefficients of arguments that this adds to the sum; the highest degree that is new; steps that take the same term
away; degree and coefficients of that term."""

SCHEMA = schema_of("dilogarithms", KINDS, STATE, TERM, STEP)
"""What a sum of dilogarithms is made of."""


def rows(e: Dilogs, steps: Sequence[Step]) -> Rows:
    """A folded sum and its steps as rows.

    Example:
        >>> from lpm.theory.dilog.search import Classes
        >>> from lpm.theory.dilog.sums import fold, read
        >>> e = fold(read("Li2(x^2) - 2*Li2(x)"))[0]
        >>> {name: x.shape for name, x in rows(e, Classes(pairs=True).steps(e)).items()}
        {'state': (1, 2), 'term': (2, 4), 'action': (3, 11)}
    """
    here = dict(e.terms)
    size = {f: _size(f) for f in here}
    rivals, least = Counter(s.away for s in steps), dict.fromkeys(here, len(classes_of(steps[0])) if steps else 0)
    out = []
    for step in steps:
        relation = dict(classes_of(step))
        factor = -here[step.away] / relation[step.away]
        others = [f for f in relation if f != step.away]
        new = [f for f in others if f not in here]
        gone = [f for f in others if f in here and here[f] + factor * relation[f] == 0]
        least[step.away] = min(least[step.away], len(new))
        lost = [step.away, *gone]
        out.append([
            int(not isinstance(step, Duplication)), len(others), len(new), len(others) - len(new), len(gone),
            sum(f.degree for f in new) - sum(f.degree for f in lost),
            sum(map(_size, new)) - sum(size[f] for f in lost),
            max((f.degree for f in new), default=0), rivals[step.away], step.away.degree, size[step.away],
        ])  # fmt: skip
    terms = [[f.degree, size[f], rivals[f], least[f]] for f in here]
    return {
        "state": np.array([[len(e), max((f.degree for f in here), default=0)]], dtype=np.float64),
        "term": np.array(terms, dtype=np.float64).reshape(-1, len(TERM)),
        "action": np.array(out, dtype=np.float64).reshape(-1, 1 + len(STEP)),
    }


def _size(f: Ratio) -> int:
    return sum(map(abs, (*f.high, *f.low)))


def policy(model: Model) -> Policy:
    """A trained model as the `rank` of `lpm.theory.engine.search`.

    Raises:
        ValueError: If it was trained on something else.
    """
    return Policy(model, rows, SCHEMA)
