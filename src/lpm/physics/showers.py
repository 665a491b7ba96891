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

__all__ = ["layers_of"]

_MEV = 1e3
_TINY = 1e-16
"""MeV; keeps layers without energy from a division by zero."""


def layers_of(
    geometry: Geometry, showers: int, event: NDArray[np.int64], voxel: NDArray[np.int64], energy: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
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
    layers, places = len(geometry.layers), geometry.places[:, 0]
    key = event * layers + places[voxel]

    def total(weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        return np.bincount(key, weights, showers * layers).reshape(showers, layers).astype(np.float64)

    sizes = np.array([layer.voxels for layer in geometry.layers])
    energy = _single(energy * _MEV)
    whole = _single(total(energy))
    out = {"energy": whole / _MEV, "sparsity": 1 - total(None) / sizes}
    flat = np.array([layer.sectors == 1 for layer in geometry.layers])
    for name, middles in zip(("eta", "phi", "r"), geometry.centres.T, strict=True):
        x = middles[voxel]
        first = x * energy
        centre = total(first) / (whole + _TINY)
        first *= x
        square = total(first) / (whole + _TINY)
        width = np.sqrt(np.clip(square - centre**2, 0, None))
        if name != "r":
            centre[:, flat], width[:, flat] = np.nan, np.nan
        out[name], out[f"{name}_width"] = centre, width
    return out


def _single(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rounded to single precision."""
    return x.astype(np.float32).astype(np.float64)
