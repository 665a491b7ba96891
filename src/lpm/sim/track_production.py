"""Making a sample of identified tracks: chunks with seeds of their own, as files that appear whole or not at all.

A chunk depends on the card, the seed and its number only, so that a sample is the same whether or not it was
interrupted. What was made is proven by a marker (see `lpm.data.farm`). Half a million tracks take a second, which is
why there are no workers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from lpm.data.batch import Batch
from lpm.data.farm import Piece
from lpm.data.farm.complete import complete
from lpm.data.farm.piece import Note, Watch
from lpm.data.io.parquet import write_batches
from lpm.records.hashing import hash_json
from lpm.sim.pid import SCHEMA, simulate
from lpm.sim.production import versions
from lpm.sim.track_card import TrackCard, read_track_card

__all__ = ["CHUNK", "produce_tracks"]

CHUNK = 50_000
"""Tracks of one chunk, and of one shard."""


def produce_tracks(
    n: int,
    out: str | Path,
    *,
    card: str = "alice",
    seed: int = 0,
    resume: bool = False,
    command: str = "",
    done: Callable[[int], None] = lambda tracks: None,
) -> dict[str, Any]:
    """Simulate a sample of tracks.

    Args:
        n: Number of tracks.
        out: A folder for one shard a chunk, or a name ending in `.parquet` for one file.
        card: Name or path of a card.
        seed: Any whole number from 0.
        resume: Keep the shards that are there, whole and from the same request.
        command: The command line, for the record.
        done: Called with the number of tracks of each chunk.

    Returns:
        The manifest, as written to `simulation.json` or into the file.

    Raises:
        ValueError: If a number is out of range, there is no such card, or `out` holds something else; `Unfinished` if
            a shard cannot be made.
    """
    if n < 1 or seed < 0:
        raise ValueError(f"expected at least 1 track and a seed from 0, got {n} and {seed}")
    out, read = Path(out), read_track_card(card)
    # What the card says counts, not where it lies.
    manifest = {
        "request": {"n": n, "card": asdict(read), "seed": seed},
        "command": command,
        "versions": versions("lpm", "numpy", "torch"),
    }
    if out.suffix == ".parquet":
        if out.exists():
            raise ValueError(f"{out}: exists already; remove it or choose another name")
        write_batches(out, _chunks(n, seed, read, done), schema=SCHEMA, provenance=manifest)
        return manifest
    complete(_pieces(n, seed, read, out, manifest), out, manifest, resume, done)
    return manifest


def _pieces(n: int, seed: int, card: TrackCard, folder: Path, manifest: dict[str, Any]) -> Iterator[Piece]:
    settled = {name: manifest[name] for name in ("request", "versions")}
    for chunk in range(-(-n // CHUNK)):
        size = min(CHUNK, n - chunk * CHUNK)
        work = partial(_write_chunk, size, _seed(seed, chunk), card, {**manifest, "chunk": chunk})
        key = hash_json({**settled, "chunk": chunk, "size": size})
        yield Piece(f"chunk {chunk}", folder.absolute() / f"part-{chunk:05d}.parquet", key, work)


def _write_chunk(size: int, seed: int, card: TrackCard, origin: dict[str, Any], path: Path, watch: Watch) -> Note:
    return {"made": write_batches(path, [simulate(size, seed, card)], schema=SCHEMA, provenance=origin)}


def _chunks(n: int, seed: int, card: TrackCard, done: Callable[[int], None]) -> Iterator[Batch]:
    for chunk in range(-(-n // CHUNK)):
        batch = simulate(min(CHUNK, n - chunk * CHUNK), _seed(seed, chunk), card)
        yield batch
        done(len(batch))


def _seed(seed: int, chunk: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{chunk}/tracks".encode()).digest()[:8])
