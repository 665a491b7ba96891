"""Numpy archives: the EnergyFlow quark/gluon jets, and arrays of four-momenta named after their columns.

Members of an archive are read row by row from the zip stream, so that memory does not grow with the file, and arrays of
Python objects (pickles) are refused.
"""

from __future__ import annotations

import math
import zipfile
from abc import abstractmethod
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray

from lpm.data.batch import Batch, Ragged
from lpm.data.constituents import ORDERS, charge_of_pdg, jets_batch, mass_of_pdg, momenta, type_of_pdg
from lpm.data.fields import jets_schema
from lpm.data.io.base import REMEDY, OnBad, Reader, reason
from lpm.data.io.hdf5 import LABELS, classes, unpadded
from lpm.data.schema import Schema

__all__ = ["EnergyFlowReader", "FourMomentaNpzReader"]

_JET = ("pt", "eta", "phi", "mass", "energy")


class Member:
    """Rows of one array in an archive.

    Args:
        archive: The open archive.
        name: Name of the array.

    Raises:
        ValueError: If it is an array of objects or in Fortran order.
    """

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self._file: IO[bytes] = archive.open(f"{name}.npy")
        try:
            version = npy.read_magic(self._file)
            header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            self.shape, fortran, self.dtype = header(self._file)
            if self.dtype.hasobject or (fortran and len(self.shape) > 1):
                raise ValueError(f"array {name}: expected plain numbers in C order, got {self.dtype}")
        except Exception:
            self._file.close()
            raise
        self._start = self._file.tell()

    def close(self) -> None:
        """Let go of the stream."""
        self._file.close()

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(len(self))
        width = math.prod(self.shape[1:])
        size = width * self.dtype.itemsize
        if self._file.tell() != self._start + start * size:  # a seek, even to here, would end the check of the CRC
            self._file.seek(self._start + start * size)
        raw = self._file.read((stop - start) * size)
        if len(raw) != (stop - start) * size:
            raise ValueError("array ends early")
        return np.frombuffer(raw, self.dtype).reshape(stop - start, *self.shape[1:])


class NpzReader(Reader):
    """An open archive; subclasses read its arrays (`arrays`)."""

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        self._zip = _open(self.path)
        self.arrays: dict[str, Member] = {}
        try:
            for name in _names(self._zip):
                self.arrays[name] = Member(self._zip, name)
        except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
            raise ValueError(f"{self.path}: unreadable npz: {reason(error)}; {REMEDY}") from error

    @abstractmethod
    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""

    def tensor(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows of one array as float64."""
        return torch.from_numpy(self.arrays[name][start:stop].astype(np.float64))

    def close(self) -> None:
        """Let go of the file: first of the streams, for the archive stays open as long as one of them is."""
        for member in getattr(self, "arrays", {}).values():
            member.close()
        if hasattr(self, "_zip"):
            self._zip.close()

    def __del__(self) -> None:
        self.close()


class EnergyFlowReader(NpzReader):
    """EnergyFlow quark and gluon jets (P. Komiske, E. Metodiev, J. Thaler, arXiv 1810.05165).

    `X` (jets, particles, 4) holds pt, rapidity, azimuth and PDG code, zero padded; `y` is 1 for quarks. Masses follow
    from the codes, so that E = m_T cosh y and p_z = m_T sinh y.
    """

    format = "energyflow"

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        x, y = self.arrays["X"].shape, self.arrays["y"].shape
        if len(x) != 3 or x[2] != 4 or y != x[:1]:
            raise ValueError(f"{self.path}: expected X (jets, particles, 4) and y (jets), got {x} and {y}")
        self.schema = jets_schema(["pt", "deta", "dphi", "energy", "charge", "type"], _JET, ("gluon", "quark"))

    @classmethod
    def sniff(cls, path: Path) -> bool:
        """An archive of X and y."""
        return is_npz(path) and {"X", "y"} <= set(names_of(path))

    def __len__(self) -> int:
        return len(self.arrays["X"])

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        x = self.tensor("X", start, stop)
        rows, lengths = unpadded(x, x[..., 0] != 0)
        pt, y, phi, pdg = rows.unbind(1)
        transverse = torch.hypot(pt, mass_of_pdg(pdg))
        p4 = torch.stack([pt * phi.cos(), pt * phi.sin(), transverse * y.sinh(), transverse * y.cosh()], 1)
        charge = charge_of_pdg(pdg)
        particle = {"charge": charge, "type": type_of_pdg(pdg, charge)}
        return jets_batch(schema, p4, lengths, particle, {"label": self.tensor("y", start, stop)})


class FourMomentaNpzReader(NpzReader):
    """An array of four-momenta named after its columns, as in `px_py_pz_e` or `pt_eta_phi_m`.

    Either padded with zeros, (jets, particles, columns), or flat, (particles, columns), with `offsets` (jets + 1). An
    array `label`, `labels` or `y` gives the class of each jet, 0 background, 1 signal.
    """

    format = "momenta-npz"

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        self._name = next((n for n in ORDERS if n in self.arrays), "")
        if not self._name:
            raise ValueError(f"{self.path}: no array named after its columns: {', '.join(ORDERS)}")
        self._offsets: torch.Tensor | None = None
        shape = self.arrays[self._name].shape
        if len(shape) == 2:
            self._offsets = self._read_offsets(shape[0])
        elif len(shape) != 3:
            raise ValueError(f"{self.path}: {self._name}: expected 2 or 3 dimensions, got {shape}")
        self._label = next((n for n in LABELS if n in self.arrays), "")
        if self._label and len(self.arrays[self._label]) != len(self):
            raise ValueError(f"{self.path}: {len(self.arrays[self._label])} labels for {len(self)} jets")
        labels = classes(self.arrays[self._label][:], self.path) if self._label else ()
        self.schema = jets_schema(["pt", "deta", "dphi", "energy"], _JET, labels)

    def _read_offsets(self, n: int) -> torch.Tensor:
        if "offsets" not in self.arrays:
            raise ValueError(f"{self.path}: flat {self._name} needs an array offsets (jets + 1)")
        offsets = torch.from_numpy(self.arrays["offsets"][:].astype(np.int64))
        try:
            return Ragged(torch.empty(n), offsets).offsets
        except ValueError as error:
            raise ValueError(f"{self.path}: {reason(error)}") from error

    @classmethod
    def sniff(cls, path: Path) -> bool:
        """An archive with an array named after its columns."""
        return is_npz(path) and any(n in names_of(path) for n in ORDERS)

    def __len__(self) -> int:
        return len(self.arrays[self._name]) if self._offsets is None else len(self._offsets) - 1

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        if self._offsets is None:
            x = self.tensor(self._name, start, stop)
            rows, lengths = unpadded(x, (x != 0).any(-1))
        else:
            bounds = self._offsets[start : stop + 1]
            rows, lengths = self.tensor(self._name, int(bounds[0]), int(bounds[-1])), bounds.diff()
        known = {"label": self.tensor(self._label, start, stop).reshape(-1)} if self._label else {}
        return jets_batch(schema, momenta(rows, self._name), lengths, {}, known)


def is_npz(path: Path) -> bool:
    """Whether a file begins as zip archives do and is called so, or holds numpy arrays."""
    with path.open("rb") as f:
        if f.read(4) != b"PK\x03\x04":
            return False
        f.seek(30)
        return path.suffix == ".npz" or b".npy" in f.read(256)


def names_of(path: Path) -> list[str]:
    """Names of the arrays of an archive.

    Raises:
        ValueError: If the file is damaged or cut short.
    """
    with _open(path) as archive:
        return _names(archive)


def _names(archive: zipfile.ZipFile) -> list[str]:
    return [n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")]


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{path}: unreadable npz: {reason(error)}; {REMEDY}") from error
