"""Pairs of generated and reconstructed objects out of NanoAOD and Delphes files: what a flash simulation learns from.

Generated jets are those of the file (`GenJet`). Generated leptons and photons are in NanoAOD the dressed leptons and
isolated photons; in Delphes the stable ones without a hadron among their ancestors. One that carries most of the
generated jet it lies in counts, and the jet does not; of another the jet counts. What belongs together is found by
`lpm.data.matched.match`, in both formats alike.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.io.base import OnBad
from lpm.data.io.root import JetsOfCollisionsReader, counts, first_jets, pick
from lpm.data.matched import KINDS, MATCHED, apart, match
from lpm.data.schema import Schema
from lpm.physics.pdg import has_quark

__all__ = ["CmsMatchedReader", "DelphesMatchedReader"]

_PDG = {11: "electron", 13: "muon", 22: "photon"}
_PT = {"electron": 5.0, "muon": 5.0, "photon": 10.0, "jet": 15.0}
"""Least transverse momentum of what was generated, GeV."""

_RADIUS, _SHARE = 0.4, 0.8
"""A lepton or photon this near to a generated jet is that jet if it carries this share of its transverse momentum."""

_HEAVY_PT, _HEAVY_DISTANCE = 5.0, 0.3
_TOGETHER = 1000


class _MatchedReader(JetsOfCollisionsReader):
    """One generated object is one event here; `generated.event` counts the collisions of the file."""

    needed: tuple[str, ...]

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        if missing := [b for b in self.needed if b not in self.branches]:
            raise ValueError(f"{self.path}: has no {missing[0]}, of what was generated; {self.format} needs simulation")
        self.schema = MATCHED
        ranges = [(a, min(a + _TOGETHER, self.entries)) for a in range(0, self.entries, _TOGETHER)]
        lengths = [self.generated(a, b).lengths for a, b in ranges]
        self.first = first_jets(torch.cat(lengths) if lengths else torch.zeros(0, dtype=torch.int64))

    @classmethod
    def sniff(cls, path: Path) -> bool:
        """Only asked for by name: such files are also collisions, or jets."""
        return False

    def collisions(self, start: int, stop: int, schema: Schema) -> Batch:
        """All generated objects of a range of collisions."""
        made = match(self.generated(start, stop), self.reconstructed(start, stop), first=start)
        return made.select(schema.paths)

    def generated(self, start: int, stop: int) -> Ragged:
        """(N, 5) pt, eta, phi, mass and kind of what was generated, without what is a jet and a lepton at once."""
        return _told_apart(self.leptons(start, stop), self.jets(start, stop))

    @abstractmethod
    def leptons(self, start: int, stop: int) -> Ragged:
        """Electrons, muons and photons."""

    @abstractmethod
    def jets(self, start: int, stop: int) -> Ragged:
        """Jets."""

    @abstractmethod
    def reconstructed(self, start: int, stop: int) -> Ragged:
        """(M, 7) pt, eta, phi, mass, kind, isolation and b tag."""

    def rows(self, names: Sequence[str | None], start: int, stop: int) -> Ragged:
        """(N, F) columns of one list of branches; zero where there is no name."""
        known = [n for n in names if n]
        columns = self.columns(known, start, stop)
        lengths = counts(columns, known, self.path)
        none = torch.zeros(int(lengths.sum()), dtype=torch.float64)
        return Ragged.from_lengths(torch.stack([pick(columns, n) if n else none for n in names], 1), lengths)

    def seen(
        self, more: dict[str, tuple[str | None, ...]], places: Sequence[str], joint: str, start: int, stop: int
    ) -> Ragged:
        """Reconstructed objects of all kinds.

        Args:
            more: {prefix of the branches: branches of mass, isolation and b tag, or None}.
            places: Names of transverse momentum, pseudorapidity and azimuth.
            joint: Between prefix and name.
            start: First collision.
            stop: One past the last.
        """
        parts = [
            _seen(self.rows([*(f"{prefix}{joint}{n}" for n in places), *extra], start, stop), prefix.lower())
            for prefix, extra in more.items()
            if f"{prefix}{joint}{places[0]}" in self.branches
        ]
        return _joined(parts)

    def first_of(self, prefix: str, names: Sequence[str], joint: str) -> str | None:
        """The first of several branches that the file has."""
        return next((b for n in names if (b := f"{prefix}{joint}{n}") in self.branches), None)


class CmsMatchedReader(_MatchedReader):
    """NanoAOD of simulated collisions. A tag that is not defined for a jet counts as zero."""

    format = "cms-matched"
    usual_tree = "Events"
    signature = frozenset()
    needed = ("GenJet_pt", "GenJet_hadronFlavour", "GenDressedLepton_pt", "GenIsolatedPhoton_pt", "Jet_pt")

    def leptons(self, start: int, stop: int) -> Ragged:
        """See `_MatchedReader.leptons`."""
        lepton = self.rows([f"GenDressedLepton_{n}" for n in ("pt", "eta", "phi", "pdgId")], start, stop)
        photon = self.rows([f"GenIsolatedPhoton_{n}" for n in ("pt", "eta", "phi")], start, stop)
        of_photon = torch.cat([photon.values, torch.full_like(photon.values[:, :1], 22.0)], 1)
        return _of_kind(_joined([lepton, photon.with_values(of_photon)]))

    def jets(self, start: int, stop: int) -> Ragged:
        """See `_MatchedReader.jets`."""
        jets = self.rows([f"GenJet_{n}" for n in ("pt", "eta", "phi", "mass", "hadronFlavour")], start, stop)
        return _jets(jets, jets.values[:, 4] == 5, jets.values[:, 4] == 4)

    def reconstructed(self, start: int, stop: int) -> Ragged:
        """See `_MatchedReader.reconstructed`."""
        tag = self.first_of("Jet", ("btagUParTAK4B", "btagPNetB", "btagDeepFlavB", "btagDeepB"), "_")
        iso = ("pfRelIso04_all", "pfRelIso03_all", "pfRelIso03_all_quadratic")
        more: dict[str, tuple[str | None, ...]] = {"Jet": ("Jet_mass", None, tag)}
        more |= {n: (None, self.first_of(n, iso, "_"), None) for n in ("Electron", "Muon", "Photon")}
        return self.seen(more, ("pt", "eta", "phi"), "_", start, stop)


class DelphesMatchedReader(_MatchedReader):
    """Delphes trees with the generated particles, without those of pile-up. Heavy hadrons make b and c jets."""

    format = "delphes-matched"
    usual_tree = "Delphes"
    signature = frozenset()
    needed = ("Particle.PID", "Particle.M1", "GenJet.PT", "Jet.PT")

    def leptons(self, start: int, stop: int) -> Ragged:
        """See `_MatchedReader.leptons`."""
        names = (f"Particle.{n}" for n in ("PT", "Eta", "Phi", "PID", "Status", "M1"))
        rows = self.rows([*names, self.first_of("Particle", ("IsPU",), ".")], start, stop)
        _, _, _, pid, status, mother, pile_up = rows.values.unbind(1)
        light = torch.isin(pid.abs(), torch.tensor(list(_PDG), dtype=pid.dtype))
        good = (status == 1) & light & (pile_up == 0) & ~_of_hadrons(rows, pid, status, mother)
        return _of_kind(_chosen(rows.with_values(rows.values[:, :4]), good))

    def jets(self, start: int, stop: int) -> Ragged:
        """See `_MatchedReader.jets`."""
        jets = self.rows([f"GenJet.{n}" for n in ("PT", "Eta", "Phi", "Mass")], start, stop)
        particles = self.rows([f"Particle.{n}" for n in ("PT", "Eta", "Phi", "PID")], start, stop)
        pid, hard = particles.values[:, 3].long().numpy(), particles.values[:, 0] > _HEAVY_PT
        bottom, charm = (
            _near(jets, _chosen(particles, torch.from_numpy(has_quark(pid, quark)) & hard)) for quark in (5, 4)
        )
        return _jets(jets, bottom, charm & ~bottom)

    def reconstructed(self, start: int, stop: int) -> Ragged:
        """See `_MatchedReader.reconstructed`."""
        more: dict[str, tuple[str | None, ...]] = {"Jet": ("Jet.Mass", None, self.first_of("Jet", ("BTag",), "."))}
        more |= {n: (None, self.first_of(n, ("IsolationVar",), "."), None) for n in ("Electron", "Muon", "Photon")}
        return self.seen(more, ("PT", "Eta", "Phi"), ".", start, stop)


def _seen(rows: Ragged, kind: str) -> Ragged:
    """(M, 7) from (M, 6) pt, eta, phi, mass, isolation and b tag of one kind; a tag is the first bit, or a score."""
    x = rows.values
    tag = torch.where(x[:, 5] > 1, x[:, 5] % 2, x[:, 5].clamp_min(0.0))
    index = torch.full_like(tag, float(KINDS.index(kind)))
    return rows.with_values(
        torch.stack([*x[:, :3].unbind(1), x[:, 3].clamp_min(0.0), index, x[:, 4].clamp_min(0.0), tag], 1)
    )


def _of_kind(rows: Ragged) -> Ragged:
    """(N, 5) pt, eta, phi, mass and kind from (N, 4) with a PDG number, above the cuts."""
    x = rows.values
    kind, least = torch.full_like(x[:, 0], -1.0), torch.full_like(x[:, 0], torch.inf)
    for number, name in _PDG.items():
        mine = x[:, 3].abs() == number
        kind, least = torch.where(mine, KINDS.index(name), kind), torch.where(mine, _PT[name], least)
    made = torch.stack([*x[:, :3].unbind(1), torch.zeros_like(kind), kind], 1)
    return _chosen(rows.with_values(made), x[:, 0] > least)


def _jets(rows: Ragged, bottom: Tensor, charm: Tensor) -> Ragged:
    """(N, 5) jets above the cut, by flavour."""
    names = ("jet", "c_jet", "b_jet")
    kind = torch.tensor([KINDS.index(n) for n in names], dtype=rows.values.dtype)[charm.long() + 2 * bottom.long()]
    made = torch.cat([rows.values[:, :3], rows.values[:, 3:4].clamp_min(0.0), kind[:, None]], 1)
    return _chosen(rows.with_values(made), rows.values[:, 0] > _PT["jet"])


def _told_apart(leptons: Ragged, jets: Ragged) -> Ragged:
    """Leptons and photons that carry most of their jet, or have none, and the other jets; the hardest first."""
    (a, real_a), (b, real_b) = leptons.padded(), jets.padded()
    inside = (apart(a[..., 1:3], b[..., 1:3]) < _RADIUS) & real_a[:, :, None] & real_b[:, None]
    most = inside & (a[:, :, None, 0] > _SHARE * b[:, None, :, 0])
    kept = _joined([_chosen(leptons, (~inside | most).all(2)[real_a]), _chosen(jets, ~most.any(1)[real_b])])
    order = torch.argsort(kept.values[:, 0], descending=True)
    order = order[torch.argsort(kept.event[order], stable=True)]
    return kept.with_values(kept.values[order])


def _of_hadrons(rows: Ragged, pid: Tensor, status: Tensor, mother: Tensor) -> Tensor:
    """(N,) whether a hadron is among the ancestors; beam particles (status 4) are none."""
    hadron = (pid.abs() > 100) & (status != 4)
    up = torch.where(mother >= 0, rows.offsets[:-1][rows.event] + mother.long(), -1)
    found, at = torch.zeros(len(pid), dtype=torch.bool), up
    while bool((at >= 0).any()):
        place = at.clamp_min(0)
        found |= (at >= 0) & hadron[place]
        # A record that refers to itself would go on for ever: mothers come before their daughters.
        at = torch.where((at >= 0) & ~found & (up[place] < place), up[place], -1)
    return found


def _near(jets: Ragged, others: Ragged) -> Tensor:
    """(J,) whether one of the others lies in each jet."""
    (a, real_a), (b, real_b) = jets.padded(), others.padded()
    return ((apart(a[..., 1:3], b[..., 1:3]) < _HEAVY_DISTANCE) & real_b[:, None]).any(2)[real_a]


def _chosen(rows: Ragged, good: Tensor) -> Ragged:
    """Only some of the rows."""
    return Ragged.from_lengths(rows.values[good], rows.with_values(good.long()).sum())


def _joined(parts: Sequence[Ragged]) -> Ragged:
    """The rows of all parts, event by event."""
    event, values = torch.cat([p.event for p in parts]), torch.cat([p.values for p in parts])
    order = torch.argsort(event, stable=True)
    return Ragged.from_lengths(values[order], torch.bincount(event, minlength=len(parts[0])))
