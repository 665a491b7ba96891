"""Paths of reductions as shards to train on: `lpm simulate reductions`.

A chunk depends on the request and its number only. The kinematics are general numbers: which identities hold which
integrals depends on them nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lpm.data.batch import Batch
from lpm.data.farm import Failure, Farm, Piece, Unfinished, make, open_crew
from lpm.data.farm.piece import BESIDE, Note, Watch
from lpm.data.io.parquet import write_batches
from lpm.records.files import locked
from lpm.records.hashing import hash_json
from lpm.theory.ibp.family import Family
from lpm.theory.ibp.identities import Point
from lpm.theory.ibp.paths import PathConfig, Way, paths
from lpm.theory.ibp.policy import Options, batch_of, options

__all__ = ["PathRequest", "draw", "general", "write_paths"]

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


def write_paths(
    request: PathRequest,
    out: Path,
    *,
    farm: Farm | None = None,
    resume: bool = False,
    done: Callable[[int], None] = lambda paths: None,
    tell: Callable[[str], None] = lambda line: None,
) -> int:
    """Write paths as shards of states.

    Args:
        request: Which.
        out: A folder.
        farm: Who makes the shards; this process if None.
        resume: Keep those that an interrupted call with the same request left.
        done: Called with the number of paths of each shard.
        tell: Called with a line when jobs of a batch system wait.

    Returns:
        The number of states.

    Raises:
        ValueError: If the folder is in use or cannot be written; `Unfinished` if shards fail, after all others.
    """
    beside = out.absolute() / BESIDE
    if out.is_dir() and any(out.glob("*.parquet")) and not resume:
        raise ValueError(f"{out}: holds shards already; add --resume to complete them, or choose another place")
    try:
        beside.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{out}: cannot write: {error.strerror}; choose another place") from error
    states, failures = 0, []
    with locked(beside), open_crew(farm or Farm(), beside, tell) as crew:
        for _, made in make(_pieces(request, out), crew):
            if isinstance(made, Failure):
                failures.append(made)
            elif made.note:
                states += made.note["states"]
                done(made.note["paths"])
    if failures:
        raise Unfinished(failures, {"states": states}, "the others are kept, --resume tries again")
    return states


def _pieces(request: PathRequest, out: Path) -> Iterator[Piece]:
    said: dict[str, Any] = asdict(request)
    for chunk in range(-(-request.n // CHUNK)):
        path = out.absolute() / f"part-{chunk:05d}.parquet"
        yield Piece(f"chunk {chunk}", path, hash_json({**said, "chunk": chunk}), partial(_write, request, chunk))


def _write(request: PathRequest, chunk: int, path: Path, watch: Watch) -> Note:
    batch = draw(request, chunk)
    origin = {"request": asdict(request), "chunk": chunk}
    states = write_batches(path, [batch], schema=batch.schema, provenance=origin)
    return {"states": states, "paths": min(CHUNK, request.n - chunk * CHUNK)}
