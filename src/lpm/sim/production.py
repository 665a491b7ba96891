"""Making a sample: the work is cut into chunks, each with its own seed, done by any number of processes or machines.

A chunk holds jets, or events, of all classes in random order. Its content depends on the request and the number of the
chunk only, so a sample is the same for any number of workers, and whether or not it was interrupted. Each finished
chunk is a shard under its final name, proven by a marker (see `lpm.data.farm`); what is missing is made by calling
again with `resume`.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lpm.data.batch import Batch
from lpm.data.farm import Crew, Failure, Farm, Piece, Plan, Unfinished, look, make, open_crew
from lpm.data.farm.piece import BESIDE, Note, Watch
from lpm.data.fields import FOUR_TOPS, JETCLASS, TAU_CLASSES
from lpm.data.io.parquet import ShardReader, write_batches
from lpm.data.matched import MATCHED
from lpm.data.schema import Schema
from lpm.records.files import atomic_file, locked
from lpm.records.hashing import hash_json
from lpm.sim import fine, jets, objects, pair, phase_space, taus
from lpm.sim.card import Detector, Find, Preset, digest, hard_file, process, read_detector, read_preset
from lpm.sim.compact import compact
from lpm.sim.detector import Objects, reconstruct
from lpm.sim.fine import find_fine
from lpm.sim.jets import Selection, find_jets
from lpm.sim.matched import find_matched
from lpm.sim.objects import find_objects
from lpm.sim.pair import find_pair
from lpm.sim.pythia import Events, generate
from lpm.sim.sherpa import PACKAGE, hard_events, integrated, ready
from lpm.sim.taus import find_taus, read_tau_card

__all__ = ["MANIFEST", "Request", "plan", "produce", "simulate_chunk"]

MIXTURE = ("tt", "Zee", "Zmumu", "photons")
"""Processes that give generated objects of all kinds; the objects do not say which they come from."""

KINDS: dict[Find, tuple[Schema, tuple[str, ...]]] = {
    "jets": (jets.SCHEMA, JETCLASS),
    "fine": (fine.SCHEMA, tuple(fine.PROCESSES)),
    "pair": (pair.SCHEMA, pair.CLASSES),
    "objects": (objects.SCHEMA, FOUR_TOPS),
    "matched": (MATCHED, MIXTURE),
    "taus": (taus.SCHEMA, TAU_CLASSES),
}
"""Schema of what is looked for in events, and the classes of events there can be."""

MANIFEST = "simulation.json"
"""Name of the file that says how the shards beside it were made."""

BATCH = 500
"""Events generated together; about 170 kB each."""

PATIENCE = 40
"""Batches without any accepted jet after which the cuts are taken to be impossible."""

HOPELESS = 3
"""Chunks that fail before any is made after which the rest is not tried: they would fail alike."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to simulate. Two equal requests give equal samples.

    Args:
        n: Number of jets, or of events, in all classes together.
        preset: Name or path of a preset.
        seed: Any whole number from 0.
        classes: Names of classes; empty for all of the preset.
        pt: Range of transverse momentum in GeV; None for that of the preset.
        detector: Name or path of a detector card; None for that of the preset.
        compact: Whether to round fields and drop derivable ones.

    Raises:
        ValueError: If a number is out of range or a name is unknown.

    Example:
        >>> request = Request(n=5000, preset="top-landscape", seed=1)
        >>> request.chunks, request.share("QCD", 0)
        (8, 312)
    """

    n: int
    preset: str = "jetclass"
    seed: int = 0
    classes: tuple[str, ...] = ()
    pt: tuple[float, float] | None = None
    detector: str | None = None
    compact: bool = False

    def __post_init__(self) -> None:
        preset = read_preset(self.preset)
        if self.n < 1:
            raise ValueError(f"number of jets: expected at least 1, got {self.n}")
        if self.seed < 0:
            raise ValueError(f"seed: expected a whole number from 0, got {self.seed}")
        unknown = [c for c in self.classes if c not in preset.classes]
        if unknown or len(set(self.classes)) != len(self.classes):
            have = ", ".join(preset.classes)
            raise ValueError(
                f"classes {', '.join(self.classes)}: expected different ones of {have} (preset {self.preset})"
            )
        known = KINDS[preset.find][1]
        if not set(preset.classes) <= set(known):
            raise ValueError(f"preset {self.preset}: its classes must be among {', '.join(known)}")
        if (self.pt and preset.find not in ("jets", "fine", "taus")) or (self.compact and preset.find != "jets"):
            option = "pt" if self.pt else "compact"
            raise ValueError(f"{option}: is for presets of single jets; leave it out with preset {self.preset}")
        if self.pt and not 0 < self.pt[0] < self.pt[1]:
            raise ValueError(f"pt: expected 0 < MIN < MAX in GeV, got {self.pt[0]:g} {self.pt[1]:g}")
        read_detector(self.detector or preset.detector)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes in order."""
        return self.classes or tuple(read_preset(self.preset).classes)

    @property
    def chunks(self) -> int:
        """Number of chunks: of 2,000 jets, or smaller so that several cores find work."""
        return max(1, -(-self.n // max(min(2000, self.n // 8), 200)))

    def share(self, label: str, chunk: int) -> int:
        """Number of jets of a class in a chunk."""
        weights = read_preset(self.preset).weights
        parts = [weights.get(name, 1.0) for name in self.labels]
        i = self.labels.index(label)
        before, after = (round(self.n * sum(parts[:k]) / sum(parts)) for k in (i, i + 1))
        total = after - before
        return total * (chunk + 1) // self.chunks - total * chunk // self.chunks


def simulate_chunk(request: Request, chunk: int) -> Batch:
    """The jets of one chunk, in random order.

    Raises:
        ValueError: If no event passes the cuts, or a card is bad.
    """
    preset = read_preset(request.preset)
    threads = torch.get_num_threads()
    # Sums over several threads may round differently from one machine to the next.
    torch.set_num_threads(1)
    try:
        parts = [
            _simulate_card(request, chunk, label, card, count)
            for label in request.labels
            for card, count in _split(preset.classes[label], request.share(label, chunk), chunk)
            if count
        ]
    finally:
        torch.set_num_threads(threads)
    batch = Batch.cat(parts) if parts else _empty(KINDS[preset.find][0])
    order = np.random.default_rng(_seed(request, chunk, "order")).permutation(len(batch))
    batch = batch[torch.from_numpy(order)]
    return compact(batch) if request.compact else batch


def _empty(schema: Schema) -> Batch:
    none = {c.name: torch.zeros(0, dtype=torch.int64) for c in schema.collections if not c.single}
    return Batch.build(schema, {p: torch.zeros(0) for p in schema.paths}, none)


def _split(cards: tuple[str, ...], count: int, chunk: int) -> Iterator[tuple[str, int]]:
    """Share jets among the cards of a class; odd ones go to each card in turn."""
    for i, card in enumerate(cards):
        yield card, (count + (i + chunk) % len(cards)) // len(cards)


def _seed(request: Request, chunk: int, name: str) -> int:
    """1 to 900,000,000, from the seed, the chunk and a name."""
    raw = hashlib.sha256(f"{request.seed}/{chunk}/{name}".encode()).digest()
    return int.from_bytes(raw[:8]) % 900_000_000 + 1


def _simulate_card(request: Request, chunk: int, label: str, card: str, count: int) -> Batch:
    preset = read_preset(request.preset)
    detector = read_detector(request.detector or preset.detector)
    pt = request.pt or preset.pt
    settings = [
        f"PartonLevel:MPI = {'on' if preset.mpi else 'off'}",
        *(_window(pt, preset.margin) if preset.find in ("jets", "fine") else ()),
        *preset.settings,
    ]
    seed = _seed(request, chunk, f"{label}/{card}")
    rng = np.random.default_rng(seed)
    find = _finder(preset, detector, pt, label, rng)
    found: list[Batch] = []
    have, idle = 0, 0
    with _hard(request, chunk, label, card, count, seed) as hard:
        for events in generate([*hard, *settings], seed, min(BATCH, 2 * count + 10)):
            some = find(events, reconstruct(events.particles, detector, rng))
            idle = 0 if len(some) else idle + 1
            if idle >= PATIENCE:
                tried, window = idle * events.size, f" of {pt[0]:g}-{pt[1]:g} GeV" if pt[1] else ""
                raise ValueError(f"class {label}: {tried} events without a jet{window}; choose a wider range of pt")
            found.append(some)
            have += len(some)
            if have >= count:
                break
    if have < count:
        raise ValueError(f"class {label}: {card} holds too few hard events, {count - have} are missing; ask for fewer")
    return Batch.cat(found)[:count]


@contextmanager
def _hard(request: Request, chunk: int, label: str, card: str, count: int, seed: int) -> Iterator[list[str]]:
    """The lines that say where hard events come from."""
    preset = read_preset(request.preset)
    if preset.generator == "pythia":
        yield [f"Beams:eCM = {preset.energy}", *process(card)]
    elif preset.generator == "sherpa":
        # A few are lost in the shower.
        with hard_events(card, count + count // 50 + 5, seed) as path:
            yield ["Beams:frameType = 4", f"Beams:LHEF = {path}"]
    elif preset.generator == "phase-space":
        with phase_space.hard_events(card, count + count // 50 + 5, preset.energy, seed) as path:
            yield ["Beams:frameType = 4", f"Beams:LHEF = {path}"]
    else:
        cards = preset.classes[label]
        before = sum(dict(_split(cards, request.share(label, k), k))[card] for k in range(chunk))
        yield ["Beams:frameType = 4", f"Beams:LHEF = {hard_file(card)}", f"Beams:nSkipLHEFatInit = {before}"]


def _window(pt: tuple[float, float], margin: tuple[float, float]) -> tuple[str, str]:
    """Lines that keep the hard process near the range of the jets."""
    return f"PhaseSpace:pTHatMin = {pt[0] * margin[0]}", f"PhaseSpace:pTHatMax = {pt[1] * margin[1]}"


def _finder(
    preset: Preset, detector: Detector | None, pt: tuple[float, float], label: str, rng: np.random.Generator
) -> Callable[[Events, Objects], Batch]:
    """What turns events and what the detector sees of them into a part of the sample."""
    if preset.find in ("objects", "matched"):
        if detector is None or detector.objects is None:
            raise ValueError("this detector card has no section `objects`, which says what jets and leptons are")
        card = detector.objects
        if preset.find == "matched":
            return lambda events, seen: find_matched(seen, events, card, rng)
        return lambda events, seen: find_objects(seen, events.heavy, events.size, label, card, rng)
    if preset.find == "pair":
        return lambda events, seen: find_pair(seen, events.partons, events.size)
    selection = Selection(radius=preset.radius, pt=pt, eta_max=preset.eta_max, rapidity=preset.rapidity)
    if preset.find == "taus":
        response = read_tau_card(preset.response)
        return lambda events, seen: find_taus(seen, events, label, selection, response, rng)
    if preset.find == "fine":
        return lambda events, seen: find_fine(seen, events, label, selection)
    return lambda events, seen: find_jets(seen, events.partons, events.size, label, selection)


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
