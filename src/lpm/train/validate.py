"""Mean losses of held-out batches: the same for every call, and on any number of processes.

A view may draw at random what it hides, so every batch is seeded by its number. Processes take every so-many-th batch
and add up what they found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import count, islice
from typing import Any

import torch
from torch import Tensor, nn

from lpm.train.memory import Portions, TooLargeError, ran_out
from lpm.train.pace import size
from lpm.train.parallel import World, mean_over_ranks

__all__ = ["validate"]


@torch.no_grad()
def validate(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    portions: Portions,
    cast: AbstractContextManager[Any],
    place: World,
) -> dict[str, float]:
    """Mean over all events of each loss. All processes must call this.

    Args:
        model: Its call on a batch returns {name: (B,)}; in evaluation mode.
        batches: The same in every process.
        portions: How batches that are too large are divided.
        cast: Context of the forward pass.
        place: This process among all.

    Raises:
        ValueError: If there is no event.
        TooLargeError: If a portion does not fit into the memory.

    Example:
        >>> class Mean(nn.Module):
        ...     def forward(self, batch):
        ...         return {"x": batch}
        >>> from contextlib import nullcontext
        >>> one = World(0, 1, torch.device("cpu"))
        >>> held = [torch.tensor([1.0, 2.0]), torch.tensor([6.0])]
        >>> validate(Mean(), held, portions=Portions(None, one), cast=nullcontext(), place=one)
        {'x': 3.0}
    """
    sums: dict[str, Tensor] = {}
    events = 0
    with torch.random.fork_rng(devices=[]):
        for number, batch, counts in _dealt(batches, place):
            torch.default_generator.manual_seed(number)  # torch.manual_seed would reach the accelerator's stream too
            for portion in portions.of(batch, size(model, batch)):
                losses = _losses(model, portion, cast, place)
                if counts:
                    events += len(portion)
                    sums = {n: sums.get(n, 0) + x.float().sum() for n, x in losses.items()}
                elif not sums:
                    sums = {n: x.new_zeros((), dtype=torch.float32) for n, x in losses.items()}
    mean = float(mean_over_ranks(torch.tensor(float(events), device=place.device), place))
    if not mean:
        raise ValueError("no event to validate on; give some, or set train.valid_every to 0")
    return {n: float(mean_over_ranks(x, place)) / mean for n, x in sums.items()}


def _dealt(batches: Iterable[Any], place: World) -> Iterator[tuple[int, Any, bool]]:
    """Number and batch for this process, and whether it counts.

    Sharded weights are gathered by all processes together, so all of them need equally many batches: who is left
    without one in the last round goes through the first of that round once more, which does not count.
    """
    rest = iter(batches)
    for start in count(step=place.size):
        together = list(islice(rest, place.size))
        if not together:
            return
        own = place.rank if place.rank < len(together) else 0
        yield start + own, together[own], own == place.rank


def _losses(model: nn.Module, portion: Any, cast: AbstractContextManager[Any], place: World) -> dict[str, Tensor]:
    try:
        with cast:
            losses: dict[str, Tensor] = model(portion.to(place.device, non_blocking=True))
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
        raise TooLargeError(len(portion), size(model, portion)) from None
    return losses
