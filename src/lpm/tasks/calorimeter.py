"""Calorimeter showers: what describes them, and how generated ones are judged.

`describe` adds to showers in cells what the CaloChallenge compares: a collection `layer`, one row a layer, and the sum
`shower.total`. They are computed once, by the same code for generated, simulated and measured showers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.schema import Collection, Schema
from lpm.data.showers import CELL, DATA_SETS, LAYER, SHOWER, cells_of, showers_schema, voxels_of
from lpm.metrics.calorimeter import METRICS, judge
from lpm.metrics.estimate import Estimate
from lpm.physics.geometry import GEOMETRIES, Geometry
from lpm.physics.showers import layers_of, layers_of_grid
from lpm.tasks.base import Task

__all__ = ["CALORIMETER", "describe", "describe_grid", "geometry_in", "threshold_of"]


def threshold_of(geometry: Geometry) -> float:
    """Energy in GeV below which a cell of a data set of the challenge does not count; 0 for other geometries."""
    return DATA_SETS[geometry.name].threshold if geometry.name in DATA_SETS else 0.0


def describe(batch: Batch, geometry: Geometry, threshold: float | None = None) -> Batch:
    """Add what follows from the cells of showers: `layer.energy`, `layer.eta`, …, `shower.total`.

    Args:
        batch: Showers in cells of the geometry.
        geometry: Theirs.
        threshold: Cells below it are taken away first, GeV; None for what the data set of this geometry prescribes.

    Returns:
        The showers with the remaining cells.

    Raises:
        ValueError: If a cell lies outside the geometry.
    """
    if threshold is None:
        threshold = threshold_of(geometry)
    cells = batch.collections["cell"]
    energy = batch.field("cell.energy").values
    # As the cells: the same number in single precision.
    kept = (energy >= torch.tensor(threshold, dtype=energy.dtype)) & (energy > 0)
    counts = torch.zeros(len(batch), dtype=torch.int64).index_add_(0, cells.event, kept.long())
    cells = Ragged.from_lengths(cells.values[kept], counts)
    batch = Batch(batch.schema, {**batch.collections, "cell": cells})
    found = layers_of(
        geometry, len(batch), cells.event.numpy(), voxels_of(batch, geometry).numpy(), energy[kept].double().numpy()
    )
    rows = _rows(found, geometry, energy.dtype)
    schema: Schema = batch.schema.replace(Collection(name="layer", fields=LAYER))
    total = Ragged(energy[kept].double(), cells.offsets).sum().to(energy.dtype)
    whole, names = batch.collections["shower"], batch.schema["shower"].names
    keep = [i for i, name in enumerate(names) if name != "total"]
    whole = whole.with_values(torch.cat([whole.values[:, keep], total[:, None]], 1))
    fields = (*(schema["shower"].fields[i] for i in keep), SHOWER["total"])
    shower = Collection(name="shower", fields=fields, single=True)
    return Batch(schema.replace(shower), {**batch.collections, "layer": rows, "shower": whole})


def describe_grid(
    grid: Tensor, incident: Tensor, geometry: Geometry, threshold: float | None = None, *, cells: bool = True
) -> Batch:
    """Describe showers as rows of voxels.

    Args:
        grid: (B, V) energies in GeV.
        incident: (B,) energies of the incident particles, GeV.
        geometry: Of V voxels.
        threshold: As for `describe`.
        cells: Whether to keep the places of the cells; else `cell.energy` alone, in a fraction of the time.

    Returns:
        What `describe` gives, of `shower` the energies only. Sums are those of the challenge to the last digit.
    """
    if threshold is None:
        threshold = threshold_of(geometry)
    lowest = torch.tensor(threshold, dtype=grid.dtype)
    kept = grid >= lowest if threshold > 0 else grid > 0
    grid = grid * kept
    if cells:
        hits = cells_of(grid, geometry, {"energy": incident}).collections["cell"]
        cell = showers_schema(geometry.axes, ["energy"])["cell"]
    else:
        hit = torch.from_numpy(grid.numpy()[kept.numpy()])  # twice as fast as the same in torch
        hits, cell = Ragged.from_lengths(hit[:, None], kept.sum(1)), Collection(name="cell", fields=(CELL["energy"],))
    values = grid.double().numpy()
    total = torch.from_numpy((values * 1e3).astype(np.float32).sum(1).astype(np.float64) / 1e3)
    shower = Ragged.single(torch.stack([incident.to(grid.dtype), total.to(grid.dtype)], 1))
    whole = Collection(name="shower", fields=(SHOWER["energy"], SHOWER["total"]), single=True)
    schema = Schema(name="showers", collections=(cell, whole, Collection(name="layer", fields=LAYER)))
    rows = _rows(layers_of_grid(geometry, values), geometry, grid.dtype)
    return Batch(schema, {"cell": hits, "shower": shower, "layer": rows})


def _rows(found: Mapping[str, NDArray[np.float64]], geometry: Geometry, dtype: torch.dtype) -> Ragged:
    """Rows of the collection `layer` from observables (B, L)."""
    count = len(found["energy"])
    numbers = np.tile([float(layer.number) for layer in geometry.layers], (count, 1))
    columns = [torch.from_numpy({**found, "number": numbers}[f.name]).reshape(-1) for f in LAYER]
    lengths = torch.full((count,), len(geometry.layers))
    return Ragged.from_lengths(torch.stack(columns, 1).to(dtype), lengths)


def geometry_in(batch: Batch) -> Geometry:
    """The geometry that showers say they have, in `shower.geometry`.

    Raises:
        ValueError: If they do not say, or differ.
    """
    if "shower.geometry" in batch.schema:
        found = set(batch.field("shower.geometry").values.tolist())
        if len(found) == 1 and found <= set(range(len(GEOMETRIES))):
            return GEOMETRIES[tuple(GEOMETRIES)[int(found.pop())]]
    raise ValueError("the showers do not name one geometry; read them from a file of one data set of the CaloChallenge")


def _prepare(batch: Batch) -> Batch:
    return describe(batch, geometry_in(batch))


def _evaluate(predicted: Batch, truth: Batch | None, seed: int) -> dict[str, Estimate]:
    """Separations of all observables, and FPD and KPD where there are enough showers."""
    if truth is None:
        raise ValueError("calorimeter compares two samples; name the file of true showers as the third argument")
    geometry = geometry_in(truth)
    if geometry_in(predicted) != geometry:
        raise ValueError(
            f"generated showers have the binning {geometry_in(predicted).name}, true ones {geometry.name}; "
            "compare showers of one binning"
        )
    return judge(describe(predicted, geometry), describe(truth, geometry), geometry, METRICS, seed=seed)


CALORIMETER = Task(
    name="calorimeter",
    text="Do generated showers look like true ones?",
    prepare=_prepare,
    evaluate=_evaluate,
)
