r"""Sums of brackets as rows for a policy, the same whatever the particles are called, for any number of them.

What is told of a term or a step is a count or a sum over all brackets: how many there are above and below the line, how
far a product is from the others, how many of the products that a step brings in are there already or cancel. Names of
particles stand in none of it. Exchanging names permutes the powers of every product in the same way, and permutes the
relations among themselves (the whole set of them is symmetric, signs go with the brackets); counts, sums, minima and
maxima over brackets, terms and products do not change. So scores are equal under relabelling, exactly but for rounding,
without training for it, and nothing depends on the number of particles but what relations there are.

Of four particles, products are the same if relations of two terms say so. Powers are projected onto what these leave
unchanged, which is a number per channel s, t, u beside the weights, so how a product is written does not matter either.

Shapes: T terms, A steps, K other products of the longest relation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from lpm.model.model import Model
from lpm.theory.ranked import Policy, Rows, schema_of
from lpm.theory.spinor.brackets import Brackets
from lpm.theory.spinor.effects import KINDS, Effect, Numbers, above, added, effect_of, frame_of, prices_of
from lpm.theory.spinor.steps import Step

__all__ = ["SCHEMA", "policy", "rows"]

STATE = ("particles", "terms")
TERM = ("above", "below", "near", "around", "steps", "least")
STEP = (
    "others", "missing", "present", "gone", "above", "below", "size", "farthest", "nearest", "around", "rivals",
    "high", "low", "net", "better",
)  # fmt: skip
"""Of a step: other products of its relation; those not in the sum; those that are; of these, those that cancel;
brackets above and below the line that this adds to the sum; brackets of the largest new product beyond those of the
term that goes; the largest and the smallest distance of a new product from the other terms; terms within reach of one
relation of them; steps that take the same term away; brackets above and below the line in it; terms that this adds to
the sum; steps that leave less, by the rule of `priced`."""

SCHEMA = schema_of("brackets", KINDS, STATE, TERM, STEP)
"""What a sum of brackets is made of."""


def rows(e: Brackets, steps: Sequence[Step]) -> Rows:
    """A folded sum and its steps as rows.

    Example:
        >>> from lpm.theory.spinor.brackets import read
        >>> from lpm.theory.spinor.steps import Sums
        >>> e = read("<12><34> + <14><23>", 5)
        >>> {name: x.shape for name, x in rows(e, Sums(5, 1).steps(e)).items()}
        {'state': (1, 2), 'term': (2, 6), 'action': (2, 16)}
    """
    frame = frame_of(e.n)
    powers = np.array([m for m, _ in e.terms], dtype=np.float64) @ frame.seen
    effect = effect_of(e, powers, steps)
    high, low, size = above(powers), above(-powers), np.abs(powers).sum(1)
    new = effect.real & ~effect.there
    missing, around_of = new.sum(1), frame.reach + 1e-6
    apart = _apart(powers, powers)
    np.fill_diagonal(apart, np.inf)
    far = np.full(new.shape, np.inf)
    around = np.zeros(new.shape)
    distance = _apart(effect.made[new], powers)
    distance[np.arange(len(distance)), np.broadcast_to(effect.away[:, None], new.shape)[new]] = np.inf
    far[new], around[new] = distance.min(1, initial=FAR), (distance < around_of).sum(1)
    count = np.bincount(effect.away, minlength=len(powers))
    least = np.full(len(powers), float(effect.real.shape[1]))
    np.minimum.at(least, effect.away, missing)
    larger = np.where(new, np.abs(effect.made).sum(2) - size[effect.away][:, None], -FAR).max(1, initial=-FAR)
    some = missing > 0
    columns = [
        frame.kind[effect.role], effect.real.sum(1), missing, effect.there.sum(1), effect.gone.sum(1),
        added(high, above(effect.made), effect), added(low, above(-effect.made), effect),
        np.where(some, larger, 0.0), np.where(some, np.where(new, far, 0.0).max(1, initial=0.0), 0.0),
        np.where(some, far.min(1, initial=FAR), 0.0), around.sum(1) / missing.clip(min=1), count[effect.away],
        high[effect.away], low[effect.away], missing - effect.gone.sum(1) - 1, _better(effect, high, low),
    ]  # fmt: skip
    near = apart.min(1, initial=FAR)
    return {
        "state": np.array([[e.n, len(e)]], dtype=np.float64),
        "term": np.stack([high, low, near, (apart < around_of).sum(1), count, least], 1),
        "action": np.stack(columns, 1),
    }


FAR = 20.0
"""A distance beyond which products have nothing to do with one another."""


def _better(effect: Effect, high: Numbers, low: Numbers) -> NDArray[np.int64]:
    """(A,) steps that leave less; rounded, so that it does not depend on the order of sums."""
    prices = prices_of(effect, high, low).round(9)
    return np.searchsorted(np.sort(prices), prices)


def _apart(a: Numbers, b: Numbers) -> Numbers:
    """Sums of differences of powers, for all pairs of rows."""
    out: Numbers = torch.cdist(torch.from_numpy(a), torch.from_numpy(b), p=1.0).numpy()
    return out


def policy(model: Model) -> Policy:
    """A trained model as the `rank` of `lpm.theory.engine.search`.

    Raises:
        ValueError: If it was trained on something else.
    """
    return Policy(model, rows, SCHEMA)
