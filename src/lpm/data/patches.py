r"""Showers as patches: the dense cells of a geometry, cut into blocks of neighbouring rings and sectors.

What generates showers needs rows of equal meaning, not the cells that happened to be hit. So each layer of a geometry
is cut into patches of at most so many sectors and rings, and a shower becomes two collections beside `shower`:

- `layer`, a row a layer, with its energy and its `share` (`lpm.physics.shares`);
- `patch`, a row a patch, with its place, the energy of its layer and those of its cells, NaN where the geometry has no
  cell.

`cut` and `join` go both ways without loss. Patches of several geometries can be numbered one after the other
(`together`), so that one model makes showers in all of them.

Shapes: B showers, L layers, P patches, W cells of a patch, V voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.schema import Collection, Field, Schema
from lpm.data.showers import SHOWER, cells_of, grid_of
from lpm.physics.geometry import Box, Geometry, Planes
from lpm.physics.shares import settled, shares_of

__all__ = ["Patches", "cut_each", "together", "with_shower"]

_LAYER = (
    Field(name="place", kind="count", low=0.0, text="place of the layer, from 0"),
    Field(name="energy", unit="GeV", low=0.0, text="sum of the energies of its cells"),
    Field(name="share", low=0.0, text="first the whole of the incident energy, then of what is left for this layer"),
)


@dataclass(frozen=True)
class Patches:
    """The patches of a geometry.

    Args:
        geometry: Its cells.
        sectors: Most sectors of a patch; in a box, cells along y.
        rings: Most rings of a patch; in a box, cells along x.
        threshold: Smallest energy of a cell that counts, GeV.
        first: Number of the first patch.
        first_layer: Number of the first layer.
        cells: Cells that the rows of a patch have room for; 0 for as many as there can be.

    Raises:
        ValueError: If a patch would have no cell.

    Example:
        >>> from lpm.physics.geometry import Layer
        >>> p = Patches(Geometry("g", (Layer(0, (0.0, 5.0, 9.0, 12.0), 2), Layer(1, (0.0, 5.0), 1))), 2, 2)
        >>> p.voxels.tolist()
        [[0, 1, 3, 4], [2, -1, 5, -1], [6, -1, -1, -1]]
    """

    geometry: Geometry | Box
    sectors: int
    rings: int
    threshold: float = 0.0
    first: int = 0
    first_layer: int = 0
    cells: int = 0

    def __post_init__(self) -> None:
        if self.sectors < 1 or self.rings < 1:
            raise ValueError(f"a patch needs a sector and a ring, got {self.sectors} and {self.rings}")
        if 0 < self.cells < self.sectors * self.rings:
            raise ValueError(f"a patch has up to {self.sectors * self.rings} cells, got room for {self.cells}")

    @property
    def width(self) -> int:
        """W, cells that a row has room for."""
        return self.cells or self.sectors * self.rings

    @cached_property
    def _cylinder(self) -> Geometry:
        """The geometry, a box as layers of rows and columns."""
        return Planes.of(self.geometry) if isinstance(self.geometry, Box) else self.geometry

    @cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Sectors and rings of each layer."""
        return tuple((layer.sectors, layer.rings) for layer in self._cylinder.layers)

    @property
    def sizes(self) -> list[int]:
        """Voxels of each layer."""
        return [sectors * rings for sectors, rings in self.shapes]

    @cached_property
    def voxels(self) -> NDArray[np.int64]:
        """(P, W) voxel of each cell of each patch, ring after ring of sector after sector; -1 for none."""
        rows, first = [], 0
        for (sectors, rings), size in zip(self.shapes, self.sizes, strict=True):
            at = first + np.arange(size).reshape(sectors, rings)
            for around in np.array_split(at, -(-sectors // self.sectors), 0):
                for block in np.array_split(around, -(-rings // self.rings), 1):
                    row = np.full((self.sectors, self.rings), -1)
                    row[: block.shape[0], : block.shape[1]] = block
                    rows.append(np.pad(row.reshape(-1), (0, self.width - row.size), constant_values=-1))
            first += size
        return np.stack(rows)

    @cached_property
    def layers(self) -> NDArray[np.int64]:
        """(P,) place of the layer of each patch."""
        return np.asarray(self.geometry.places[self.voxels[:, 0], 0])

    @cached_property
    def where(self) -> NDArray[np.float64]:
        """(P, 6) where each patch lies, in numbers of order one that mean the same in all geometries.

        Its depth as a share of all layers and of how many; the distance of its first and its last cell from the axis,
        ln(1 + r / 10 mm); and the direction of its middle, of length 1 for one cell and 0 for a whole ring.
        """
        eta, phi, r = self._cylinder.centres.T
        count = len(self.shapes)
        rows = []
        for row, layer in zip(self.voxels, self.layers, strict=True):
            at = row[row >= 0]
            safe = np.maximum(r[at], 1e-9)
            ends = np.log1p(np.array([r[at].min(), r[at].max()]) / 10.0)
            rows.append([(layer + 0.5) / count, 1 / count, *ends, (eta[at] / safe).mean(), (phi[at] / safe).mean()])
        return np.array(rows)

    @property
    def schema(self) -> Schema:
        """`layer` and `patch`; `shower` stays as it is."""
        cells = tuple(Field(name=f"e{i}", unit="GeV", low=0.0, text="energy of a cell") for i in range(self.width))
        place = Field(name="place", kind="count", low=0.0, text="place of the patch in the geometry")
        layer = Field(name="layer", unit="GeV", low=0.0, text="energy of its layer")
        made = Collection(name="patch", fields=(place, layer, *cells))
        return Schema(name="showers", collections=(Collection(name="layer", fields=_LAYER), made))

    def cut(self, batch: Batch) -> Batch:
        """Showers in cells to showers in patches. Cells below the threshold are taken away.

        Raises:
            ValueError: If a cell lies outside the geometry.
        """
        return self.cut_grid(grid_of(batch, self.geometry), batch)

    def cut_grid(self, grid: Tensor, batch: Batch) -> Batch:
        """As `cut`, for cells (B, V) in GeV; of `batch` only the collection `shower` is used."""
        grid = torch.where(grid >= max(self.threshold, torch.finfo(grid.dtype).tiny), grid, 0)
        energy = torch.stack([part.double().sum(1) for part in grid.split_with_sizes(self.sizes, 1)], 1)
        incident = batch.field("shower.energy").values.double()
        shares = shares_of(energy, incident)
        return self.lay_out(batch, energy.to(grid.dtype), shares.to(grid.dtype), self._taken(grid))

    def lay_out(
        self, batch: Batch, energy: Tensor | None = None, share: Tensor | None = None, cells: Tensor | None = None
    ) -> Batch:
        """Rows of layers and patches, NaN where nothing is said.

        Args:
            batch: Of which `shower` is kept.
            energy: (B, L) energies of layers, GeV.
            share: (B, L) shares.
            cells: (B, P, W) energies, GeV.
        """
        shower, count = batch.collections["shower"], len(batch)
        like = shower.values.new_full((), torch.nan)
        shape = (count, len(self.shapes))
        energy, share = (like.expand(shape) if x is None else x for x in (energy, share))
        place = torch.arange(self.first_layer, self.first_layer + shape[1]).to(like.dtype).expand(shape)
        layer = torch.stack([place, energy, share], 2)
        if cells is None:
            cells = torch.where(torch.from_numpy(self.voxels >= 0), 0.0, like).expand(count, -1, -1)
        which = torch.arange(self.first, self.first + len(self.layers)).to(like.dtype).expand(count, -1)
        patch = torch.cat([torch.stack([which, energy[:, torch.from_numpy(self.layers)]], 2), cells], 2)
        rows = {n: Ragged.from_lengths(x.flatten(0, 1), torch.full((count,), x.shape[1]))
                for n, x in (("layer", layer), ("patch", patch))}  # fmt: skip
        schema = Schema(name="showers", collections=(batch.schema["shower"], *self.schema.collections))
        return Batch(schema, {"shower": shower, **rows})

    def grid(self, batch: Batch) -> Tensor:
        """(B, V) energies in GeV of showers in patches."""
        values = batch.collections["patch"].values.view(len(batch), len(self.layers), -1)[:, :, 2:]
        real = torch.from_numpy(self.voxels >= 0)
        out = values.new_zeros(len(batch), self.geometry.voxels)
        out[:, torch.from_numpy(self.voxels[self.voxels >= 0])] = values[:, real]
        return out

    def join(self, batch: Batch) -> Batch:
        """Showers in cells from showers in patches: inverse of `cut`."""
        shower = {f.name: batch.field(f"shower.{f.name}").values for f in batch.schema["shower"].fields}
        return cells_of(self.grid(batch), self.geometry, shower)

    def settle(self, batch: Batch) -> Batch:
        """Showers in patches whose cells add up to the energies of their layers.

        Each layer is scaled to its energy, cells below the threshold are taken away, and the others scaled again; if
        none remains, the largest takes all. A layer whose energy is below the threshold is empty.
        """
        grid, layer = self.grid(batch), batch.field("layer.energy").values.view(len(batch), -1)
        scaled = []
        for part, energy in zip(grid.split_with_sizes(self.sizes, 1), layer.unbind(1), strict=True):
            scaled.append(settled(part.double(), energy.double(), self.threshold))
        cells = torch.cat(scaled, 1).to(grid.dtype)
        energy = torch.stack([part.sum(1) for part in scaled], 1).to(grid.dtype)
        share = shares_of(energy.double(), batch.field("shower.energy").values.double()).to(grid.dtype)
        return self.lay_out(batch, energy, share, self._taken(cells))

    def _taken(self, grid: Tensor) -> Tensor:
        """(B, P, W) cells of patches, NaN for none."""
        taken = grid[:, torch.from_numpy(self.voxels.clip(0))]
        return torch.where(torch.from_numpy(self.voxels >= 0), taken, torch.nan)


def together(many: Sequence[Patches]) -> tuple[Patches, ...]:
    """Patches of several geometries, numbered one after the other, in rows of the same width.

    Raises:
        ValueError: If two geometries share a name.

    Example:
        >>> from lpm.physics.geometry import GEOMETRIES
        >>> a, b = together([Patches(GEOMETRIES["1-photons"], 10, 4), Patches(GEOMETRIES["2"], 16, 3)])
        >>> a.first, a.width, b.first, b.first_layer, b.width
        (0, 48, 15, 5, 48)
    """
    if len({p.geometry.name for p in many}) < len(many):
        raise ValueError(f"expected geometries of different names, got {[p.geometry.name for p in many]}")
    out, first, layer = [], 0, 0
    width = max(p.width for p in many)
    for p in many:
        out.append(replace(p, first=first, first_layer=layer, cells=width))
        first, layer = first + len(p.voxels), layer + len(p.shapes)
    return tuple(out)


def cut_each(many: Sequence[Patches], batch: Batch) -> Batch:
    """Cut showers of several geometries; which each has, `shower.geometry` says, or there is one only.

    Raises:
        ValueError: If showers do not say their geometry, or have one that was not named.
    """
    if len(many) == 1:
        return many[0].cut(batch)
    if "shower.geometry" not in batch.schema:
        raise ValueError("the showers do not say which geometry they have; read them from files of the CaloChallenge")
    labels = batch.schema.field("shower.geometry").labels
    which, parts, done = batch.field("shower.geometry").values, list[Batch](), 0
    place = torch.full((len(batch),), -1)
    for p in many:
        rows = (which == (labels.index(p.geometry.name) if p.geometry.name in labels else -1)).nonzero()[:, 0]
        place[rows] = torch.arange(done, done + len(rows))
        done += len(rows)
        parts.append(p.cut(batch[rows]))
    if len(batch) and int(place.min()) < 0:
        raise ValueError(f"showers of other geometries than {', '.join(p.geometry.name for p in many)}; leave them out")
    return Batch.cat(parts)[place]


def with_shower(batch: Batch, names: Sequence[str]) -> Batch:
    """The showers with the named fields of `shower`, NaN where nothing is known.

    Example:
        >>> from lpm.physics.geometry import Layer
        >>> g = Geometry("g", (Layer(0, (0.0, 5.0), 1),))
        >>> b = with_shower(cells_of(torch.ones(1, 1), g, {"energy": torch.ones(1)}), ["theta"])
        >>> b.schema["shower"].names, bool(b.field("shower.theta").values.isnan().all())
        (('energy', 'theta'), True)
    """
    for name in names:
        if f"shower.{name}" not in batch.schema:
            batch = batch.with_field("shower", SHOWER[name], torch.full((len(batch),), torch.nan))
    return batch
