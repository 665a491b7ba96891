"""A task: a physics question, with what has to be computed before it can be asked and how answers are measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lpm.data.batch import Batch
from lpm.metrics.estimate import Estimate

__all__ = ["Task", "judged", "paired"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """A physics question.

    Args:
        name: As on the command line: `jets.top`.
        text: One sentence.
        prepare: Adds to a batch the observables that the task compares.
        evaluate: (predictions, truth or None, seed) to {metric: value with its interval}.
    """

    name: str
    text: str
    prepare: Callable[[Batch], Batch]
    evaluate: Callable[[Batch, Batch | None, int], dict[str, Estimate]]


def paired(predicted: Batch, truth: Batch | None) -> Batch:
    """The events that know the answers.

    Raises:
        ValueError: If there are not as many true events as predictions.
    """
    if truth is None:
        return predicted
    if len(truth) != len(predicted):
        raise ValueError(
            f"expected the true events of the predictions, one for each: got {len(truth):,} for {len(predicted):,}; "
            "name the file that lpm predict read, or none if the predictions hold the labels"
        )
    return truth


def judged(
    source: Batch, labels: Tensor, names: Sequence[str], weight: str
) -> tuple[Tensor, NDArray[np.int64], NDArray[np.float64] | None]:
    """Which events are judged, their classes, and their weights if they come with any.

    Args:
        source: (B,) events that know the answers.
        labels: (B,) number of the class of each, below 0 for none.
        names: Of the classes.
        weight: Path of the weights.

    Returns:
        (B,) bool, (N,) classes and (N,) weights of those that have a class.

    Raises:
        ValueError: If a class has no event, by name.
    """
    known = labels >= 0
    chosen = labels[known].numpy()
    if absent := [name for i, name in enumerate(names) if not (chosen == i).any()]:
        raise ValueError(
            f"no event of class {', '.join(absent)}: every class needs at least one; choose a file that has all of "
            f"{', '.join(names)}"
        )
    return known, chosen, source.field(weight).values[known].double().numpy() if weight in source.schema else None
