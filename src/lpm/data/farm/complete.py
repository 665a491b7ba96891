"""Samples that one process makes in seconds: the shards of a folder that are not there yet, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lpm.data.farm.claim import claimed
from lpm.data.farm.crew import Farm, open_crew
from lpm.data.farm.piece import Failure, Piece
from lpm.data.farm.run import Unfinished, make

__all__ = ["complete"]


def complete(
    pieces: Iterable[Piece], folder: Path, manifest: dict[str, Any], resume: bool, done: Callable[[int], None]
) -> None:
    """Make the shards of a folder that are not there, whole and of the same request; in this process.

    Args:
        pieces: Whose notes say what they `made`.
        folder: Made if there is none.
        manifest: With `request` and `versions`.
        resume: Accept a part of the same sample.
        done: Called with what was made since the last call.

    Raises:
        ValueError: If the folder holds anything else, is in use, or cannot be written; `Unfinished` at the first shard
            that cannot be made.
    """
    told = 0  # of the piece in hand

    def watch(piece: Piece, made: int) -> None:
        nonlocal told
        if made > told:
            done(made - told)
        told = made

    with claimed(folder, manifest, resume) as beside, open_crew(Farm(), beside) as crew:
        for piece, made in make(pieces, crew, watch):
            if isinstance(made, Failure):
                raise Unfinished([made], manifest, "the others are kept, --resume tries again")
            if made.note:
                watch(piece, made.note["made"])
            told = 0
