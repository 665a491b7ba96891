r"""What is seen of a shower, layer by layer: energy, sparsity, centres and widths, as the CaloChallenge defines them.

With the energies :math:`E_v` of the cells of a layer and the middles :math:`x_v` of their bins,

.. math:: E = \sum_v E_v, \quad \mathrm{EC}_x = \frac{\sum_v x_v E_v}{E + \epsilon}, \quad
          w_x = \sqrt{\max\left(\frac{\sum_v x_v^2 E_v}{E + \epsilon} - \mathrm{EC}_x^2, 0\right)}

for x = η, φ, r (arXiv 2410.21611, section 3). The sparsity is the share of the cells without energy. The challenge's
energies and their sums are in MeV and in single precision, its other sums in double precision. So are they here, since
that decides on which side a shower falls whose centre or width is the edge of a bin but for rounding: a single cell, or
two with equal energies.

Shapes: N cells, B showers, L layers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lpm.physics.geometry import Geometry

__all__ = ["layers_of", "layers_of_grid"]

Array = NDArray[np.float64]

_MEV = 1e3
_DIRECTIONS = ("eta", "phi", "r")
_TINY = 1e-16
"""MeV; keeps layers without energy from a division by zero."""


def layers_of(
    geometry: Geometry, showers: int, event: NDArray[np.int64], voxel: NDArray[np.int64], energy: Array
) -> dict[str, Array]:
    """Observables of all layers from the cells of B showers.

    Args:
        geometry: Of the cells.
        showers: B.
        event: (N,) shower of each cell.
        voxel: (N,) place of each cell.
        energy: (N,) its energy above 0, GeV.

    Returns:
        `energy` (GeV), `sparsity`, and in mm `eta`, `phi`, `r`, `eta_width`, `phi_width`, `r_width`, each (B, L). What
        a layer of one sector cannot tell, η and φ, is NaN.

    Example:
        >>> from lpm.physics.geometry import Layer
        >>> g = Geometry("g", (Layer(0, (0.0, 2.0, 4.0), 1),))
        >>> found = layers_of(g, 1, np.array([0, 0]), np.array([0, 1]), np.array([3.0, 1.0]))
        >>> {k: found[k].item() for k in ("energy", "sparsity", "r")}
        {'energy': 4.0, 'sparsity': 0.0, 'r': 1.5}
    """
    layers = len(geometry.layers)
    key = event * layers + geometry.places[voxel, 0]

    def total(weights: Array | None) -> Array:
        return np.bincount(key, weights, showers * layers).reshape(showers, layers).astype(np.float64)

    energy = _single(energy * _MEV)
    moments = {}
    for name, middles in zip(_DIRECTIONS, geometry.centres.T, strict=True):
        x = middles[voxel]
        first = x * energy
        moments[name] = total(first), total(x * first)
    return _observables(geometry, total(None), total(energy), moments)


def layers_of_grid(geometry: Geometry, grid: Array) -> dict[str, Array]:
    """The same from (B, V) showers as rows of voxels, in GeV: for dense showers one product of matrices a layer.

    The energies of layers are added up in single precision in the order of the voxels, as the challenge does, which
    decides whether the largest of a sample lies within the last bin of its histogram.

    Args:
        geometry: Of V voxels.
        grid: (B, V) energies, 0 where there is none.

    Example:
        >>> from lpm.physics.geometry import Layer
        >>> g = Geometry("g", (Layer(0, (0.0, 2.0, 4.0), 1),))
        >>> layers_of_grid(g, np.array([[3.0, 1.0]]))["r"].item()
        1.5
    """
    shape = len(grid), len(geometry.layers)
    counts, energy = np.empty(shape), np.empty(shape)
    moments = {name: (np.empty(shape), np.empty(shape)) for name in _DIRECTIONS}
    for i, (layer, first) in enumerate(zip(geometry.layers, geometry.first, strict=True)):
        part = slice(first, first + layer.voxels)
        single = (grid[:, part] * _MEV).astype(np.float32)
        counts[:, i], energy[:, i] = np.count_nonzero(single, axis=1), single.sum(1)
        middles = geometry.centres[part]
        sums = single.astype(np.float64) @ np.concatenate([middles, middles**2], 1)
        for k, name in enumerate(_DIRECTIONS):
            moments[name][0][:, i], moments[name][1][:, i] = sums[:, k], sums[:, k + 3]
    return _observables(geometry, counts, energy, moments)


def _observables(
    geometry: Geometry, counts: Array, energy: Array, moments: dict[str, tuple[Array, Array]]
) -> dict[str, Array]:
    """From the number of cells with energy, its sum in MeV and its first and second moments, all (B, L)."""
    whole = _single(energy)
    flat = np.array([layer.sectors == 1 for layer in geometry.layers])
    out = {"energy": whole / _MEV, "sparsity": 1 - counts / np.array([layer.voxels for layer in geometry.layers])}
    for name, (first, second) in moments.items():
        centre, square = first / (whole + _TINY), second / (whole + _TINY)
        width = np.sqrt(np.clip(square - centre**2, 0, None))
        if name != "r":
            centre[:, flat], width[:, flat] = np.nan, np.nan
        out[name], out[f"{name}_width"] = centre, width
    return out


def _single(x: Array) -> Array:
    """Rounded to single precision."""
    return x.astype(np.float32).astype(np.float64)
