"""Has a generator learned its training events by heart? Neighbours in training against those in held-out events.

A generator that learned the distribution comes as near to events it has not seen as to those it was trained on: of the
nearest neighbours of generated events, half are then training events, if there are as many held-out ones. More than
half says that it remembers. A copy is an event nearer to a training event than nearly all held-out events are.

Shapes: N, M and K events, F features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lpm.metrics.estimate import Array, Estimate, bootstrap
from lpm.metrics.neighbours import distances
from lpm.metrics.wasserstein import table

__all__ = ["memorised"]

_BLOCK = 500

FEWEST = 100
"""Events needed of each sample."""

RARE = 0.01
"""Share of held-out events that pass for copies."""


def memorised(
    generated: ArrayLike, training: ArrayLike, held_out: ArrayLike, *, max_events: int = 5_000, seed: int = 0
) -> dict[str, Estimate]:
    """Share of generated events that are nearer to training than to held-out events, and share of copies.

    Args:
        generated: (N, F) features.
        training: (M, F) events that the generator was trained on.
        held_out: (K, F) true events that it has not seen. Equally many of both are used.
        max_events: Events used of each, chosen at random.
        seed: Seed of choice and bootstrap.

    Returns:
        `memorised`: 0.5 if nothing is remembered, 1 if everything is; `copies`: 0.01 if there are none.

    Raises:
        ValueError: If there are too few events or the features differ.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> seen, unseen, new = rng.normal(size=(3, 400, 5))
        >>> found = memorised(seen, seen, unseen)
        >>> found["memorised"].value, found["copies"].value
        (1.0, 1.0)
        >>> 0.4 < memorised(new, seen, unseen)["memorised"].value < 0.6
        True
    """
    x, a = table(generated, training)
    _, b = table(generated, held_out)
    least = min(len(x), len(a), len(b))
    if least < FEWEST:
        raise ValueError(
            f"memorisation: needs {FEWEST} generated, training and held-out events, got {len(x)}, {len(a)}, {len(b)}"
        )
    rng = np.random.default_rng(seed)
    size = min(len(a), len(b), max_events)
    x, a, b = (s[rng.permutation(len(s))[:n]] for s, n in ((x, max_events), (a, size), (b, size)))
    to_training, to_held = _nearest(x, a), _nearest(x, b)
    limit = np.quantile(_nearest(b, a), RARE)
    per_event = {
        "memorised": (to_training < to_held) + 0.5 * (to_training == to_held),
        "copies": (to_training <= limit).astype(np.float64),
    }
    return {
        name: bootstrap(lambda r, v=values: r @ v / r.sum(1), len(values), seed=seed)  # type: ignore[misc]
        for name, values in per_event.items()
    }


def _nearest(x: Array, y: Array) -> Array:
    """(N,) distance of each event of x to the nearest of y."""
    return np.concatenate([distances(x[i : i + _BLOCK], y).min(1) for i in range(0, len(x), _BLOCK)])
