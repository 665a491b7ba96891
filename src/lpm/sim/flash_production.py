"""Making a sample of particles and what a spectrometer reconstructs of them: chunks with seeds of their own, in shards.

A chunk depends on the card, the process, the seed and its number only, so that a sample is the same whether or not it
was interrupted; collisions of Pythia are generated anew for each chunk. A finished shard is proven by a marker (see
`lpm.data.farm`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpm.data.batch import Batch
from lpm.data.farm import Piece
from lpm.data.farm.complete import complete
from lpm.data.farm.piece import Note, Watch
from lpm.data.flash import NEUTRALS, TRACKS
from lpm.data.io.parquet import write_batches
from lpm.data.schema import Schema
from lpm.records.hashing import hash_json
from lpm.sim.decays import PROCESSES, decays
from lpm.sim.flash import gun, neutrals, photon_gun, reconstruct
from lpm.sim.flash_card import FlashCard, read_flash_card
from lpm.sim.flight import Generated
from lpm.sim.production import versions

__all__ = ["CHUNK", "MADE", "produce_flash", "simulate"]

CHUNK = 2000
"""Particles, or groups of photons, of one chunk."""

MADE = ("charged", "photons", *PROCESSES)
"""What can be simulated: particles of a gun, groups of photons of a gun, and decays of Pythia."""

_SHARD = 25
"""Chunks in a shard of a folder."""


def simulate(
    n: int, process: str = "charged", card: FlashCard | str = "forward", seed: int = 0, first: int = 0
) -> Batch:
    """One chunk in memory.

    Args:
        n: Particles, or groups of photons; of decays the particles of as many whole ones as reach it, and no less.
        process: Name out of `MADE`.
        card: A card, its name, or the path of one.
        seed: The same seed, process and card give the same sample.
        first: Number of the first collision.

    Raises:
        ValueError: If there is no such process or card.

    Example:
        >>> batch = simulate(100, seed=3)
        >>> len(batch), batch.schema.name
        (100, 'flash')
    """
    if process not in MADE:
        raise ValueError(f"process {process!r}: expected one of {', '.join(MADE)}")
    rng = np.random.default_rng(seed)
    later = int(rng.integers(1, 2**31))
    if process == "charged":
        return reconstruct(gun(n, rng), card, later, first + np.arange(n))
    if process == "photons":
        return neutrals(*photon_gun(n, rng), card, later)
    particles, event, mother = _decayed(n, process, 1 + later % 900_000_000)
    return reconstruct(particles, card, later, first + event, mother)


def produce_flash(
    n: int,
    out: str | Path,
    *,
    process: str = "charged",
    card: str = "forward",
    seed: int = 0,
    resume: bool = False,
    command: str = "",
    done: Callable[[int], None] = lambda made: None,
) -> dict[str, Any]:
    """Simulate a sample.

    Args:
        n: Particles, or groups of photons; of decays at least as many.
        out: A folder of shards, or a name ending in `.parquet` for one file.
        process: Name out of `MADE`.
        card: Name or path of a card.
        seed: Any whole number from 0.
        resume: Keep the shards that are there, whole and from the same request.
        command: The command line, for the record.
        done: Called with the number of events of each chunk.

    Returns:
        The manifest, as written to `simulation.json` or into the file.

    Raises:
        ValueError: If a number is out of range, there is no such process or card, or `out` holds something else;
            `Unfinished` if a shard cannot be made.
    """
    if n < 1 or seed < 0:
        raise ValueError(f"expected at least 1 particle and a seed from 0, got {n} and {seed}")
    if process not in MADE:
        raise ValueError(f"process {process!r}: expected one of {', '.join(MADE)}")
    out, read = Path(out), read_flash_card(card)
    request = {"n": n, "process": process, "card": asdict(read), "seed": seed}
    manifest = {
        "simulation": "lpm, forward spectrometer; not Geant4",
        "request": request,
        "command": command,
        "versions": versions("lpm", "numpy", "torch", *(("pythia8mc",) if process in PROCESSES else ())),
    }
    if out.suffix == ".parquet":
        if out.exists():
            raise ValueError(f"{out}: exists already; remove it or choose another name")
        made = _chunks(range(-(-n // CHUNK)), n, process, read, seed, done)
        write_batches(out, made, schema=_schema(process), provenance=manifest)
        return manifest
    complete(_pieces(n, process, read, seed, out, manifest), out, manifest, resume, done)
    return manifest


def _schema(process: str) -> Schema:
    return NEUTRALS if process == "photons" else TRACKS


def _pieces(
    n: int, process: str, card: FlashCard, seed: int, folder: Path, manifest: dict[str, Any]
) -> Iterator[Piece]:
    chunks, settled = -(-n // CHUNK), {name: manifest[name] for name in ("request", "versions")}
    for shard in range(-(-chunks // _SHARD)):
        part = range(shard * _SHARD, min((shard + 1) * _SHARD, chunks))
        work = partial(_write_shard, part, n, process, card, seed, {**manifest, "shard": shard})
        key = hash_json({**settled, "chunks": [part.start, part.stop], "size": CHUNK})
        yield Piece(f"shard {shard}", folder.absolute() / f"part-{shard:05d}.parquet", key, work)


def _write_shard(
    part: range, n: int, process: str, card: FlashCard, seed: int, origin: dict[str, Any], path: Path, watch: Watch
) -> Note:
    total = 0

    def done(made: int) -> None:
        nonlocal total
        total += made
        watch(total)

    chunks = _chunks(part, n, process, card, seed, done)
    write_batches(path, chunks, schema=_schema(process), provenance=origin)
    return {"made": total}


def _chunks(
    part: range, n: int, process: str, card: FlashCard, seed: int, done: Callable[[int], None]
) -> Iterator[Batch]:
    for chunk in part:
        digest = hashlib.sha256(f"{seed}/{chunk}/{process}/flash".encode()).digest()
        batch = simulate(min(CHUNK, n - chunk * CHUNK), process, card, int.from_bytes(digest[:8]), chunk * CHUNK)
        yield batch
        done(min(CHUNK, n - chunk * CHUNK))


def _decayed(n: int, process: str, seed: int) -> tuple[Generated, NDArray[np.int64], NDArray[np.int64]]:
    parts, count = [], 0
    for made in decays(process, seed):
        parts.append(made)
        count += len(made.event)
        if count >= n:
            break
    event = np.unique(np.concatenate([d.event for d in parts]), return_inverse=True)[1]
    # Whole decays only: cut behind the one that reaches the number.
    stop = int(np.searchsorted(event, event[n - 1], side="right"))
    columns = [np.concatenate([getattr(d.particles, name) for d in parts])[:stop] for name in vars(parts[0].particles)]
    return Generated(*columns), event[:stop], np.concatenate([d.mother for d in parts])[:stop]
