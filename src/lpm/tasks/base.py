"""A task: a physics question, with what has to be computed before it can be asked and how answers are measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lpm.data.batch import Batch
from lpm.metrics.estimate import Estimate

__all__ = ["Task", "paired"]


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
