"""Delphes trees: jets with their constituents, or whole collisions. Lengths are in mm, as in Delphes.

A jet refers to its constituents by the unique number each stored object carries (ROOT's TRefArray). Which branch holds
them depends on the card: `ParticleFlowCandidate`, or `EFlowTrack`, `EFlowPhoton` and `EFlowNeutralHadron`. Jets whose
constituents were not stored can only be read as part of a collision.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.constituents import jets_batch, momenta, type_of_pdg
from lpm.data.fields import COLLISION, collisions_schema, jets_schema
from lpm.data.io.base import OnBad
from lpm.data.io.root import (
    JetsOfCollisionsReader,
    RootReader,
    branches_of,
    counts,
    first_jets,
    flat,
    is_root,
    pick,
    tree_of,
)
from lpm.data.schema import Schema

__all__ = ["DelphesEventsReader", "DelphesJetsReader"]

_FAT = ("JetPUPPIAK8", "JetAK8", "FatJet", "JetPUPPIAK15", "JetAK15")
_THIN = ("JetPUPPI", "Jet")
_TRACKS = ("ParticleFlowCandidate", "EFlowTrack")
_TOWERS = {"EFlowPhoton": 2.0, "EFlowNeutralHadron": 1.0}
"""Calorimeter objects and their index in `PARTICLE_TYPES`."""

_EVENT_FIELDS = {
    "muon": {"pt": "PT", "eta": "Eta", "phi": "Phi", "charge": "Charge", "iso": "IsolationVar", "d0": "D0", "dz": "DZ"},
    "photon": {"pt": "PT", "eta": "Eta", "phi": "Phi", "iso": "IsolationVar"},
    "jet": {"pt": "PT", "eta": "Eta", "phi": "Phi", "mass": "Mass"},
    "met": {"pt": "MET", "phi": "Phi"},
}
_EVENT_FIELDS |= {"electron": _EVENT_FIELDS["muon"], "fatjet": _EVENT_FIELDS["jet"]}
_EVENT_BRANCHES = {
    "muon": ("Muon",),
    "electron": ("Electron",),
    "photon": ("Photon",),
    "jet": ("Jet", "JetPUPPI"),
    "fatjet": ("FatJet", "JetAK8", "JetPUPPIAK8"),
    "met": ("MissingET",),
}


class DelphesEventsReader(RootReader):
    """Reconstructed objects of each collision."""

    format = "delphes-events"
    usual_tree = "Delphes"
    signature = frozenset({"Event"})

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        self._source = {
            f"{name}.{f.name}": f"{prefix}.{_EVENT_FIELDS[name][f.name]}"
            for name, prefixes in _EVENT_BRANCHES.items()
            for prefix in [next((p for p in prefixes if p in self.branches), "")]
            for f in COLLISION[name]
            if prefix and f.name in _EVENT_FIELDS[name] and f"{prefix}.{_EVENT_FIELDS[name][f.name]}" in self.branches
        }
        objects: dict[str, list[str]] = {}
        for path_ in self._source:
            name, _, field = path_.partition(".")
            objects.setdefault(name, []).append(field)
        self.schema = collisions_schema(objects)

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        columns = self.columns([self._source[p] for p in schema.paths], start, stop)
        lengths = {}
        for c in schema.collections:
            lengths[c.name] = counts(columns, [self._source[f"{c.name}.{f}"] for f in c.names], self.path)
        return Batch.build(schema, {p: pick(columns, self._source[p]) for p in schema.paths}, lengths)


class DelphesJetsReader(JetsOfCollisionsReader):
    """Jets with constituents; `tree` names the branch of jets, such as `Jet` or `JetPUPPIAK8`.

    Without a name, the first of the usual branches whose constituents lie in the file, large radii first. One jet is
    one event here; `jet.event` counts the collisions of the file.
    """

    format = "delphes-jets"
    usual_tree = "Delphes"
    signature = frozenset({"Event"})

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, on_bad=on_bad)
        usable = _with_constituents(self._tree, self.branches, (tree,) if tree else (*_FAT, *_THIN))
        if not usable:
            wanted = tree or "any jets"
            raise ValueError(f"{self.path}: no stored constituents of {wanted}; name another branch of jets as tree")
        self._kind = usable[0]
        n = counts(self.columns([f"{self._kind}.PT"], 0, self.entries), [f"{self._kind}.PT"], self.path)
        self.first = first_jets(n)
        particle = ["pt", "deta", "dphi", "energy", "charge", "type"]
        if any(f"{store}.ErrorD0" in self.branches for store in _TRACKS):
            particle += ["d0", "d0_err", "dz", "dz_err"]
        self.schema = jets_schema(particle, ["pt", "eta", "phi", "mass", "energy", "event"])

    @classmethod
    def sniff(cls, path: Path) -> bool:
        """A Delphes tree that holds the constituents of some of its jets."""
        if not is_root(path) or not cls.signature <= branches_of(path).get(cls.usual_tree, frozenset()):
            return False
        tree = tree_of(path, cls.usual_tree)
        return bool(_with_constituents(tree, branches_of(path)[cls.usual_tree], (*_FAT, *_THIN)))

    def collisions(self, start: int, stop: int, schema: Schema) -> Batch:
        """All jets of a range of collisions."""
        kind = self._kind
        names = {"pt": "PT", "eta": "Eta", "phi": "Phi", "mass": "Mass"}
        columns = self.columns([f"{kind}.{n}" for n in names.values()], start, stop)
        jets = Ragged.from_lengths(
            pick(columns, f"{kind}.PT"), counts(columns, [f"{kind}.{n}" for n in names.values()], self.path)
        )
        key, stored = self._stored(start, stop)
        refs = self._tree[f"{kind}.Constituents"].array(entry_start=start, entry_stop=stop)["refs"]
        ref, per_jet = flat(ak.flatten(refs))
        assert per_jet is not None
        jet = Ragged.from_lengths(ref, per_jet).event
        wanted = _key(jets.event[jet], ref)
        order = torch.argsort(key)
        at = order[torch.searchsorted(key[order], wanted).clamp_max(len(key) - 1)] if len(key) else wanted
        good = key[at] == wanted if len(key) else torch.zeros_like(wanted, dtype=torch.bool)
        # Delphes keeps candidates whose transverse momentum it rounded to nothing.
        good &= stored["p4"][at.clamp_max(max(len(key) - 1, 0)), :2].any(1) if len(key) else good
        lengths = torch.bincount(jet[good], minlength=len(jets.values))
        particle = {f: values[at[good]] for f, values in stored.items() if f != "p4"}
        made = {f: pick(columns, f"{kind}.{n}") for f, n in names.items()} | {"event": jets.event + start}
        return jets_batch(schema, stored["p4"][at[good]], lengths, particle, made)

    def _stored(self, first: int, last: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Keys and columns of everything a jet may consist of."""
        parts = [self._store(s, first, last) for s in (*_TRACKS, *_TOWERS) if f"{s}.fUniqueID" in self.branches]
        stored = {f: torch.cat([p[f] for p in parts]) for f in parts[0]}
        return stored.pop("key"), stored

    def _store(self, store: str, first: int, last: int) -> dict[str, Tensor]:
        track = store in _TRACKS
        names = ["fUniqueID", "Eta", "Phi", *(("PT", "Charge", "PID") if track else ("ET", "E"))]
        optional = {"mass": "Mass", "d0": "D0", "d0_err": "ErrorD0", "dz": "DZ", "dz_err": "ErrorDZ"}
        have = {f: n for f, n in optional.items() if track and f"{store}.{n}" in self.branches}
        columns = self.columns([f"{store}.{n}" for n in (*names, *have.values())], first, last)
        x = {n.rpartition(".")[2]: values for n, (values, _) in columns.items()}
        unique = x["fUniqueID"]
        zero = torch.zeros_like(unique)
        rows = Ragged.from_lengths(unique, counts(columns, [f"{store}.{n}" for n in names], self.path))
        if track:
            p4 = momenta(torch.stack([x["PT"], x["Eta"], x["Phi"], x.get("Mass", zero)], 1), "pt_eta_phi_m")
            charge, kind = x["Charge"], type_of_pdg(x["PID"], x["Charge"])
        else:
            p4 = momenta(torch.stack([x["ET"], x["Eta"], x["Phi"], x["E"]], 1), "pt_eta_phi_e")
            charge, kind = zero, torch.full_like(zero, _TOWERS[store])
        out = {"key": _key(rows.event, unique), "p4": p4, "charge": charge, "type": kind}
        for f in ("d0", "d0_err", "dz", "dz_err"):
            out[f] = torch.where(charge == 0, 0.0, x[have[f]]) if f in have else zero
        return out


def _key(event: Tensor, unique: Tensor) -> Tensor:
    """One int64 for each (event, 32-bit unique number)."""
    return event * 2**32 + unique.long()


def _with_constituents(tree: Any, branches: frozenset[str], kinds: tuple[str, ...]) -> list[str]:
    """The kinds of jets of whose constituents 99% lie in the file, judged by its first ten collisions."""
    stores = [s for s in (*_TRACKS, *_TOWERS) if f"{s}.fUniqueID" in branches]
    kinds = tuple(k for k in kinds if f"{k}.Constituents" in branches)
    if not stores or not kinds:
        return []
    stored = set(ak.flatten(ak.concatenate(_unique_numbers(tree, stores), axis=1), axis=None).tolist())
    usable = []
    for kind in kinds:
        refs = ak.flatten(tree[f"{kind}.Constituents"].array(entry_stop=10)["refs"], axis=None).tolist()
        if refs and sum(r in stored for r in refs) >= 0.99 * len(refs):
            usable.append(kind)
    return usable


def _unique_numbers(tree: Any, stores: list[str]) -> list[ak.Array]:
    return [tree[f"{s}.fUniqueID"].array(entry_stop=10) for s in stores]
