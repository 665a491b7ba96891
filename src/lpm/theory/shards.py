"""Examples to learn from as shards, each of which depends on the request and its own number only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

from lpm.data.batch import Batch
from lpm.data.farm import Failure, Farm, Piece, Unfinished, make, open_crew
from lpm.data.farm.claim import claimed
from lpm.data.farm.piece import Note, Watch
from lpm.data.io.parquet import write_batches
from lpm.records.hashing import hash_json

__all__ = ["Draw", "Request", "write_shards"]


class Request(Protocol):
    """A frozen dataclass that says which examples."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def n(self) -> int:
        """Their number."""
        ...


Draw = Callable[[Any, int], Batch]
"""The states of one chunk of a request."""


def write_shards(
    request: Request,
    out: Path,
    draw: Draw,
    chunk: int,
    *,
    farm: Farm | None = None,
    resume: bool = False,
    done: Callable[[int], None] = lambda paths: None,
    tell: Callable[[str], None] = lambda line: None,
) -> int:
    """Write examples as shards of states.

    Args:
        request: Which.
        out: A folder.
        draw: Makes the states of a chunk; a function that can be found by its name.
        chunk: Examples of one shard.
        farm: Who makes the shards; this process if None.
        resume: Keep those that an interrupted call with the same request left.
        done: Called with the number of examples of each shard.
        tell: Called with a line when jobs of a batch system wait.

    Returns:
        The number of states.

    Raises:
        ValueError: If the folder holds anything else, is in use or cannot be written; `Unfinished` if shards fail,
            after all others.
    """
    said: dict[str, Any] = asdict(request)
    pieces = []
    for number in range(-(-request.n // chunk)):
        path = out.absolute() / f"part-{number:05d}.parquet"
        work = partial(_write, request, draw, chunk, number)
        pieces.append(Piece(f"chunk {number}", path, hash_json({**said, "chunk": number}), work))
    states, failures = 0, []
    with claimed(out, {"request": said}, resume) as beside, open_crew(farm or Farm(), beside, tell) as crew:
        for _, made in make(pieces, crew):
            if isinstance(made, Failure):
                failures.append(made)
            elif made.note:
                states += made.note["states"]
                done(made.note["paths"])
    if failures:
        raise Unfinished(failures, {"states": states}, "the others are kept, --resume tries again")
    return states


def _write(request: Request, draw: Draw, chunk: int, number: int, path: Path, watch: Watch) -> Note:
    batch = draw(request, number)
    origin = {"request": asdict(request), "chunk": number}
    states = write_batches(path, [batch], schema=batch.schema, provenance=origin)
    return {"states": states, "paths": min(chunk, request.n - number * chunk)}
