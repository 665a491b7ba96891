"""One chunk of a sample of jets or events: the request and the number of the chunk decide it, and nothing else."""

from __future__ import annotations

import functools
import gzip
import hashlib
import re
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch

from lpm.data.batch import Batch
from lpm.data.fields import FOUR_TOPS, JETCLASS, TAU_CLASSES
from lpm.data.matched import MATCHED
from lpm.data.schema import Schema
from lpm.sim import fine, jets, objects, pair, phase_space, taus
from lpm.sim.card import Detector, Find, Preset
from lpm.sim.card_files import hard_file, process, read_detector, read_preset
from lpm.sim.compact import compact
from lpm.sim.detector import Objects, reconstruct
from lpm.sim.fine import find_fine
from lpm.sim.jets import Selection, find_jets
from lpm.sim.matched import find_matched
from lpm.sim.objects import find_objects
from lpm.sim.pair import find_pair
from lpm.sim.pythia import Events, generate
from lpm.sim.sherpa import hard_events
from lpm.sim.taus import find_taus, read_tau_card

__all__ = ["KINDS", "Request", "simulate_chunk"]

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

BATCH = 500
"""Events generated together; about 170 kB each."""

PATIENCE = 40
"""Batches without any accepted jet after which the cuts are taken to be impossible."""

_EVENT = re.compile(rb"\s*<event[\s>]")
"""Beginning of an event in a Les Houches file."""


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
        with _part(hard_file(card), chunk, request.chunks) as path:
            yield ["Beams:frameType = 4", f"Beams:LHEF = {path}"]


@contextmanager
def _part(whole: Path, chunk: int, chunks: int) -> Iterator[Path]:
    """A Les Houches file of one chunk's part of the events of another, gone afterwards.

    Parts are of equal size: how many events a chunk reads until it has its jets depends on the cuts, so that nothing
    else keeps it from the events of the next.
    """
    total = _held(whole, whole.stat().st_mtime_ns)
    first, last = (total * k // chunks for k in (chunk, chunk + 1))
    with tempfile.TemporaryDirectory(prefix="lpm-lhe-") as folder:
        part = Path(folder) / "part.lhe"
        with _unpacked(whole) as file, part.open("wb") as out:
            out.writelines(_between(file, first, last))
        yield part


@functools.cache
def _held(path: Path, changed: int) -> int:
    """Events of a Les Houches file that was last changed then; counted once, since every chunk asks."""
    try:
        with _unpacked(path) as file:
            return sum(1 for line in file if _EVENT.match(line))
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: unreadable: {error}; fetch or write it again") from error


def _unpacked(path: Path) -> IO[bytes] | gzip.GzipFile:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _between(file: Iterable[bytes], first: int, last: int) -> Iterator[bytes]:
    """Lines of a Les Houches file before all events, and of events first ≤ i < last."""
    begun, inside = 0, True
    for line in file:
        if _EVENT.match(line):
            if begun == last:
                break
            begun, inside = begun + 1, begun >= first
        if inside:
            yield line
        if b"</event>" in line:
            inside = False
    yield b"</LesHouchesEvents>\n"


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
