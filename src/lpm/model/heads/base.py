"""What every head promises: a view, a loss for each event, an answer.

To add a head: one file with a frozen `XConfig` and the class `X`, and one line in `heads/__init__.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lpm.data.batch import Batch
from lpm.model.packing import Hidden
from lpm.model.view import Streams, View

__all__ = ["Head", "class_index"]


class Head(nn.Module):
    """A question asked of the backbone.

    Attributes:
        view: What the backbone may see for this question.
    """

    view: View

    def loss(self, hidden: Hidden, streams: Streams, batch: Batch) -> Float[Tensor, " B"]:
        """(B,) loss of each event; 0 for an event that does not hold the answer."""
        raise NotImplementedError

    def predict(self, hidden: Hidden, streams: Streams) -> Tensor:
        """The answer; each head says its shape."""
        raise NotImplementedError


def class_index(
    batch: Batch, target: str, classes: tuple[str, ...], groups: Mapping[str, tuple[str, ...]]
) -> Int[Tensor, " B"]:
    """(B,) index into `classes` of each event's category, -1 where it is not known or not asked for.

    Categories are matched by name, never by number, so data sets that number them differently train one head.

    Args:
        batch: The events.
        target: Path of a category field of a single collection.
        classes: Names of the answers.
        groups: {class: categories that count as it}; a class that is not named stands for the category of its name.

    Raises:
        ValueError: If the field is no category.
    """
    if target not in batch.schema:
        return torch.full(
            (len(batch),), -1, dtype=torch.int64, device=batch.collections[batch.schema.names[0]].offsets.device
        )
    field, values = batch.schema.field(target), batch.field(target).values
    if field.kind != "category":
        raise ValueError(f"{target}: expected a category to classify, got kind {field.kind}")
    table = torch.full((field.size + 1,), -1, dtype=torch.int64, device=values.device)
    for i, name in enumerate(classes):
        for category in groups.get(name, (name,)):
            if category in field.labels:
                table[field.labels.index(category)] = i
    return table[torch.where(values.isfinite(), values, field.size).long()]
