"""Making a sample: the work is cut into chunks, each with its own seed, done by any number of processes or machines.

A chunk holds jets, or events, of all classes in random order. Its content depends on the request and the number of the
chunk only, so a sample is the same for any number of workers, and whether or not it was interrupted. Each finished
chunk is a shard under its final name, proven by a marker (see `lpm.data.farm`); what is missing is made by calling
again with `resume`.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lpm.data.batch import Batch
from lpm.data.farm import Crew, Failure, Farm, Piece, Plan, Unfinished, look, make, open_crew
from lpm.data.farm.piece import BESIDE, Note, Watch
from lpm.data.io.parquet import ShardReader, write_batches
from lpm.records.files import atomic_file, locked
from lpm.records.hashing import hash_json
from lpm.sim.card_files import digest, read_preset
from lpm.sim.chunk import Request, simulate_chunk
from lpm.sim.sherpa import PACKAGE, integrated, ready

__all__ = ["MANIFEST", "plan", "produce"]

MANIFEST = "simulation.json"
"""Name of the file that says how the shards beside it were made."""

HOPELESS = 3
"""Chunks that fail before any is made after which the rest is not tried: they would fail alike."""


def produce(
    request: Request,
    out: str | Path,
    *,
    workers: int = 1,
    farm: Farm | None = None,
    resume: bool = False,
    command: str = "",
    done: Callable[[int], None] = lambda jets: None,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Simulate a sample.

    Args:
        request: What to make.
        out: A folder for one shard a chunk, or a name ending in `.parquet` for one file.
        workers: Number of processes.
        farm: Where chunks are made, instead of by `workers` processes of this machine.
        resume: Go on with what an interrupted call with the same request left.
        command: The command line, for the record.
        done: Called with the number of jets of each finished chunk, those found by `resume` included.
        tell: Called with a line before what takes minutes and is no chunk, and when jobs wait in a queue.

    Returns:
        The manifest, as written to `simulation.json`.

    Raises:
        ValueError: If `out` holds something else or cannot be written; `Unfinished` if chunks fail, after all others
            are made, or at once if the first ones all fail.
    """
    out, farm = Path(out), farm or Farm(workers=workers)
    folder = _folder(out)
    manifest = _manifest(request, command)
    _check(out, folder, manifest, resume)
    beside = folder.absolute() / BESIDE
    try:
        beside.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder}: cannot write: {error.strerror}; choose another place") from error
    with locked(beside):
        _note(folder, manifest)
        _integrate(request, tell)
        pieces = list(_pieces(request, folder, manifest))
        crowd = min(farm.workers, len(pieces))
        with open_crew(replace(farm, workers=crowd), beside, tell) as crew:
            _make_all(pieces, crew, manifest, done)
        if out != folder:
            _join([p.output for p in pieces], out, manifest)
    if out != folder:
        shutil.rmtree(folder)
    return manifest


def _integrate(request: Request, tell: Callable[[str], None]) -> None:
    """What all chunks need and none should make for itself: the integrals of Sherpa."""
    preset = read_preset(request.preset)
    if preset.generator == "sherpa":
        for card in (card for label in request.labels for card in preset.classes[label]):
            if not ready(card):
                tell(f"Sherpa integrates {card}: this takes minutes, once")
                integrated(card)


def plan(request: Request, out: str | Path, *, resume: bool = False) -> Plan:
    """What `produce` would do.

    Raises:
        ValueError: If `out` holds something else.
    """
    out = Path(out)
    folder, manifest = _folder(out), _manifest(request, "")
    _check(out, folder, manifest, resume)
    return look(_pieces(request, folder, manifest))


def _folder(out: Path) -> Path:
    return out.with_name(f"{out.name}.parts") if out.suffix == ".parquet" else out


def _pieces(request: Request, folder: Path, manifest: dict[str, Any]) -> Iterator[Piece]:
    versions = {name: v for name, v in manifest["versions"].items() if name != "python"}
    settled = {"request": manifest["request"], "cards": manifest["cards"], "versions": versions}
    for chunk in range(request.chunks):
        path = folder.absolute() / f"part-{chunk:05d}.parquet"
        work = partial(_write_chunk, _placed(request), chunk, asdict(request))
        yield Piece(f"chunk {chunk}", path, hash_json({**settled, "chunk": chunk}), work)


def _placed(request: Request) -> Request:
    """The same request for a process in another folder."""

    def placed(card: str) -> str:
        return str(Path(card).absolute()) if card.endswith(".toml") else card

    detector = None if request.detector is None else placed(request.detector)
    return replace(request, preset=placed(request.preset), detector=detector)


def _make_all(pieces: list[Piece], crew: Crew, manifest: dict[str, Any], done: Callable[[int], None]) -> None:
    failures: list[Failure] = []
    made = 0
    for _, result in make(pieces, crew):
        if isinstance(result, Failure):
            failures.append(result)
            if not made and len(failures) >= HOPELESS:
                break
        elif result.note:
            made += 1
            done(result.note["jets"])
    if failures:
        raise Unfinished(failures, manifest, "the others are kept, --resume tries again")


def _manifest(request: Request, command: str) -> dict[str, Any]:
    preset = read_preset(request.preset)
    detector = request.detector or preset.detector
    cards = {f"preset {request.preset}": digest(request.preset, "preset")}
    if detector != "none":
        cards[f"detector {detector}"] = digest(detector, "detector")
    if preset.response:
        cards[f"response {preset.response}"] = digest(preset.response, "tau")
    cards |= {f"process {c}": digest(c, preset.generator) for label in request.labels for c in preset.classes[label]}
    package, _, sherpa = PACKAGE.partition("==")
    return {
        "request": asdict(replace(request, classes=request.labels)),
        "command": command,
        "cards": cards,
        "versions": {"python": platform.python_version()}
        | {name: _version(name) for name in ("lpm", "pythia8mc", "fastjet", "numpy", "torch")}
        | ({package: sherpa} if preset.generator == "sherpa" else {}),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _check(out: Path, folder: Path, manifest: dict[str, Any], resume: bool) -> None:
    """See that the place is free, or holds a part of the same sample."""
    if out != folder and out.exists():
        raise ValueError(f"{out}: exists already; remove it or choose another name")
    try:
        inside = [p for p in folder.iterdir() if p.name != BESIDE and not p.name.endswith(".tmp")]
    except FileNotFoundError:
        return
    except OSError as error:
        raise ValueError(f"{folder}: cannot write: {error.strerror}; choose another place") from error
    note = folder / MANIFEST
    # JSON knows no tuples: compare what would be read back.
    wanted = json.loads(json.dumps(manifest))
    if note.exists():
        old = json.loads(note.read_text(encoding="utf-8"))
        if not resume:
            raise ValueError(f"{folder}: holds a sample already; add --resume to complete it, or choose another place")
        if any(old.get(k) != wanted[k] for k in ("request", "cards")):
            raise ValueError(
                f"{folder}: was made with another request or other cards (see {MANIFEST}); choose another place"
            )
    elif inside:
        raise ValueError(f"{folder}: is not empty and holds no {MANIFEST}; choose another place")


def _note(folder: Path, manifest: dict[str, Any]) -> None:
    """Clear away what an interrupted call left half done; write the manifest."""
    for rest in folder.glob(".part-*.tmp"):
        rest.unlink(missing_ok=True)
    with atomic_file(folder / MANIFEST) as part:
        part.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _write_chunk(request: Request, chunk: int, said: dict[str, Any], path: Path, watch: Watch) -> Note:
    batch = simulate_chunk(request, chunk)
    origin = {"request": said, "chunk": chunk}
    return {"jets": write_batches(path, [batch], schema=batch.schema, provenance=origin)}


def _join(paths: list[Path], out: Path, manifest: dict[str, Any]) -> None:
    """One file of all shards, their order kept: each is shuffled and holds all classes."""
    with ShardReader(paths[0]) as first:
        schema = first.schema

    def batches() -> Iterator[Batch]:
        for path in paths:
            with ShardReader(path) as reader:
                yield from reader.batches()

    write_batches(out, batches(), schema=schema, provenance=manifest)
