"""Calorimeter showers: HDF5 files of the CaloChallenge, ROOT trees of boxes, JSON of cells in space.

The challenge's files hold `incident_energies` (N, 1) and `showers` (N, V) in MeV, gzipped, a row a shower, r fastest,
then α, then the layers (arXiv 2410.21611). They are read and written in slices, so that a file may be larger than the
memory. Which geometry they have, their number of voxels tells, or `tree`: the name of a data set, or the path of a
binning XML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lpm.data.batch import Batch
from lpm.data.io.base import OnBad, Reader
from lpm.data.io.hdf5 import Hdf5Reader
from lpm.data.io.new_hdf5 import new_hdf5
from lpm.data.schema import Schema
from lpm.data.showers import DATA_SETS, PARTICLES, cells_of, grid_of, points_schema, showers_schema, voxels_of
from lpm.physics.geometry import GEOMETRIES, Box, Geometry, Planes, geometry_of, read_binning

__all__ = ["CaloChallengeReader", "FastCaloSimReader", "named_geometry", "write_showers"]

MEV = 1e-3
"""GeV."""

_SLICE = 16_000_000
"""Voxels read at one go: 64 MB."""

_BLOCK = 200_000
"""Voxels handed out at one go as dense showers: 1.6 MB."""


def named_geometry(name: str) -> Geometry:
    """A geometry of the CaloChallenge by name, a box by its cells along x, y and z, or that of the XML at a path.

    An XML of the challenge's own is known by its layers, whatever the name of the file: what belongs to the data set,
    such as its threshold, then holds.

    Raises:
        ValueError: If there is neither, or the XML is no binning.

    Example:
        >>> named_geometry("1-pions").voxels, named_geometry("12x12x10").voxels
        (533, 1440)
    """
    if name in GEOMETRIES:
        return GEOMETRIES[name]
    if found := re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})x([1-9]\d{0,3})", name):
        x, y, z = (int(n) for n in found.groups())
        return Planes.of(Box(name, (x, y, z)))
    path = Path(name)
    if not path.is_file():
        raise ValueError(f"no geometry {name!r}: expected one of {', '.join(GEOMETRIES)}, cells such as 12x12x12, or "
                         "the path of a binning XML")  # fmt: skip
    try:
        # A file named like a data set does not become one by its name.
        own = path.name if path.stem in GEOMETRIES else path.stem
        read = read_binning(path.read_text(encoding="utf-8"), own)
    except UnicodeDecodeError:
        raise ValueError(f"{path}: no text; expected a binning XML") from None
    return next((known for known in GEOMETRIES.values() if known.layers == read.layers), read)


class CaloChallengeReader(Hdf5Reader):
    """Showers of the CaloChallenge and of whoever writes in its form.

    A shower without any energy is an event without cells. Negative or missing energies are faults of their event.

    Args:
        path: The file.
        tree: Name of a data set, or path of a binning XML; None for the data set with so many voxels.
        on_bad: What `batches` does with events that cannot be used.
        dtype: Of what is read. In double precision the numbers of the file in MeV can be had back to the last digit,
            which the comparison with published numbers needs.

    Attributes:
        geometry: Of the cells.
    """

    format = "calochallenge"
    several = True
    needs = frozenset({"incident_energies", "showers"})

    def __init__(
        self,
        path: str | Path,
        *,
        tree: str | None = None,
        on_bad: OnBad = "stop",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        self._dtype = dtype
        self._showers, energies = self._file["showers"], self._file["incident_energies"]
        voxels = int(np.prod(self._showers.shape[1:]))
        if self._showers.ndim < 2 or int(np.prod(energies.shape)) != len(self._showers):
            raise ValueError(f"{self.path}: showers {self._showers.shape} with energies {energies.shape}; expected "
                             "(N, voxels) and (N, 1)")  # fmt: skip
        self.geometry = named_geometry(tree) if tree else self._known(voxels)
        if voxels != self.geometry.voxels:
            raise ValueError(f"{self.path}: {voxels:,} voxels a shower, expected {self.geometry.voxels:,} of geometry "
                             f"{self.geometry.name}; name the right data set or binning")  # fmt: skip
        self._constant = {}
        if self.geometry.name in DATA_SETS:
            self._constant["particle"] = PARTICLES.index(DATA_SETS[self.geometry.name].particle)
            self._constant["geometry"] = list(GEOMETRIES).index(self.geometry.name)
        self.schema = showers_schema(self.geometry.axes, ["energy", *self._constant])

    def _known(self, voxels: int) -> Geometry:
        try:
            return geometry_of(voxels)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None

    def __len__(self) -> int:
        return len(self._showers)

    @property
    def groups(self) -> list[tuple[int, int]]:
        """Slices of as many showers as are 64 MB of voxels."""
        step = max(1, _SLICE // self.geometry.voxels)
        return [(i, min(i + step, len(self))) for i in range(0, len(self), step)]

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        shower = {"energy": self._gev("incident_energies", start, stop, 1)[:, 0]}
        shower |= {name: torch.full((stop - start,), float(i)) for name, i in self._constant.items()}
        grid = self._gev("showers", start, stop, self.geometry.voxels)
        return cells_of(grid, self.geometry, shower).select(schema.paths)

    def dense(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All showers as rows of voxels (n, V), and incident energies (n,), in GeV, a few at a time.

        Yields:
            As many showers as a processor's cache holds: what follows takes half the time of large slices.

        Raises:
            ValueError: If one of them cannot be used, whatever `on_bad` says.
        """
        small = max(1, _BLOCK // self.geometry.voxels)
        for start, stop in self.groups:
            raw = self.rows("showers", start, stop).reshape(stop - start, self.geometry.voxels)
            incident = self._gev("incident_energies", start, stop, 1)[:, 0]
            # One sum finds what is no number; the search for it may take its time.
            if not np.isfinite(raw.sum(dtype=np.float64)) or not raw.min() >= 0 or not bool((incident > 0).all()):
                self._checked(self.read(start, stop), start)
                raise ValueError(
                    f"{self.path}: entries {start} to {stop - 1}: energies add up to no number; mend the file"
                )
            for i in range(0, stop - start, small):
                block = raw[i : i + small].astype(np.float64)
                block *= MEV
                yield torch.from_numpy(block).to(self._dtype), incident[i : i + small]

    def _gev(self, name: str, start: int, stop: int, width: int) -> Tensor:
        """Rows of an array in GeV, rounded once."""
        rows = self.rows(name, start, stop).reshape(stop - start, width)
        return torch.from_numpy(rows.astype(np.float64) * MEV).to(self._dtype)

    def _checked(self, batch: Batch, start: int) -> Batch:
        if self.on_bad != "keep" and "shower.energy" in batch.schema:
            energy = batch.field("shower.energy").values
            good = energy > 0
            if self.on_bad == "stop" and not bool(good.all()):
                row = int((~good).nonzero()[0])
                raise ValueError(f"{self.path}: entry {start + row}: incident energy is {float(energy[row]):g} GeV, "
                                 f"expected a number above 0; {self.remedy}")  # fmt: skip
            self.skipped += int((~good).sum())
            batch = batch[good]
        if self.on_bad == "stop" and all(f"cell.{n}" in batch.schema for n in (*self.geometry.axes, "energy")):
            self._refuse_voxels(batch, start)
        return super()._checked(batch, start)

    def _refuse_voxels(self, batch: Batch, start: int) -> None:
        """Name the first faulty energy by its place in the file's row, not by that among the cells of its shower."""
        energy = batch.field("cell.energy").values
        wrong = (~(energy.isfinite() & (energy >= 0))).nonzero()
        if len(wrong):
            row = int(wrong[0])
            event, voxel = int(batch.collections["cell"].event[row]), int(voxels_of(batch, self.geometry)[row])
            raise ValueError(f"{self.path}: entry {start + event}: voxel {voxel} is {float(energy[row]):g} GeV, "
                             f"expected a finite number ≥ 0; {self.remedy}")  # fmt: skip


def write_showers(
    path: str | Path, batches: Iterable[Batch], geometry: Geometry | Box, attributes: Mapping[str, str] | None = None
) -> int:
    """Write showers in the form of the CaloChallenge. Only a whole file appears under `path`.

    Args:
        path: The file to write or replace.
        batches: Showers in cells of the geometry, with `shower.energy`. A field `shower.extrapolated` becomes an array
            `extrapolated` (N, 1) beside those of the challenge.
        geometry: Theirs.
        attributes: Text to keep with the file, such as where the showers come from.

    Returns:
        Number of showers written.

    Raises:
        ValueError: If a batch has other cells or no incident energy, or the file cannot be written.
    """
    count, voxels = 0, geometry.voxels
    step = max(1, 200_000 // voxels)
    with new_hdf5(path) as (file, check):
        file.attrs.update(attributes or {})
        options: dict[str, Any] = {"dtype": "f4", "compression": "gzip", "compression_opts": 4, "shuffle": True}
        energies = file.create_dataset("incident_energies", (0, 1), maxshape=(None, 1), chunks=(8192, 1), **options)
        showers = file.create_dataset("showers", (0, voxels), maxshape=(None, voxels), chunks=(step, voxels), **options)
        flags = None
        for batch in batches:
            incident = batch.field("shower.energy").values
            if "shower.extrapolated" in batch.schema:
                flags = flags or file.create_dataset(
                    "extrapolated", (0, 1), maxshape=(None, 1), dtype="u1", chunks=(8192, 1)
                )
                flags.resize(count + len(batch), 0)
                flags[count:] = batch.field("shower.extrapolated").values[:, None].byte().numpy()
            for data, values in ((energies, incident[:, None]), (showers, grid_of(batch, geometry))):
                data.resize(count + len(batch), 0)
                data[count:] = values.double().numpy() / MEV
            count += len(batch)
            check()
    return count


class FastCaloSimReader(Reader):
    """Cells of one shower as JSON, a list of objects with x, y, z in mm and `cell_energy` in MeV.

    This is how the display of ATLAS' FastCaloSim saves a shower. What came in is not known.
    """

    format = "fastcalosim"

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        cells = json.loads(self.path.read_text(encoding="utf-8"))
        self._cells = np.array(
            [[c["x"], c["y"], c["z"], c["layer"], c["cell_energy"] * MEV] for c in cells], np.float32
        )
        self.schema = points_schema(["total"])

    @classmethod
    def sniff(cls, path: Path) -> bool:
        """Text that begins with a list of cells with energies."""
        with path.open("rb") as file:
            head = file.read(400).lstrip()
        return head.startswith(b"[") and b'"cell_energy"' in head

    def __len__(self) -> int:
        return 1

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        cells = torch.from_numpy(self._cells)[: len(self._cells) * (stop - start)]
        columns = {f"cell.{f.name}": cells[:, i] for i, f in enumerate(self.schema["cell"].fields)}
        columns["shower.total"] = cells[:, -1].sum().repeat(stop - start)
        whole = Batch.build(self.schema, columns, {"cell": torch.full((stop - start,), len(self._cells))})
        return whole.select(schema.paths)
