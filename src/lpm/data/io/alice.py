"""Tables of tracks of the ALICE time projection chamber and silicon tracker, as numpy archives.

An array `x` (tracks, columns) with `columns` naming them as in `pT`, `dEdxITS`, `dEdxTPC`, and `species` (tracks): 0
electron, 1 pion, 2 kaon, 3 proton. A detector that did not measure has an energy loss of zero.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch

from lpm.data.batch import Batch, Ragged
from lpm.data.io.base import OnBad
from lpm.data.io.npz import NpzReader, is_npz, names_of
from lpm.data.schema import Schema
from lpm.data.tracks import LAYERS, tracks_schema

__all__ = ["AliceTracksReader"]

SPECIES = ("e", "pi", "K", "p")
"""Names of the numbers in `species`."""

_TRACK = {"pT": "pt", "eta": "eta", "phi": "phi", "p": "p"}
_TPC = {
    "dEdxTPC": "dedx", "NclusterPIDTPC": "samples", "NclusterTPC": "clusters", "NcrossedRowsTPC": "crossed",
    "NFindableTPC": "findable",
}  # fmt: skip
_NEEDED = (*_TRACK, *_TPC, "dEdxITS", "ITSclsMap")


class AliceTracksReader(NpzReader):
    """One event is one track; a detector without a measurement has no row."""

    format = "alice-tracks"

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        self._columns = [str(n) for n in self.arrays["columns"][:]]
        shape = self.arrays["x"].shape
        missing = [n for n in _NEEDED if n not in self._columns]
        if missing or len(shape) != 2 or shape[1] != len(self._columns):
            raise ValueError(f"{self.path}: x {shape}: expected (tracks, {len(self._columns)}) with columns "
                             f"{', '.join(_NEEDED)}; missing are {', '.join(missing) or 'none'}")  # fmt: skip
        labelled = "species" in self.arrays
        if labelled and self.arrays["species"].shape != shape[:1]:
            raise ValueError(f"{self.path}: {self.arrays['species'].shape} species for {shape[0]} tracks")
        detectors = {"its": ["dedx", *LAYERS], "tpc": list(_TPC.values())}
        self.schema = tracks_schema(["pt", "eta", "phi", "p"], detectors, SPECIES if labelled else ())

    @classmethod
    def sniff(cls, path: Path) -> bool:
        """An archive of x and its columns."""
        return is_npz(path) and {"x", "columns"} <= set(names_of(path))

    def __len__(self) -> int:
        return len(self.arrays["x"])

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        x = dict(zip(self._columns, self.tensor("x", start, stop).unbind(1), strict=True))
        track = {short: x[name] for name, short in _TRACK.items()}
        track["phi"] = torch.remainder(track["phi"] + math.pi, 2 * math.pi) - math.pi
        if "species" in self.arrays:
            track["species"] = self.tensor("species", start, stop)
        silicon = {n: (x["ITSclsMap"].long() >> i) & 1 for i, n in enumerate(LAYERS)}
        rows = {
            "track": (track, None),
            "its": ({"dedx": x["dEdxITS"], **silicon}, x["dEdxITS"] > 0),
            "tpc": ({short: x[name] for name, short in _TPC.items()}, x["dEdxTPC"] > 0),
        }
        found = {}
        for c in schema.collections:
            columns, seen = rows[c.name]
            values = torch.stack([columns[n].float() for n in c.names], 1)
            found[c.name] = Ragged.single(values) if seen is None else Ragged.from_lengths(values[seen], seen.long())
        return Batch(schema, found)
