"""Sums as events, and a model that ranks their steps: what the domains share.

A sum is a Batch: the sum itself is one row, its terms and its legal steps are rows each, and the head `Choose` picks a
step. What is known of them is decided by the domain. No row has a name or a place, so that the order of terms and steps
does not matter. A model ranks and exact arithmetic takes the steps: it can make a search slow or short-sighted, never
wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lpm.data.batch import Batch
from lpm.data.schema import Collection, Field, Schema
from lpm.model.model import Model

__all__ = ["Lesson", "Policy", "Rows", "batch_of", "schema_of"]

Rows = dict[str, NDArray[np.floating[Any]]]
"""{collection: (rows, fields)} of one sum; the last field of a step, if it is right, is left out."""

Lesson = list[tuple[Rows, list[int]]]
"""Sums on the way to a simple one, and which of the steps of each are right."""


def schema_of(
    name: str, kinds: tuple[str, ...], state: Sequence[str], term: Sequence[str], step: Sequence[str]
) -> Schema:
    """What sums of a domain are made of.

    Args:
        name: Of the schema.
        kinds: Names of the kinds of steps; the first field of a step says which it is.
        state: Counts of the sum.
        term: Numbers of each term.
        step: Numbers of each step.

    Example:
        >>> schema_of("sums", ("duplication",), ["terms"], ["degree"], ["present"])["action"].names
        ('kind', 'present', 'taken')
    """
    action = [Field(name="kind", kind="category", labels=kinds), *(Field(name=n) for n in step)]
    return Schema(
        name=name,
        collections=(
            Collection(name="state", fields=tuple(Field(name=n, kind="count") for n in state), single=True),
            Collection(name="term", fields=tuple(Field(name=n) for n in term)),
            Collection(name="action", fields=(*action, Field(name="taken", kind="flag", truth=True))),
        ),
    )


def batch_of(schema: Schema, sums: Sequence[Rows], taken: Sequence[Sequence[int]] | None = None) -> Batch:
    """Sums as events.

    Args:
        schema: Of `schema_of`.
        sums: Their rows.
        taken: Which steps of each are right; None if that is not known.
    """
    filled: dict[str, torch.Tensor] = {}
    lengths: dict[str, torch.Tensor] = {}
    for c in schema.collections:
        names = [n for n in c.names if n != "taken"]
        parts = [torch.from_numpy(s[c.name].astype(np.float32)).view(-1, len(names)) for s in sums]
        values, lengths[c.name] = torch.cat(parts), torch.tensor([len(p) for p in parts])
        filled |= {f"{c.name}.{n}": values[:, i] for i, n in enumerate(names)}
    flags = [torch.full((len(s["action"]),), torch.nan if taken is None else 0.0) for s in sums]
    for flag, right in zip(flags, taken or [()] * len(sums), strict=True):
        flag[list(right)] = 1.0
    return Batch.build(schema, filled | {"action.taken": torch.cat(flags)}, lengths)


class Policy:
    """A trained model as the `rank` of a search.

    Args:
        model: With a head `step`.
        rows: Of the domain: a sum and its legal steps to rows.
        schema: Of the domain.

    Raises:
        ValueError: If the model was trained on something else.
    """

    def __init__(self, model: Model, rows: Callable[[Any, Sequence[Any]], Rows], schema: Schema) -> None:
        if model.schema != schema or "step" not in model.heads:
            raise ValueError(f"expected a policy that was trained on {schema.name}, got a model of {model.schema.name}")
        self.model, self.rows, self.schema = model.eval(), rows, schema

    def __call__(self, sums: Sequence[Any], steps: Sequence[Sequence[Any]]) -> list[NDArray[np.floating[Any]]]:
        """Of sums and the legal steps of each, the probabilities of these."""
        open_ = [i for i, legal in enumerate(steps) if len(legal)]
        out: list[NDArray[np.floating[Any]]] = [np.zeros(0) for _ in sums]
        if open_:
            batch = batch_of(self.schema, [self.rows(sums[i], steps[i]) for i in open_])
            chances = self.model.predict(batch, ("step",))["step"].numpy()
            ends = np.cumsum([len(steps[i]) for i in open_])[:-1]
            for i, part in zip(open_, np.split(chances, ends), strict=True):
                out[i] = part
        return out
