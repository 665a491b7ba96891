"""An electromagnetic calorimeter, spot by spot: showers in square cells, energies around tracks, clusters of photons.

A shower is made of spots of equal energy, each at a depth and a distance from the axis that follow the profiles of
Grindhammer and Peters (`lpm.sim.shower_profiles`). The sum of a shower fluctuates by the stochastic and constant terms,
each cell by its noise. A cluster is a cell above its eight neighbours, with these; cells of two clusters are shared in
the ratio of the cells in their middles.

Shapes: B showers, G grids, C cells along a side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, uniform_filter

from lpm.sim.calorimeter_card import Material
from lpm.sim.flash_card import Lead
from lpm.sim.shower_profiles import electromagnetic_shape, radii

__all__ = ["around", "clusters", "deposit"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_SPOTS = 1_000_000
"""Spots made together: 8 MB a column."""

_CONTAINED = 0.93
"""Share of a shower in its nine cells, on average."""


def deposit(
    energy: Array, place: Array, grid: Index, grids: int, cells: int, card: Lead, rng: np.random.Generator,
    breadth: Array | None = None,
) -> Array:  # fmt: skip
    """(G, C, C) energies in GeV of cells of grids, without noise.

    Args:
        energy: (B,) of each shower, GeV.
        place: (B, 2) x and y of its axis from the corner of its grid, mm.
        grid: (B,) which grid it falls on; rising.
        grids: G.
        cells: C.
        card: The calorimeter.
        rng: Source of all chance.
        breadth: (B,) factor on all distances from the axis, or None for one.
    """
    out = np.zeros(grids * cells * cells)
    number = rng.poisson(energy / card.grain)
    spread = np.hypot(card.resolution / np.sqrt(np.maximum(energy, 0.05)), card.constant)
    grain = card.grain * np.maximum(1 + spread * rng.standard_normal(len(energy)), 0.0)
    material = Material(critical=card.critical, charge=card.charge, moliere=(card.moliere,), sampling=card.sampling,
                        response=card.response)  # fmt: skip
    high, alpha = electromagnetic_shape(energy, material, rng)
    breadth = np.ones(len(energy)) if breadth is None else breadth
    starts = np.concatenate([[0], np.cumsum(number)])
    at = 0
    while at < len(energy):
        stop = max(at + 1, int(np.searchsorted(starts, starts[at] + _SPOTS, side="right")) - 1)
        owner = np.repeat(np.arange(at, stop), number[at:stop])
        depth = rng.standard_gamma(alpha[owner]) * (high / (alpha - 1))[owner]
        core, tail, share = (r[:, 0] for r in radii((depth / high[owner])[:, None], energy[owner], material))
        u = rng.random(len(owner))
        radius = np.where(rng.random(len(owner)) < share, core, tail) * np.sqrt(u / (1 - u))
        radius *= card.moliere * breadth[owner]
        turn = rng.uniform(-np.pi, np.pi, len(owner))
        x = np.floor((place[owner, 0] + radius * np.cos(turn)) / card.cell)
        y = np.floor((place[owner, 1] + radius * np.sin(turn)) / card.cell)
        kept = (depth < card.depth) & (x >= 0) & (x < cells) & (y >= 0) & (y < cells)
        cell = ((grid[owner] * cells + x) * cells + y)[kept].astype(np.int64)
        out += np.bincount(cell, grain[owner[kept]], len(out))
        at = stop
    return out.reshape(grids, cells, cells)


def around(grid: Array, place: Array, card: Lead) -> Array:
    """(G,) energy in the nine cells around a point of each grid, corrected for what lies beyond.

    Args:
        grid: (G, C, C) energies, GeV.
        place: (G, 2) from the corner, mm, at least one cell from the edge.
        card: The calorimeter.
    """
    middle = np.clip(np.floor(place / card.cell).astype(np.int64), 1, grid.shape[1] - 2)
    total = np.zeros(len(grid))
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            total += grid[np.arange(len(grid)), middle[:, 0] + i, middle[:, 1] + j]
    return total / _CONTAINED


def clusters(grid: Array, card: Lead) -> tuple[Index, Array]:
    """Grid of each cluster, and (K, 4) its energy in GeV, x, y from the corner and width in mm; falling in energy.

    Args:
        grid: (G, C, C) energies with noise, GeV.
        card: The calorimeter.
    """
    highest = maximum_filter(grid, size=(1, 3, 3), mode="constant", cval=-np.inf)
    found = (grid == highest) & (grid > card.seed)
    found[:, [0, -1], :] = found[:, :, [0, -1]] = False
    seeds = np.where(found, grid, 0.0)
    rivals = 9 * uniform_filter(seeds, size=(1, 3, 3), mode="constant")
    g, i, j = np.nonzero(found)
    own = grid[g, i, j]
    energy, first, second = np.zeros(len(g)), np.zeros((len(g), 2)), np.zeros((len(g), 2))
    weight = np.zeros(len(g))
    parts = []
    for a in (-1, 0, 1):
        for b in (-1, 0, 1):
            e = np.maximum(grid[g, i + a, j + b], 0) * own / np.maximum(rivals[g, i + a, j + b], own)
            parts.append((e, np.stack([i + a + 0.5, j + b + 0.5], 1) * card.cell))
            energy += e
    for e, middle in parts:
        w = np.maximum(0.0, 4.0 + np.log(np.maximum(e / energy, 1e-9)))
        weight += w
        first += w[:, None] * middle
        second += (e / energy)[:, None] * middle**2
    mean = sum((e / energy)[:, None] * middle for e, middle in parts)
    width = np.sqrt(np.maximum((second - mean**2).sum(1), 0.0))
    rows = np.concatenate([(energy / _CONTAINED)[:, None], first / weight[:, None], width[:, None]], 1)
    order = np.lexsort((-rows[:, 0], g))
    return g[order], rows[order]
