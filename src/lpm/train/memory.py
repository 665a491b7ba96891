r"""Batches larger than the memory: the same gradient from several smaller portions.

The loss of a batch is the mean of its events' losses, so with portions of :math:`n_i` of the :math:`n` events

.. math:: \nabla L = \sum_i \frac{n_i}{n} \nabla L_i .

After running out of memory the batches are divided into portions of at most half the tokens, and so on until they fit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lpm.records.files import atomic_file
from lpm.train.parallel import World, gather

__all__ = ["Portions", "RestartError", "TooLargeError", "ran_out"]


class TooLargeError(Exception):
    """A portion did not fit into the memory.

    Args:
        events: Its events.
        tokens: Its tokens.
    """

    def __init__(self, events: int, tokens: int) -> None:
        super().__init__(f"{events} events of {tokens} tokens")
        self.events, self.tokens = events, tokens


class RestartError(ValueError):
    """This process cannot go on among the others, but what is on disk is good: another start that resumes will."""


def ran_out(error: BaseException) -> bool:
    """Whether an error means that there is no memory left; on the CPU, PyTorch has no type of its own for it.

    Example:
        >>> ran_out(torch.OutOfMemoryError()), ran_out(RuntimeError("shapes differ"))
        (True, False)
    """
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in _ON_CPU)


_ON_CPU = ("can't allocate memory", "could not create a primitive", "could not create a memory object")
"""The allocator; and oneDNN, whose kernels take their own memory and do not say why they could not be made."""


class Portions:
    """How batches are divided; remembers the largest portion that fits, also for a run that is resumed.

    Args:
        folder: Where `memory.json` is kept; None for nowhere.
        place: This process among all: all of them divide into equally many portions.

    Example:
        >>> portions = Portions(None, World(0, 1, torch.device("cpu")))
        >>> portions.shrink(TooLargeError(4, 40))
        >>> [len(x) for x in portions.of(torch.zeros(7, 10), 70)]
        [1, 2, 2, 2]
    """

    def __init__(self, folder: Path | None, place: World) -> None:
        self.path, self.place = folder / "memory.json" if folder else None, place
        self.largest = 0
        if self.path and self.path.is_file():
            try:
                self.largest = int(json.loads(self.path.read_text(encoding="utf-8"))["largest"])
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{self.path}: not readable ({error}); remove it, and --resume") from error

    def of(self, batch: Any, tokens: int) -> Sequence[Any]:
        """The batch in portions of about `largest` tokens, or whole while there is no such limit."""
        if not self.largest:
            return [batch]
        events, count = len(batch), math.ceil(tokens / self.largest)
        if self.place.size > 1:
            counts = gather((count, events), self.place)
            count, events = max(c for c, _ in counts), min(n for _, n in counts)
        count, n = max(1, min(count, events)), len(batch)
        return [batch[i * n // count : (i + 1) * n // count] for i in range(count)]

    def shrink(self, failed: TooLargeError) -> None:
        """Halve the limit after a portion did not fit."""
        self.largest = max(1, min(self.largest or failed.tokens, failed.tokens) // 2)
        if self.path:
            with atomic_file(self.path) as temporary:
                temporary.write_text(json.dumps({"largest": self.largest}), encoding="utf-8")
