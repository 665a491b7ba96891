"""How long a generator takes for one event, in batches of several sizes, as the CaloChallenge states it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from lpm.metrics.estimate import Estimate

__all__ = ["BATCHES", "milliseconds"]

BATCHES = (1, 100, 10_000)
"""The challenge's sizes of batches."""


def milliseconds(
    generate: Callable[[int], object],
    *,
    batches: Sequence[int] = BATCHES,
    repeats: int = 10,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[int, Estimate]:
    """Time of one event.

    The first call with each size, which may compile and fill caches, is not counted.

    Args:
        generate: Makes so many events and returns once they are there: on a GPU it must wait for the device.
        batches: Events of a call.
        repeats: Calls that are timed, at least 2.
        clock: Seconds.

    Returns:
        Mean of the calls ± their standard deviation, in ms an event, by size.

    Raises:
        ValueError: If there is no batch, or fewer than two repeats.

    Example:
        >>> found = milliseconds(lambda n: list(range(n)), batches=(1, 1000), repeats=3)
        >>> list(found), found[1000].value > 0
        ([1, 1000], True)
    """
    if not batches or min(batches) < 1 or repeats < 2:
        raise ValueError(f"expected batches of at least 1 and 2 repeats or more, got {list(batches)} and {repeats}")
    out = {}
    for size in batches:
        generate(size)
        spent = []
        for _ in range(repeats):
            start = clock()
            generate(size)
            spent.append((clock() - start) / size * 1e3)
        out[size] = Estimate.symmetric(float(np.mean(spent)), float(np.std(spent, ddof=1)))
    return out
