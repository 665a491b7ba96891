"""Scrambled sums with the steps back as shards to train on: `lpm simulate scrambles`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lpm.data.batch import Batch
from lpm.theory.dilog import lessons as dilog
from lpm.theory.dilog.policy import SCHEMA as DILOG
from lpm.theory.ranked import batch_of
from lpm.theory.spinor import lessons as spinor
from lpm.theory.spinor.policy import SCHEMA as SPINOR

__all__ = ["CHUNK", "DOMAINS", "ScrambleRequest", "draw"]

DOMAINS = {"spinor": (spinor.lesson, SPINOR), "dilog": (dilog.lesson, DILOG)}
"""Of each domain, what makes an example, and its schema."""

CHUNK = 100
"""Sums of one shard."""


@dataclass(frozen=True, kw_only=True)
class ScrambleRequest:
    """Which sums.

    Args:
        n: Their number.
        domain: One of `DOMAINS`.
        seed: Decides all.
    """

    n: int
    domain: str
    seed: int = 0

    def __post_init__(self) -> None:
        if self.domain not in DOMAINS:
            raise ValueError(f"unknown domain {self.domain!r}; there are: {', '.join(DOMAINS)}")
        if self.n < 1 or self.seed < 0:
            raise ValueError(f"expected n of at least 1 and a seed from 0, got {self.n} and {self.seed}")


def draw(request: ScrambleRequest, chunk: int) -> Batch:
    """The states of the sums of one chunk; sums that are simple already have none.

    Example:
        >>> draw(ScrambleRequest(n=3, domain="spinor"), 0).schema.names
        ('state', 'term', 'action')
    """
    rng = np.random.default_rng([request.seed, chunk])
    lesson, schema = DOMAINS[request.domain]
    count = min(CHUNK, request.n - chunk * CHUNK)
    states = [state for _ in range(count) for state in lesson(rng)]
    return batch_of(schema, [rows for rows, _ in states], [right for _, right in states])
