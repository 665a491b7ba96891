"""Making a sample: the work is cut into chunks, each with its own seed, done by any number of processes or machines.

A chunk holds jets, or events, of all classes in random order. Its content depends on the request and the number of the
chunk only, so a sample is the same for any number of workers, and whether or not it was interrupted. Each finished
chunk is a shard under its final name, proven by a marker (see `lpm.data.farm`); what is missing is made by calling
again with `resume`.
"""

from __future__ import annotations

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
from lpm.data.farm.claim import MANIFEST, check, claimed, folder_of
from lpm.data.farm.piece import Note, Watch
from lpm.data.io.parquet import ShardReader, write_batches
from lpm.records.hashing import hash_json
from lpm.sim.card_files import digest, read_preset
from lpm.sim.chunk import Request, simulate_chunk
from lpm.sim.sherpa import PACKAGE, integrated, ready

__all__ = ["MANIFEST", "plan", "produce", "versions"]

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
    folder = folder_of(out)
    manifest = _manifest(request, command)
    _check_file(out, folder)
    with claimed(folder, manifest, resume) as beside:
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
    folder, manifest = folder_of(out), _manifest(request, "")
    _check_file(out, folder)
    check(folder, manifest, resume)
    return look(_pieces(request, folder, manifest))


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
        | versions("lpm", "pythia8mc", "fastjet", "numpy", "torch")
        | ({package: sherpa} if preset.generator == "sherpa" else {}),
    }


def versions(*packages: str) -> dict[str, str]:
    """{package: its version, or `absent`}."""

    def found(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "absent"

    return {name: found(name) for name in packages}


def _check_file(out: Path, folder: Path) -> None:
    if out != folder and out.exists():
        raise ValueError(f"{out}: exists already; remove it or choose another name")


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
