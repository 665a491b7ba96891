"""What classifiers of showers see: features, cells, or cells with the energies of layers taken out.

- `high`: the vector of features of FPD (`lpm.metrics.calorimeter.features`);
- `low`: log10 of the incident energy in MeV, and each voxel over it;
- `normalised`: the same with each voxel over the energy of its layer, and log10 of those energies;
- `logarithms`: log10 of each voxel in MeV, 0.1 where there is none, as neighbours are sought in.

Shapes: N showers, V voxels, L layers, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.showers import grid_of, voxels_of
from lpm.metrics.calorimeter import features
from lpm.metrics.shower_classifiers import Rows, Table
from lpm.physics.geometry import Geometry

__all__ = ["Level", "both", "inputs", "logarithms"]

Level = Literal["low", "high", "normalised"]

_MEV = 1e3


def inputs(batch: Batch, geometry: Geometry, level: Level) -> Rows:
    """Inputs of all showers of a sample.

    Args:
        batch: Showers as described by the task.
        geometry: Theirs.
        level: See the head of this module.
    """
    if level == "high":
        return Table(torch.from_numpy(features(batch, geometry)).float())
    return _Cells.of(batch, geometry, level == "normalised")


def both(a: Rows, b: Rows) -> Rows:
    """The showers of two samples, one after the other."""
    return _Joined(a, b)


def logarithms(batch: Batch, geometry: Geometry) -> Tensor:
    """(N, V) log10 of each voxel in MeV, −1 where it is empty.

    Args:
        batch: Showers in cells.
        geometry: Theirs.
    """
    grid = grid_of(batch, geometry) * _MEV
    return torch.where(grid > 0, grid, 0.1).log10()


@dataclass(frozen=True, eq=False)
class _Cells:
    """Dense showers, made a few at a time from cells: voxel (int32) and energy in MeV."""

    voxels: Ragged
    energies: Tensor
    incident: Tensor
    geometry: Geometry
    normalised: bool

    @classmethod
    def of(cls, batch: Batch, geometry: Geometry, normalised: bool) -> _Cells:
        voxels = Ragged(voxels_of(batch, geometry).int(), batch.collections["cell"].offsets)
        energies, incident = (batch.field(f).values.float() * _MEV for f in ("cell.energy", "shower.energy"))
        return cls(voxels, energies, incident, geometry, normalised)

    def __len__(self) -> int:
        return len(self.incident)

    def take(self, index: Tensor) -> Tensor:
        first, lengths = self.voxels.offsets[:-1][index], self.voxels.lengths[index]
        event = torch.repeat_interleave(torch.arange(len(index)), lengths)
        row = torch.arange(len(event)) + (first - lengths.cumsum(0) + lengths)[event]
        flat = torch.zeros(len(index) * self.geometry.voxels)
        flat.index_add_(0, event * self.geometry.voxels + self.voxels.values[row], self.energies[row])
        grid, incident = flat.view(len(index), -1), self.incident[index][:, None]
        if not self.normalised:
            return torch.cat([incident.log10(), grid / incident], 1)
        place = torch.from_numpy(self.geometry.places[:, 0])
        energy = grid.new_zeros(len(grid), len(self.geometry.layers)).index_add_(1, place, grid)
        return torch.cat([incident.log10(), grid / (energy[:, place] + 1e-16), (energy + 1e-8).log10()], 1)


@dataclass(frozen=True, eq=False)
class _Joined:
    """Two samples as one."""

    a: Rows
    b: Rows

    def __len__(self) -> int:
        return len(self.a) + len(self.b)

    def take(self, index: Tensor) -> Tensor:
        first = index < len(self.a)
        parts = [rows.take(i) for rows, i in ((self.a, index[first]), (self.b, index[~first] - len(self.a))) if len(i)]
        out = torch.empty(len(index), parts[0].shape[1])
        made = torch.cat(parts)
        out[torch.cat([first.nonzero()[:, 0], (~first).nonzero()[:, 0]])] = made
        return out
