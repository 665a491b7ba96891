"""Making a sample of identified tracks: chunks with seeds of their own, as files that appear whole or not at all.

A chunk depends on the card, the seed and its number only, so that a sample is the same whether or not it was
interrupted. Half a million tracks take a second, which is why there are no workers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lpm.data.batch import Batch
from lpm.data.io.parquet import write_batches
from lpm.records.files import atomic_file
from lpm.sim.pid import SCHEMA, simulate
from lpm.sim.production import MANIFEST
from lpm.sim.track_card import read_track_card

__all__ = ["CHUNK", "claim", "produce_tracks"]

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
        resume: Keep the shards that are there from the same request.
        command: The command line, for the record.
        done: Called with the number of tracks of each chunk.

    Returns:
        The manifest, as written to `simulation.json` or into the file.

    Raises:
        ValueError: If a number is out of range, there is no such card, or `out` holds something else.
    """
    if n < 1 or seed < 0:
        raise ValueError(f"expected at least 1 track and a seed from 0, got {n} and {seed}")
    out = Path(out)
    # What the card says counts, not where it lies.
    manifest = {"request": {"n": n, "card": asdict(read_track_card(card)), "seed": seed}, "command": command}
    if out.suffix == ".parquet":
        if out.exists():
            raise ValueError(f"{out}: exists already; remove it or choose another name")
        write_batches(out, _chunks(n, seed, card, done), schema=SCHEMA, provenance=manifest)
        return manifest
    claim(out, manifest, resume)
    for chunk in range(-(-n // CHUNK)):
        path = out / f"part-{chunk:05d}.parquet"
        size = min(CHUNK, n - chunk * CHUNK)
        if not path.exists():
            batch = simulate(size, _seed(seed, chunk), card)
            write_batches(path, [batch], schema=SCHEMA, provenance={**manifest, "chunk": chunk})
        done(size)
    return manifest


def _chunks(n: int, seed: int, card: str, done: Callable[[int], None]) -> Iterator[Batch]:
    for chunk in range(-(-n // CHUNK)):
        batch = simulate(min(CHUNK, n - chunk * CHUNK), _seed(seed, chunk), card)
        yield batch
        done(len(batch))


def _seed(seed: int, chunk: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{chunk}/tracks".encode()).digest()[:8])


def claim(folder: Path, manifest: dict[str, Any], resume: bool) -> None:
    """See that a folder is free or holds a part of the same sample, and say what it is to hold.

    Args:
        folder: Made if there is none.
        manifest: With `request`, which has to be the same.
        resume: Accept a part of the same sample.

    Raises:
        ValueError: If the folder holds anything else, or cannot be written.
    """
    note = folder / MANIFEST
    try:
        folder.mkdir(parents=True, exist_ok=True)
        inside = any(folder.iterdir())
    except OSError as error:
        raise ValueError(f"{folder}: cannot write: {error.strerror}; choose another place") from error
    if inside and not note.is_file():
        raise ValueError(f"{folder}: is not empty and holds no {MANIFEST}; choose another place")
    if inside:
        # JSON knows no tuples: compare what would be read back.
        wanted = json.loads(json.dumps(manifest))["request"]
        if not resume:
            raise ValueError(f"{folder}: holds a sample already; add --resume to complete it, or choose another place")
        if json.loads(note.read_text(encoding="utf-8")).get("request") != wanted:
            raise ValueError(f"{folder}: was made with another request (see {MANIFEST}); choose another place")
        return
    with atomic_file(note) as part:
        part.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
