"""The door to HDF5: top-quark tagging, JetNet, Aspen Open Jets, and plain arrays of four-momenta.

All are read in slices of rows. Nothing stored in them is unpickled: the column names of the pandas table of the
top-quark-tagging set are recognised in the text of their attribute, or taken from its documentation.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lpm.data.batch import Batch
from lpm.data.constituents import ORDERS, jets_batch, momenta, type_of_pdg
from lpm.data.fields import jets_schema
from lpm.data.io.base import REMEDY, OnBad, Reader, reason
from lpm.data.schema import Schema

__all__ = ["AspenReader", "FourMomentaHdf5Reader", "JetNetReader", "TopTaggingReader"]

_CM = 10.0


class Hdf5Reader(Reader):
    """An HDF5 file of zero-padded jets; subclasses say which arrays they need (`needs`)."""

    needs: frozenset[str]

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        shapes = arrays_of(self.path)
        if missing := self.needs - set(shapes):
            raise ValueError(f"{self.path}: lacks the arrays {', '.join(sorted(missing))}; has {', '.join(shapes)}")
        self._file = h5py.File(self.path, "r")

    @classmethod
    def sniff(cls, path: Path) -> bool:
        """An HDF5 file with the arrays needed."""
        return is_hdf5(path) and cls.needs <= set(arrays_of(path))

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Rows of one array."""
        return np.asarray(self._file[name][start:stop])

    @abstractmethod
    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class TopTaggingReader(Hdf5Reader):
    """The top-quark-tagging reference set (G. Kasieczka et al., Zenodo 2603256): 200 constituents, E, px, py, pz each.

    `tree` is the key of the table, usually `table`.
    """

    format = "top-tagging"
    several = True
    needs = frozenset({"table/table"})

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        self.needs = frozenset({f"{tree or 'table'}/table"})
        super().__init__(path, tree=tree, on_bad=on_bad)
        self._table = self._file[next(iter(self.needs))]
        self._columns = _pandas_columns(self._table)
        if "is_signal_new" not in self._columns or "E_0" not in self._columns:
            raise ValueError(f"{self.path}: a table without the columns E_0 and is_signal_new of the top-tagging set")
        n = sum(bool(re.fullmatch(r"E_\d+", name)) for name in self._columns)
        self._order = [(f"E_{i}", f"PX_{i}", f"PY_{i}", f"PZ_{i}") for i in range(n)]
        self.schema = jets_schema(["pt", "deta", "dphi", "energy"], _JET, ("QCD", "top"))

    @classmethod
    def sniff(cls, path: Path) -> bool:
        """A pandas table with E_0 and is_signal_new."""
        if not super().sniff(path):
            return False
        with h5py.File(path, "r") as file:
            return {"E_0", "is_signal_new"} <= set(_pandas_columns(file["table/table"]))

    def __len__(self) -> int:
        return len(self._table)

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        rows = self._table[start:stop]
        block = {name: np.asarray(rows[name]) for name in rows.dtype.names}
        first, _ = self._columns["E_0"]
        index = np.array([[self._columns[c][1] for c in four] for four in self._order])
        x = torch.from_numpy(block[first][:, index].astype(np.float64))
        name, column = self._columns["is_signal_new"]
        label = torch.from_numpy(block[name].reshape(len(x), -1)[:, column].astype(np.float64))
        p4, lengths = unpadded(x, x[..., 0] != 0)
        return jets_batch(schema, p4[:, [1, 2, 3, 0]], lengths, {}, {"label": label})


class JetNetReader(Hdf5Reader):
    """JetNet (R. Kansal et al., arXiv 2106.11535): one class a file, momenta relative to the jet.

    Constituents have no energy of their own there; it is that of a massless particle. The azimuth of the jet is not
    known. The class is taken from the name of the file, `g30.hdf5` or `t.hdf5`, since nothing inside tells it.
    """

    format = "jetnet"
    needs = frozenset({"particle_features", "jet_features"})
    labels = ("g", "q", "t", "w", "z")

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        shape = self._file["particle_features"].shape
        if len(shape) != 3 or shape[2] != 4:
            raise ValueError(f"{self.path}: particle_features: expected (jets, particles, 4), got {shape}")
        match = re.match(r"([gqtwz])\d*(\.|_|$)", self.path.name)
        self._label = float(self.labels.index(match[1])) if match else float("nan")
        jet = ("pt", "eta", "phi", "mass", "energy")
        self.schema = jets_schema(["pt", "deta", "dphi", "energy"], jet, self.labels)

    def __len__(self) -> int:
        return len(self._file["particle_features"])

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        x = torch.from_numpy(self.rows("particle_features", start, stop).astype(np.float64))
        jet = torch.from_numpy(self.rows("jet_features", start, stop).astype(np.float64))
        rel, lengths = unpadded(x[..., :3], x[..., 3] > 0)
        event = torch.repeat_interleave(torch.arange(len(jet)), lengths)
        pt, eta = rel[:, 2] * jet[event, 0], rel[:, 0] + jet[event, 1]
        p4 = momenta(torch.stack([pt, eta, rel[:, 1]], 1), "pt_eta_phi")
        known = {"pt": jet[:, 0], "eta": jet[:, 1], "mass": jet[:, 2]}
        known |= {"phi": torch.full((len(jet),), torch.nan), "label": torch.full((len(jet),), self._label)}
        return jets_batch(schema, p4, lengths, {"dphi": rel[:, 1]}, known)


class AspenReader(Hdf5Reader):
    """Aspen Open Jets (O. Amram et al., arXiv 2412.10504): 180M jets recorded by CMS in 2016; no labels."""

    format = "aspen"
    needs = frozenset({"jet_kinematics", "PFCands"})

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        shape = self._file["PFCands"].shape
        if len(shape) != 3 or shape[2] < 11:
            raise ValueError(f"{self.path}: PFCands: expected (jets, 150, 11), got {shape}")
        particle = ("pt", "deta", "dphi", "energy", "charge", "type", "d0", "d0_err", "dz", "dz_err", "puppi")
        self._tagging = "jet_tagging" in self._file
        taus = ("tau1", "tau2", "tau3", "tau4") if self._tagging else ()
        self.schema = jets_schema(particle, ("pt", "eta", "phi", "mass", "energy", "sdmass", *taus))

    def __len__(self) -> int:
        return len(self._file["PFCands"])

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        x = torch.from_numpy(self.rows("PFCands", start, stop).astype(np.float64))
        jet = torch.from_numpy(self.rows("jet_kinematics", start, stop).astype(np.float64))
        rows, lengths = unpadded(x, x[..., 3] != 0)
        charge, pdg = rows[:, 8], rows[:, 9]
        # PFNano writes -1 in all four where there is no track: neutrals and some soft charged particles.
        tracked = (charge != 0) & (rows[:, 5] > 0) & (rows[:, 7] > 0)
        track = {f: torch.where(tracked, rows[:, i] * _CM, 0.0) for f, i in _ASPEN_LENGTHS.items()}
        particle = {**track, "charge": charge, "type": type_of_pdg(pdg, charge), "puppi": rows[:, 10]}
        known = {"pt": jet[:, 0], "eta": jet[:, 1], "phi": jet[:, 2], "sdmass": jet[:, 3]}
        if self._tagging:
            tagging = torch.from_numpy(self.rows("jet_tagging", start, stop).astype(np.float64))
            known |= {f"tau{i}": tagging[:, i] for i in range(1, 5)}
        return jets_batch(schema, rows[:, :4], lengths, particle, known)


class FourMomentaHdf5Reader(Hdf5Reader):
    """An array of four-momenta named after its columns: `px_py_pz_e`, `pt_eta_phi_m`, … (jets, particles, columns).

    Jets are zero padded. A second array `label`, `labels` or `y` gives the class of each jet, 0 background, 1 signal.
    """

    format = "momenta-hdf5"
    several = True
    needs = frozenset()

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        there = [n for n in ORDERS if n in self._file]
        if tree is not None and tree not in there:
            raise ValueError(f"{self.path}: no array of four-momenta {tree!r}; there are: {', '.join(there) or 'none'}")
        self._name = tree or next(iter(there), "")
        if not self._name:
            raise ValueError(f"{self.path}: no array named after its columns: {', '.join(ORDERS)}")
        if self._file[self._name].ndim != 3:
            raise ValueError(f"{self.path}: {self._name}: expected (jets, particles, columns)")
        self._label = next((n for n in LABELS if n in self._file), "")
        labels = classes(self._file[self._label][:], self.path) if self._label else ()
        if self._label and len(self._file[self._label]) != len(self):
            raise ValueError(f"{self.path}: {len(self._file[self._label])} labels for {len(self)} jets")
        self.schema = jets_schema(["pt", "deta", "dphi", "energy"], _JET, labels)

    @classmethod
    def sniff(cls, path: Path) -> bool:
        """An HDF5 file with an array named after its columns."""
        return is_hdf5(path) and any(n in arrays_of(path) for n in ORDERS)

    def __len__(self) -> int:
        return len(self._file[self._name])

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        x = torch.from_numpy(self.rows(self._name, start, stop).astype(np.float64))
        rows, lengths = unpadded(x, (x != 0).any(-1))
        known = {}
        if self._label:
            known["label"] = torch.from_numpy(self.rows(self._label, start, stop).astype(np.float64)).reshape(-1)
        return jets_batch(schema, momenta(rows, self._name), lengths, {}, known)


_JET = ("pt", "eta", "phi", "mass", "energy")
_ASPEN_LENGTHS = {"d0": 4, "d0_err": 5, "dz": 6, "dz_err": 7}

LABELS = ("label", "labels", "y")
"""Names of an array that holds the class of each jet."""


def classes(labels: NDArray[Any], path: Path) -> tuple[str, ...]:
    """Names for the classes 0, 1, … of an array of labels: background and signal if there are two.

    Raises:
        ValueError: If a jet has not one label, or a label is no whole number ≥ 0.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 and labels.size != len(labels):
        raise ValueError(
            f"{path}: labels: expected the number of the class of each jet, got shape {labels.shape}; store its argmax"
        )
    labels = labels.reshape(-1)
    if not len(labels):
        return ()
    if (labels < 0).any() or (labels != np.rint(labels)).any():
        raise ValueError(f"{path}: labels: expected whole numbers from 0, got {labels[labels != np.rint(labels)][:1]}")
    top = int(labels.max())
    return ("background", "signal") if top < 2 else tuple(f"class{i}" for i in range(top + 1))


def unpadded(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (N, F) and lengths (B,) from padded (B, M, F) and mask (B, M)."""
    return x[mask], mask.sum(1)


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 files do."""
    with path.open("rb") as f:
        return f.read(8) == b"\x89HDF\r\n\x1a\n"


def arrays_of(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of all arrays of an HDF5 file, by their path.

    Raises:
        ValueError: If the file is damaged or cut short.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            shapes[name] = item.shape

    try:
        with h5py.File(path, "r") as file:
            file.visititems(note)
    except Exception as error:
        raise ValueError(f"{path}: unreadable HDF5 file: {reason(error)}; {REMEDY}") from error
    return shapes


def _pandas_columns(table: Any) -> dict[str, tuple[str, int]]:
    """{column: (block, place in it)} of a table written by pandas.

    Each block lists its columns in an attribute `values_block_0_kind`, a pickle in its text form, where names stand
    between quotes or at the end of a line `V…`. We look for names only, and run nothing.
    """
    out: dict[str, tuple[str, int]] = {}
    for block in table.dtype.names or ():
        raw = table.attrs.get(f"{block}_kind")
        if raw is None:
            continue
        text = raw if isinstance(raw, str) else np.asarray(raw).tobytes().decode("latin-1")
        names = re.findall(r"(?:^|[\n(a])V([A-Za-z_]\w*)\n|'([A-Za-z_]\w*)'", text)
        width = int(np.prod(table.dtype[block].shape, dtype=int))
        found = [a or b for a, b in names]
        if len(found) != width:
            found = _documented(width)
        out |= {name: (block, i) for i, name in enumerate(found)}
    return out


def _documented(width: int) -> list[str]:
    """Columns of the published files, by the width of the block; empty if it has another."""
    if width == 2:
        return ["ttv", "is_signal_new"]
    if width == 804:
        four = [f"{q}_{i}" for i in range(200) for q in ("E", "PX", "PY", "PZ")]
        return [*four, "truthE", "truthPX", "truthPY", "truthPZ"]
    return []
