r"""Energies of calorimeter cells as features of their patch, standardised for the energy of their layer.

The energy :math:`v` of a cell becomes :math:`x = (\ln(v / v_0) - \mu) / \sigma`, where :math:`v_0` is the threshold.
Cells without energy, which would be a spike in the distribution, are spread over :math:`-2 < \ln(v / v_0) < -1`; what
is generated below 0 is no energy. A flow is smooth, and in the gap between it may err without harm: without it, far too
many cells come to lie just above the threshold. Mean and deviation belong to a cell of a place and follow the energy
:math:`E_l` of its layer, piecewise linearly in its logarithm: a flow that starts from unit Gaussians then knows the
average shower of any energy already, and has only its fluctuations left to learn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.patches import Patches, together
from lpm.data.transfer import sent
from lpm.tokens.base import Tokenizer, Tokens, gather_fields

__all__ = ["Cells", "CellsConfig"]

STEP = 0.75
"""Between two knots in the logarithm of the layer's energy."""

KNOTS = 26
"""Up to 10⁸ times the threshold."""

GAP = 1.0
"""Between cells without energy, which fill one unit of the logarithm, and the threshold."""

FEWEST = 20.0
"""Fewer rows at a knot tell no deviation: it takes that of the nearest knot with more."""


@dataclass(frozen=True, kw_only=True)
class CellsConfig:
    """The cells of patches at fixed places (`lpm.data.patches`).

    Args:
        patches: How the geometry is cut; of several geometries, as `lpm.data.patches.together` numbers them.
        collection: Name of the collection.
        place: Field that says which patch it is, from 0.
        layer: Field of the energy of the layer, GeV.
        clip: Features are kept within ± this many standard deviations.

    Raises:
        ValueError: If there are no patches, they have no threshold, or they are not numbered one after the other.
    """

    patches: tuple[Patches, ...]
    collection: str = "patch"
    place: str = "place"
    layer: str = "layer"
    clip: float = 8.0

    def __post_init__(self) -> None:
        if not self.patches or min(p.threshold for p in self.patches) <= 0:
            raise ValueError(f"cells of {self.collection}: expected patches with a threshold above 0 GeV, got none")
        if [_numbers(p) for p in self.patches] != [_numbers(p) for p in together(self.patches)]:
            raise ValueError(f"cells of {self.collection}: number the patches of all geometries with `together`")

    def build(self) -> Cells:
        """The tokenizer, not yet fitted."""
        return Cells(self)


class Cells(Tokenizer):
    """Features of cells, of which those that a place does not have are 0 and not `real`; so are empty layers."""

    def __init__(self, config: CellsConfig) -> None:
        super().__init__()
        self.config, self.collection = config, config.collection
        many = config.patches
        self.names = (config.place, config.layer, *(f"e{i}" for i in range(many[0].width)))
        self.paths = tuple(f"{config.collection}.{n}" for n in self.names)
        self.width, self.places = many[0].width, sum(len(p.voxels) for p in many)
        where = torch.cat([torch.from_numpy(p.where) for p in many]).float()
        self.known = 2 + where.shape[1]
        self.mean: Tensor
        self.std: Tensor
        self.exists: Tensor
        self.where: Tensor
        self.threshold: Tensor
        self.register_buffer("mean", torch.zeros(self.places, KNOTS, self.width))
        self.register_buffer("std", torch.ones(self.places, KNOTS, self.width))
        self.register_buffer("exists", torch.cat([torch.from_numpy(p.voxels >= 0) for p in many]), persistent=False)
        self.register_buffer("where", where, persistent=False)
        threshold = torch.cat([torch.full((len(p.voxels),), p.threshold) for p in many])
        self.register_buffer("threshold", threshold, persistent=False)

    def fit(self, batches: Iterable[Batch]) -> Cells:
        """Mean and deviation of each cell at each knot, in one pass."""
        c = self.config
        n = torch.zeros(self.places * KNOTS, 1, dtype=torch.float64)
        first, second = (torch.zeros(self.places * KNOTS, self.width, dtype=torch.float64) for _ in range(2))
        seen = torch.zeros(self.places, dtype=torch.bool)
        for batch in batches:
            place_T, layer_T, cell_TW = self._rows(batch)
            seen[place_T] = True
            u_TW = self._logarithm(cell_TW).double().nan_to_num(0.0)
            knot_T, part_T = self._knots(layer_T)
            for i, weight_T in ((0, 1 - part_T), (1, part_T)):
                weight_T1 = torch.where(layer_T >= 1, weight_T, 0).double()[:, None]
                at_T = place_T * KNOTS + knot_T + i
                n.index_add_(0, at_T, weight_T1)
                first.index_add_(0, at_T, weight_T1 * u_TW)
                second.index_add_(0, at_T, weight_T1 * u_TW**2)
        if not bool(seen.all()):
            raise ValueError(
                f"cannot fit cells of {c.collection}: the data hold no row at place {int((~seen).nonzero()[0])}"
            )
        mean = first / n.clamp_min(1e-9)
        std = (second / n.clamp_min(1e-9) - mean**2).clamp_min(0).sqrt().clamp_min(0.1)
        shape = (self.places, KNOTS, self.width)
        nearest = _nearest(n.view(self.places, KNOTS) >= FEWEST)[:, :, None].expand(shape)
        self.mean.copy_(mean.view(shape).gather(1, nearest))
        self.std.copy_(std.view(shape).gather(1, nearest))
        return self

    def _rows(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """(T,) places, (T,) energies of layers and (T, W) of cells, in units of the threshold.

        Raises:
            ValueError: If a place is not one of the tokenizer's.
        """
        values = gather_fields(batch, self.collection, self.names).values
        place_T = values[:, 0].long()
        if place_T.device.type == "cpu" and len(place_T) and int(place_T.max()) >= self.places:
            raise ValueError(f"{self.paths[0]} reaches {int(place_T.max())}, expected places below {self.places}; "
                             "name the geometry that the model was made for")  # fmt: skip
        relative_TF = values[:, 1:] / self.threshold[place_T, None].to(values)
        return place_T, relative_TF[:, 0].nan_to_num(0.0), relative_TF[:, 1:]  # not known yet is as empty

    def _logarithm(self, cell_TW: Tensor) -> Tensor:
        u_TW = cell_TW.clamp_min(1e-30).log()
        below_TW = sent(torch.rand(u_TW.shape), u_TW.device).to(u_TW)
        return torch.where(u_TW < 0, -GAP - below_TW, u_TW)

    def _knots(self, layer_T: Tensor) -> tuple[Tensor, Tensor]:
        """(T,) knot below the energy of each layer, and how far the way to the next it is."""
        x_T = (layer_T.clamp_min(1).log() / STEP).clamp(0, KNOTS - 1.001)
        return x_T.floor().long(), x_T.frac()

    def _constants(self, place_T: Tensor, layer_T: Tensor) -> tuple[Tensor, Tensor]:
        """(T, W) means and deviations."""
        knot_T, part_T = self._knots(layer_T)
        part_T1 = part_T[:, None]
        mean_TW, std_TW = (
            (1 - part_T1) * x[place_T, knot_T] + part_T1 * x[place_T, knot_T + 1] for x in (self.mean, self.std)
        )
        return mean_TW, std_TW

    def encode(self, batch: Batch) -> Tokens:
        """Tokens with features, what is known of the layer, places, and which features are real.

        Cells that are not known make features of 0, the mean.
        """
        place_T, layer_T, cell_TW = self._rows(batch)
        mean_TW, std_TW = self._constants(place_T, layer_T)
        real_TW = self.exists[place_T] & (layer_T >= 1)[:, None]
        x_TW = ((self._logarithm(cell_TW) - mean_TW) / std_TW).clamp(-self.config.clip, self.config.clip)
        x_TW = torch.where(real_TW, x_TW.nan_to_num(0.0), 0.0)
        offsets = batch.collections[self.collection].offsets
        return Tokens(offsets, features=x_TW, known=self._known(place_T, layer_T), place=place_T, real=real_TW)

    def _known(self, place_T: Tensor, layer_T: Tensor) -> Tensor:
        u_T = layer_T.clamp_min(1).log()
        energy_T2 = torch.stack([u_T / 4 - 2, (layer_T < 1).to(u_T.dtype)], 1)
        return torch.cat([energy_T2, self.where[place_T].to(u_T.dtype)], 1)

    def decode(self, tokens: Tokens, generator: torch.Generator | None = None) -> Ragged:
        """Values (T, 2 + W): place, energy of the layer and of its cells, NaN where there is none."""
        assert tokens.features is not None
        assert tokens.known is not None
        assert tokens.place is not None
        layer_T = torch.where(tokens.known[:, 1] > 0, 0.0, ((tokens.known[:, 0] + 2) * 4).exp())
        mean_TW, std_TW = self._constants(tokens.place, layer_T)
        u_TW = tokens.features.clamp(-self.config.clip, self.config.clip) * std_TW + mean_TW
        # Nothing holds more than its layer; and so far beyond it that exp would overflow, nothing is meant.
        u_TW = torch.minimum(u_TW, layer_T.clamp_min(1).log()[:, None])
        cell_TW = torch.where((u_TW >= 0) & (layer_T >= 1)[:, None], u_TW.exp(), 0)
        unit_T1 = self.threshold[tokens.place, None].to(cell_TW)
        energy_TW = torch.where(self.exists[tokens.place], cell_TW * unit_T1, torch.nan)
        place_T1 = tokens.place[:, None].to(cell_TW)
        return Ragged(torch.cat([place_T1, layer_T[:, None] * unit_T1, energy_TW], 1), tokens.offsets)


def _numbers(patches: Patches) -> tuple[int, int, int]:
    return patches.first, patches.first_layer, patches.width


def _nearest(good: Tensor) -> Tensor:
    """(P, K) nearest knot of each that is good; itself where none is."""
    k = torch.arange(good.shape[1])
    far = (k[:, None] - k[None]).abs() + torch.where(good[:, None], 0, 10 * len(k))
    return torch.where(good.any(1)[:, None], far.argmin(2), k[None])
