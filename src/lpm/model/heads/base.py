"""What every head promises: a view, a loss for each event, an answer.

To add a head: one file with a frozen `XConfig` and the class `X`, and one line in `heads/__init__.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lpm.data.batch import Batch
from lpm.data.schema import Field
from lpm.data.transfer import sent
from lpm.model.packing import Hidden
from lpm.model.view import Streams, View

__all__ = ["Head", "class_index", "class_mask", "is_coarse", "weighed"]


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
    """(B,) index into `classes` of each event's category, -1 where it is not known, not asked for or not one class.

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
        return torch.full((len(batch),), -1, dtype=torch.int64, device=_device(batch))
    rows = [c[0] if len(c) == 1 else -1 for c in _answers(batch.schema.field(target), target, classes, groups)]
    return sent(torch.tensor([*rows, -1]), _device(batch))[_category(batch, target)]


def class_mask(
    batch: Batch, target: str, classes: tuple[str, ...], groups: Mapping[str, tuple[str, ...]]
) -> Bool[Tensor, "B C"]:
    """(B, C) which of the classes each event may be: one, several if its label is coarse, none if it is not known.

    Args:
        batch: The events.
        target: Path of a category field of a single collection.
        classes: Names of the answers.
        groups: {class: categories that may be it}, as `class_index` takes them.

    Raises:
        ValueError: If the field is no category.
    """
    if target not in batch.schema:
        return torch.zeros((len(batch), len(classes)), dtype=torch.bool, device=_device(batch))
    answers = _answers(batch.schema.field(target), target, classes, groups)
    table = [[i in found for i in range(len(classes))] for found in (*answers, ())]
    return sent(torch.tensor(table), _device(batch))[_category(batch, target)]


def is_coarse(field: Field, classes: tuple[str, ...], groups: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether some category may be any of several classes."""
    return any(len(found) > 1 for found in _answers(field, field.name, classes, groups))


def weighed(loss_B: Float[Tensor, " B"], batch: Batch, path: str | None) -> Float[Tensor, " B"]:
    """(B,) losses times the weights of the events.

    Args:
        loss_B: Losses.
        batch: The events.
        path: Field of the weights, of a single collection; None to weigh all alike.

    Raises:
        ValueError: If there is no such field.
    """
    return loss_B if path is None else loss_B * batch.field(path).values.to(loss_B.dtype)


def _answers(
    field: Field, target: str, classes: tuple[str, ...], groups: Mapping[str, tuple[str, ...]]
) -> list[tuple[int, ...]]:
    """The classes that each category of a field may be."""
    if field.kind != "category":
        raise ValueError(f"{target}: expected a category to classify, got kind {field.kind}")
    said = [groups.get(name, (name,)) for name in classes]
    return [tuple(i for i, of in enumerate(said) if label in of) for label in field.labels]


def _category(batch: Batch, target: str) -> Int[Tensor, " B"]:
    """(B,) category of each event, one past the last where it is not known."""
    values = batch.field(target).values
    return torch.where(values.isfinite(), values, batch.schema.field(target).size).long()


def _device(batch: Batch) -> torch.device:
    return batch.collections[batch.schema.names[0]].offsets.device
