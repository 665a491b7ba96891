"""Showers in boxes of cells as ROOT trees: `shower` (12, 12, 12, 1) holds log10 of the energy in keV, -5 for none.

So are the samples of EM-shower-simulator-with-NN: `primary` is the charge of the particle, `en_in` its energy in keV,
`theta` and `phi` its direction in rad. The first of the three places is the depth.
"""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import torch

from lpm.data.batch import Batch
from lpm.data.io.base import OnBad
from lpm.data.io.root import RootReader, flat
from lpm.data.schema import Schema
from lpm.data.showers import PARTICLES, cells_of, showers_schema
from lpm.physics.geometry import Box

__all__ = ["BoxesReader"]

KEV = 1e-6
"""GeV."""

EMPTY = -5.0
"""What stands for no energy."""

_OF_CHARGE = torch.tensor([PARTICLES.index(name) for name in ("electron", "photon", "positron")], dtype=torch.float32)


class BoxesReader(RootReader):
    """One event is one shower.

    Attributes:
        geometry: Of the cells.
    """

    format = "shower-boxes"
    usual_tree = "h"
    signature = frozenset({"primary", "en_in", "theta", "phi", "shower"})

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        first = ak.to_numpy(self._tree["shower"].array(entry_stop=1))
        if first.ndim != 5:
            raise ValueError(f"{self.path}: showers of shape {first.shape[1:]}, expected (depth, y, x, 1)")
        cells = (first.shape[3], first.shape[2], first.shape[1])
        self.geometry = Box("x".join(map(str, cells)), cells)
        self.schema = showers_schema(self.geometry.axes, ["energy", "theta", "phi", "particle"])

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        arrays = self._tree.arrays(sorted(self.signature), entry_start=start, entry_stop=stop)
        logs = ak.to_numpy(arrays["shower"]).reshape(stop - start, self.geometry.voxels)
        grid = torch.from_numpy(np.where(logs > EMPTY, 10.0**logs * KEV, 0.0).astype(np.float32))
        energy, theta, phi, charge = (flat(arrays[name])[0] for name in ("en_in", "theta", "phi", "primary"))
        shower = {"energy": energy * KEV, "theta": theta, "phi": phi, "particle": _OF_CHARGE[charge.long() + 1]}
        return cells_of(grid, self.geometry, shower).select(schema.paths)
