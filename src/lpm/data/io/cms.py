"""CMS NanoAOD and PFNano (trees or RNTuples): jets with their particle-flow candidates, or whole collisions.

NanoAOD lists every quantity of an object as one branch, `Muon_pt`; PFNano adds the candidates, `PFCands_*`, and tables
`FatJetPFCands_jetIdx`, `FatJetPFCands_pFCandsIdx` that say which candidate belongs to which jet. Impact parameters are
in cm there. Muon-only open data are the same with fewer branches.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.constituents import charge_of_pdg, jets_batch, momenta, type_of_pdg
from lpm.data.fields import COLLISION, collisions_schema, jets_schema
from lpm.data.io.base import OnBad
from lpm.data.io.root import JetsOfCollisionsReader, RootReader, branches_of, counts, first_jets, is_root, pick
from lpm.data.schema import Schema

__all__ = ["CmsEventsReader", "CmsJetsReader"]

_CM = 10.0
_OBJECTS = {"Muon": "muon", "Electron": "electron", "Photon": "photon", "Tau": "tau", "Jet": "jet", "FatJet": "fatjet"}
_BRANCHES = {
    "iso": ("pfRelIso04_all", "pfRelIso03_all", "pfRelIso03_all_quadratic"),
    "d0": ("dxy",),
    "sdmass": ("msoftdrop",),
    "btag": ("btagUParTAK4B", "btagPNetB", "btagDeepFlavB", "btagDeepB"),
}
_MET = ("PuppiMET", "MET", "PFMET")
_TABLES = {
    "FatJet": ("FatJetPFCands", "FatJetPFCand", "FatJetToPFCands"),
    "Jet": ("JetPFCands", "JetPFCand", "JetToPFCands"),
}
_INDICES = ("pFCandsIdx", "pfCandIdx", "pfCandsIdx", "candIdx")
_CANDIDATES = ("PFCands", "PFCand")


class CmsEventsReader(RootReader):
    """Reconstructed objects of each collision: muons, electrons, photons, taus, jets, fat jets, missing momentum."""

    format = "cms-events"
    usual_tree = "Events"
    signature = frozenset()

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        self._source = _branches_of_fields(self.branches)
        if not self._source:
            raise ValueError(f"{self.path}: tree has none of the branches Muon_pt, Electron_pt, Jet_pt, … of NanoAOD")
        objects: dict[str, list[str]] = {}
        for field in self._source:
            name, _, f = field.partition(".")
            objects.setdefault(name, []).append(f)
        self.schema = collisions_schema(objects)

    @classmethod
    def sniff(cls, path: Path) -> bool:
        """A tree `Events` with objects named as in NanoAOD."""
        return is_root(path) and bool(_branches_of_fields(branches_of(path).get(cls.usual_tree, frozenset())))

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        columns = self.columns([self._source[p] for p in schema.paths], start, stop)
        made, lengths = {}, {}
        for c in schema.collections:
            branches = [self._source[f"{c.name}.{f}"] for f in c.names]
            for f, branch in zip(c.names, branches, strict=True):
                made[f"{c.name}.{f}"] = pick(columns, branch) * (_CM if f in ("d0", "dz") else 1.0)
            if not c.single:
                lengths[c.name] = counts(columns, branches, self.path)
        return Batch.build(schema, made, lengths)


def _branches_of_fields(branches: frozenset[str]) -> dict[str, str]:
    """{"muon.pt": "Muon_pt"} for the standard fields that exist."""
    out: dict[str, str] = {}
    for prefix, name in _OBJECTS.items():
        if {f"{prefix}_pt", f"{prefix}_eta", f"{prefix}_phi"} <= branches:
            for f in COLLISION[name]:
                names = [b for n in _BRANCHES.get(f.name, (f.name,)) if (b := f"{prefix}_{n}") in branches]
                if names:
                    out[f"{name}.{f.name}"] = names[0]
    for prefix in _MET if out else ():
        if {f"{prefix}_pt", f"{prefix}_phi"} <= branches:
            return {**out, "met.pt": f"{prefix}_pt", "met.phi": f"{prefix}_phi"}
    return out


class CmsJetsReader(JetsOfCollisionsReader):
    """Jets with their particle-flow candidates: AK8 (`tree="FatJet"`, the usual) or AK4 (`tree="Jet"`).

    One jet is one event here; `jet.event` counts the collisions of the file. Momenta of candidates are not weighted by
    PUPPI; the weight is the field `particle.puppi`. `jet.pt` and `jet.mass` are those of the file, with corrections.
    """

    format = "cms-jets"
    usual_tree = "Events"
    signature = frozenset()

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        if tree not in (None, "FatJet", "Jet"):
            raise ValueError(f"{path}: tree {tree!r}: expected FatJet or Jet, the kind of jets to read")
        super().__init__(path, on_bad=on_bad)
        links = {kind: found for kind in _TABLES if (found := _links(self.branches, kind))}
        self._kind = tree or next(iter(links), "FatJet")
        if self._kind not in links:
            raise ValueError(
                f"{self.path}: no candidates of {self._kind}: expected branches {_TABLES[self._kind][0]}_*"
            )
        self._jet_index, self._candidate_index, self._candidate = links[self._kind]
        # Jets are counted once: a range of jets must be turned into a range of collisions.
        n = counts(self.columns([f"{self._kind}_pt"], 0, self.entries), [f"{self._kind}_pt"], self.path)
        self.first = first_jets(n)
        self.schema = self._make_schema()

    @classmethod
    def sniff(cls, path: Path) -> bool:
        """A tree `Events` with jets, candidates, and the tables that link them."""
        if not is_root(path):
            return False
        branches = branches_of(path).get(cls.usual_tree, frozenset())
        # NanoAOD from version 15 on holds the candidates of fat jets only, without charge: read as collisions then.
        return any((found := _links(branches, kind)) and f"{found[2]}_charge" in branches for kind in _TABLES)

    def _make_schema(self) -> Schema:
        have = self.branches
        particle = ["pt", "deta", "dphi", "energy", "charge", "type"]
        particle += [f for f, n in self._extra().items() if f"{self._candidate}_{n}" in have]
        jet = ["pt", "eta", "phi", "mass", "energy"]
        jet += ["sdmass"] if f"{self._kind}_msoftdrop" in have else []
        jet += [t for t in ("tau1", "tau2", "tau3", "tau4") if f"{self._kind}_{t}" in have]
        return jets_schema(particle, [*jet, "event"])

    def _extra(self) -> dict[str, str]:
        return {"d0": "d0", "d0_err": "d0Err", "dz": "dz", "dz_err": "dzErr", "puppi": "puppiWeight"}

    def collisions(self, start: int, stop: int, schema: Schema) -> Batch:
        """All jets of a range of collisions."""
        kind, cand = self._kind, self._candidate
        kinematics = [f"{cand}_{n}" for n in ("pt", "eta", "phi", "mass", "pdgId")]
        charge_name = [f"{cand}_charge"] if f"{cand}_charge" in self.branches else []
        extra = {f: f"{cand}_{n}" for f, n in self._extra().items() if f"particle.{f}" in schema}
        jet_names = {"sdmass": "msoftdrop"}
        jet = {f: f"{kind}_{jet_names.get(f, f)}" for f in self.schema["jet"].names if f not in ("energy", "event")}
        links = [self._jet_index, self._candidate_index]
        columns = self.columns([*kinematics, *charge_name, *extra.values(), *jet.values(), *links], start, stop)
        jets = Ragged.from_lengths(pick(columns, jet["pt"]), counts(columns, list(jet.values()), self.path))
        candidates = counts(columns, [*kinematics, *extra.values()], self.path)
        row, lengths = self._link(columns, candidates, jets)
        pt, eta, phi, mass, pdg = (pick(columns, n)[row] for n in kinematics)
        known = f"{cand}_charge" in columns
        charge = pick(columns, f"{cand}_charge")[row] if known else charge_of_pdg(pdg)
        p4 = momenta(torch.stack([pt, eta, phi, mass], 1), "pt_eta_phi_m")
        particle = {f: pick(columns, n)[row] * (_CM if f in _LENGTHS else 1.0) for f, n in extra.items()}
        # PFNano writes -1 in all four where there is no track: neutrals and some soft charged particles.
        errors = [particle[f] for f in ("d0_err", "dz_err") if f in particle]
        tracked = torch.stack([charge != 0, *(e > 0 for e in errors)]).all(0)
        for f in set(particle) & _LENGTHS:
            particle[f] = torch.where(tracked, particle[f], 0.0)
        particle |= {"charge": charge, "type": type_of_pdg(pdg, charge)}
        made = {f: pick(columns, n) for f, n in jet.items()} | {"event": jets.event + start}
        return jets_batch(schema, p4, lengths, particle, made)

    def _link(
        self, columns: dict[str, tuple[Tensor, Tensor | None]], candidates: Tensor, jets: Ragged
    ) -> tuple[Tensor, Tensor]:
        """Candidate row of every constituent, jet by jet, and the number of constituents of each jet."""
        entry = Ragged.from_lengths(
            pick(columns, self._jet_index), counts(columns, [self._jet_index, self._candidate_index], self.path)
        )
        jet, row = pick(columns, self._jet_index).long(), pick(columns, self._candidate_index).long()
        event = entry.event
        good = (jet >= 0) & (jet < jets.lengths[event]) & (row >= 0) & (row < candidates[event])
        first = torch.cat([candidates.new_zeros(1), candidates.cumsum(0)])[:-1]
        jet, row = (jet + jets.offsets[:-1][event])[good], (row + first[event])[good]
        order = torch.argsort(jet, stable=True)
        return row[order], torch.bincount(jet, minlength=len(jets.values))


_LENGTHS = frozenset({"d0", "d0_err", "dz", "dz_err"})


def _links(branches: frozenset[str], kind: str) -> tuple[str, str, str] | None:
    """Branches of the jet index and the candidate index, and the name of the candidates."""
    for table in _TABLES[kind]:
        for index in _INDICES:
            for candidate in _CANDIDATES:
                found = (f"{table}_jetIdx", f"{table}_{index}")
                if {*found, f"{candidate}_pdgId", f"{candidate}_mass", f"{kind}_pt"} <= branches:
                    return *found, candidate
    return None
