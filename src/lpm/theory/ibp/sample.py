"""Paths of reductions as shards to train on: `lpm simulate reductions`.

A chunk depends on the request and its number only. The kinematics are general numbers: which identities hold which
integrals depends on them nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from lpm.data.batch import Batch
from lpm.theory.ibp.family import Family
from lpm.theory.ibp.identities import Point
from lpm.theory.ibp.paths import PathConfig, Way, paths
from lpm.theory.ibp.policy import Options, batch_of, options

__all__ = ["CHUNK", "PathRequest", "draw", "general"]

CHUNK = 250
"""Paths of one shard."""


@dataclass(frozen=True, kw_only=True)
class PathRequest:
    """Which paths.

    Args:
        n: Their number.
        family: The family of integrals.
        seed: Decides all.
        config: How sums are scrambled.
        shown: Most steps of a state that are kept, the one that was taken and others at random; 0 for all.
    """

    n: int
    family: Family
    seed: int = 0
    config: PathConfig = field(default_factory=PathConfig)
    shown: int = 64

    def __post_init__(self) -> None:
        if self.n < 1 or self.seed < 0 or self.shown == 1 or self.shown < 0:
            raise ValueError(
                f"expected n of at least 1, a seed from 0, shown of 0 or at least 2; got {self.n}, {self.seed}, "
                f"{self.shown}"
            )


def general(family: Family) -> Point:
    """Kinematics without any relation between them.

    Example:
        >>> from lpm.theory.ibp.family import read_family
        >>> general(read_family("box"))
        {'d': 1009, 's': 2346, 't': 3683}
    """
    return {s: 1009 + 1337 * i for i, s in enumerate(family.symbols)}


def draw(request: PathRequest, chunk: int) -> Batch:
    """The states of the paths of one chunk.

    Example:
        >>> from lpm.theory.ibp.family import read_family
        >>> draw(PathRequest(n=2, family=read_family("box")), 0).schema.names
        ('state', 'term', 'action')
    """
    rng = np.random.default_rng([request.seed, chunk])
    count = min(CHUNK, request.n - chunk * CHUNK)
    found = paths(request.family, general(request.family), request.config, rng)
    return Batch.cat([_shown(way, request.shown, rng) for way in islice(found, count)])


def _shown(way: Way, shown: int, rng: np.random.Generator) -> Batch:
    choices: list[Options] = []
    taken: list[list[int]] = []
    for state, steps in way:
        o = options(state)
        right = [at for step in steps if (at := o.place(step)) >= 0]
        assert right, "a step that was taken is one of those that are allowed"
        if shown and len(o) > shown:
            right = right[: shown // 2]
            others = rng.choice(np.delete(np.arange(len(o)), right), shown - len(right), replace=False)
            o, right = o.only(np.concatenate([right, others])), list(range(len(right)))
        choices.append(o)
        taken.append(right)
    return batch_of([s for s, _ in way], choices, taken)
