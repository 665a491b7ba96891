"""The standard fields of calorimeter showers: one definition of each, shared by readers, the simulator and generators.

One event is one shower. Its hits are the rows of `cell`, each at a place of a geometry (`layer`, `r`, `alpha`, or
`layer`, `x`, `y` in a box), or at a point in space; `shower` holds what came in. A cell that saw nothing is no row, so
the dense array of a shower and its cells say the same: `cells_of` and `grid_of` go both ways without loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.schema import Collection, Field, Schema
from lpm.physics.geometry import GEOMETRIES, Box, Geometry

__all__ = [
    "CELL",
    "DATA_SETS",
    "LAYER",
    "PARTICLES",
    "SHOWER",
    "ShowerSet",
    "cells_of",
    "grid_of",
    "points_schema",
    "showers_schema",
    "voxels_of",
]

PARTICLES = ("photon", "electron", "positron", "pion")
"""What starts a shower; a pion is a charged one."""

_PLACE = {
    "layer": "place of the layer along the shower, from 0",
    "r": "place of the ring, from the axis",
    "alpha": "place of the sector, from -pi",
    "x": "place along x, from 0",
    "y": "place along y, from 0",
}

CELL = {
    **{name: Field(name=name, kind="count", low=0.0, text=text) for name, text in _PLACE.items()},
    "energy": Field(name="energy", unit="GeV", low=0.0, text="energy deposited in the cell"),
}
"""Fields of a hit."""

POINT = (
    *(Field(name=name, unit="mm", text=f"{name} of the cell's centre") for name in ("x", "y", "z")),
    CELL["layer"],
    CELL["energy"],
)
"""Fields of a hit in a cloud of points; `layer` is the experiment's number there."""

SHOWER = {
    f.name: f
    for f in (
        Field(name="energy", unit="GeV", low=0.0, text="energy of the incident particle"),
        Field(name="theta", unit="rad", text="polar angle of the particle"),
        Field(name="phi", unit="rad", kind="angle", low=-3.1416, high=3.1416, text="azimuth of the particle"),
        Field(name="particle", kind="category", labels=PARTICLES, text="incident particle"),
        Field(name="geometry", kind="category", labels=tuple(GEOMETRIES), text="binning of the cells"),
        Field(name="total", unit="GeV", low=0.0, text="sum of the energies of all cells"),
        Field(name="extrapolated", kind="flag", text="generated at an energy beyond those of the training"),
    )
}
"""Fields of a shower as a whole."""

LAYER = (
    Field(name="number", kind="count", low=0.0, text="number of the layer"),
    Field(name="energy", unit="GeV", low=0.0, text="sum of the energies of its cells"),
    Field(name="sparsity", low=0.0, high=1.0, text="share of its cells without energy"),
    Field(name="eta", unit="mm", text="centre of energy along eta; not defined with one sector"),
    Field(name="eta_width", unit="mm", low=0.0, text="spread of the energy along eta"),
    Field(name="phi", unit="mm", text="centre of energy along phi; not defined with one sector"),
    Field(name="phi_width", unit="mm", low=0.0, text="spread of the energy along phi"),
    Field(name="r", unit="mm", low=0.0, text="centre of energy in r"),
    Field(name="r_width", unit="mm", low=0.0, text="spread of the energy in r"),
)
"""What is seen of a layer of a cylinder: the observables of the CaloChallenge, a row a layer."""


@dataclass(frozen=True, kw_only=True)
class ShowerSet:
    """One of the data sets of the CaloChallenge (arXiv 2410.21611).

    Args:
        geometry: Its cells.
        particle: Out of `PARTICLES`.
        threshold: Smallest energy of a cell that counts, GeV.
        energies: Incident energies in GeV and how many showers of each there are; empty if they lie between `lowest`
            and `highest`, evenly in their logarithm.
        lowest: Smallest incident energy, GeV.
        highest: Largest incident energy, GeV.
    """

    geometry: Geometry
    particle: str
    threshold: float
    energies: Mapping[float, int]
    lowest: float
    highest: float


def _powers(last: int) -> dict[float, int]:
    """15 powers of two from 256 MeV, 10,000 showers each, fewer of the highest four."""
    return {2.0**i * 1e-3: n for i, n in enumerate([10_000] * 11 + [5_000, 3_000, 2_000, last], start=8)}


DATA_SETS: dict[str, ShowerSet] = {
    "1-photons": ShowerSet(geometry=GEOMETRIES["1-photons"], particle="photon", threshold=1e-3,
                           energies=_powers(1_000), lowest=0.256, highest=4194.304),
    "1-pions": ShowerSet(geometry=GEOMETRIES["1-pions"], particle="pion", threshold=1e-3,
                         energies=_powers(800), lowest=0.256, highest=4194.304),
    "2": ShowerSet(geometry=GEOMETRIES["2"], particle="electron", threshold=0.5e-6 / 0.033, energies={},
                   lowest=1.0, highest=1000.0),
    "3": ShowerSet(geometry=GEOMETRIES["3"], particle="electron", threshold=0.5e-6 / 0.033, energies={},
                   lowest=1.0, highest=1000.0),
}  # fmt: skip
"""The data sets of the CaloChallenge by name."""


def showers_schema(axes: Sequence[str], shower: Sequence[str]) -> Schema:
    """Schema of showers in cells, from the names of standard fields.

    Args:
        axes: Places of a cell, as `Geometry.axes` or `Box.axes`.
        shower: Names out of `SHOWER`.

    Example:
        >>> showers_schema(("layer", "r", "alpha"), ["energy"]).paths
        ('cell.layer', 'cell.r', 'cell.alpha', 'cell.energy', 'shower.energy')
    """
    cell = Collection(name="cell", fields=(*(CELL[a] for a in axes), CELL["energy"]))
    return Schema(name="showers", collections=(cell, _whole(shower)))


def points_schema(shower: Sequence[str] = ()) -> Schema:
    """Schema of showers as clouds of points.

    Example:
        >>> points_schema(["total"]).paths[:3]
        ('cell.x', 'cell.y', 'cell.z')
    """
    return Schema(name="showers", collections=(Collection(name="cell", fields=POINT), _whole(shower)))


def _whole(names: Sequence[str]) -> Collection:
    return Collection(name="shower", fields=tuple(SHOWER[n] for n in names), single=True)


def cells_of(grid: Tensor, geometry: Geometry | Box, shower: Mapping[str, Tensor]) -> Batch:
    """Showers in cells from showers as rows of voxels.

    Args:
        grid: (B, V) energies in GeV. Zeros make no cell; anything else does, NaN included.
        geometry: With V voxels.
        shower: {name out of `SHOWER`: (B,)}.

    Returns:
        Showers in the precision of `grid`.

    Raises:
        ValueError: If there are not V voxels.

    Example:
        >>> from lpm.physics.geometry import Layer
        >>> g = Geometry("g", (Layer(0, (0.0, 5.0, 10.0), 2),))
        >>> b = cells_of(torch.tensor([[0.0, 2.0, 1.0, 0.0]]), g, {"energy": torch.tensor([4.0])})
        >>> b.collections["cell"].values.tolist()
        [[0.0, 1.0, 0.0, 2.0], [0.0, 0.0, 1.0, 1.0]]
    """
    if grid.ndim != 2 or grid.shape[1] != geometry.voxels:
        raise ValueError(f"expected (showers, {geometry.voxels}) voxels of geometry {geometry.name}, "
                         f"got {tuple(grid.shape)}; name the right data set")  # fmt: skip
    hit = grid != 0
    places = torch.from_numpy(geometry.places).to(grid.dtype)[hit.nonzero()[:, 1]]
    cells = Ragged.from_lengths(torch.cat([places, grid[hit][:, None]], 1), hit.sum(1))
    whole = torch.stack([values.to(grid.dtype) for values in shower.values()], 1)
    schema = showers_schema(geometry.axes, list(shower))
    return Batch(schema, {"cell": cells, "shower": Ragged.single(whole)})


def grid_of(batch: Batch, geometry: Geometry | Box) -> Tensor:
    """Showers as rows of voxels: inverse of `cells_of`. Cells at the same place add up.

    Args:
        batch: Showers in cells.
        geometry: Their geometry.

    Returns:
        (B, V) energies in GeV.

    Raises:
        ValueError: If a cell lies outside the geometry, or the cells have other places.

    Example:
        >>> from lpm.physics.geometry import Layer
        >>> g, x = Geometry("g", (Layer(0, (0.0, 5.0), 2),)), torch.tensor([[0.5, 0.0], [0.0, 0.25]])
        >>> torch.equal(grid_of(cells_of(x, g, {"energy": torch.ones(2)}), g), x)
        True
    """
    cells = batch.collections["cell"]
    place = voxels_of(batch, geometry)
    out = torch.zeros(len(batch) * geometry.voxels, dtype=cells.values.dtype)
    out.index_add_(0, cells.event * geometry.voxels + place, batch.field("cell.energy").values)
    return out.view(len(batch), geometry.voxels)


def voxels_of(batch: Batch, geometry: Geometry | Box) -> Tensor:
    """(N,) voxel of each cell.

    Raises:
        ValueError: If a cell lies outside the geometry, or the cells have other places.
    """
    if missing := [a for a in geometry.axes if f"cell.{a}" not in batch.schema]:
        raise ValueError(f"the cells have no {missing[0]}, which geometry {geometry.name} needs; name another geometry")
    return torch.from_numpy(geometry.voxel(*(batch.field(f"cell.{a}").values.numpy() for a in geometry.axes)))
