"""A task: a physics question, with what has to be computed before it can be asked and how answers are measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lpm.data.batch import Batch
from lpm.metrics.estimate import Estimate

__all__ = ["Task"]


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
