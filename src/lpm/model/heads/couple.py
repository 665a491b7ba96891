r"""How likely is a shower? A coupling flow on its voxels, with the exact likelihood as loss.

Half of the features, chosen at random once and for all, decide how each of the others is mapped by a monotonic spline;
the next coupling takes the halves the other way round, and so on (Dinh et al., arXiv 1605.08803, eq. 7; splines of
Durkan et al., arXiv 1906.04032; for showers CaloFlow, arXiv 2106.05285, and CaloINN, arXiv 2312.09290). Couplings map
data :math:`x` to :math:`z` of a unit Gaussian, and with :math:`n` real features the loss is

.. math:: -\frac{1}{n} \Big[ \ln \mathcal{N}(z; 0, 1) + \ln \Big|\det \frac{\partial z}{\partial x}\Big| \Big].

Features that a shower does not have are 0, stay 0 and are left out of the sum. The inverse costs as much as the map.

Shapes: B showers, V voxels, C context, M moved features, R parameters of a spline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lpm.model.heads.dense import DenseHead, Net, noise
from lpm.model.heads.spline import parameters_of, spline
from lpm.tokens import Tokenizer

__all__ = ["Couple", "CoupleConfig"]


@dataclass(frozen=True, kw_only=True)
class CoupleConfig:
    """A coupling flow of the cells of all patches.

    Args:
        of: Collection of the patches.
        given: Collections that are known.
        couplings: Their number, even.
        hidden: Width of the network of each.
        depth: Its residual blocks.
        bins: Pieces of a spline.
        reach: Standard deviations within which splines act.
        seed: Of the halves.

    Raises:
        ValueError: If the number of couplings is odd, or a size is not above 0.
    """

    of: str
    given: tuple[str, ...]
    couplings: int = 8
    hidden: int = 128
    depth: int = 1
    bins: int = 8
    reach: float = 6.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.couplings < 2 or self.couplings % 2 or min(self.hidden, self.bins - 1) < 1 or self.reach <= 0:
            raise ValueError(f"couplings of {self.of}: expected an even number of them, hidden > 0, bins > 1 and "
                             f"reach > 0, got {self}")  # fmt: skip

    def build(self, width: int, tokenizers: dict[str, Tokenizer]) -> Couple:
        """The head, for a backbone of the given width."""
        return Couple(self, width, tokenizers[self.of])


class Couple(DenseHead):
    """Couplings, and which half each moves."""

    def __init__(self, config: CoupleConfig, width: int, tokenizer: Tokenizer) -> None:
        super().__init__(config.of, config.given, width, tokenizer)
        c, self.config = config, config
        generator, half, each = torch.Generator().manual_seed(c.seed), self.voxels // 2, parameters_of(c.bins)
        nets = []
        for i in range(c.couplings):
            if i % 2 == 0:
                order = torch.randperm(self.voxels, generator=generator)
            kept, moved = (order[:half], order[half:]) if i % 2 == 0 else (order[half:], order[:half])
            self.register_buffer(f"kept{i}", kept.sort().values)
            self.register_buffer(f"moved{i}", moved.sort().values)
            nets.append(Net(len(kept) + self.size, c.hidden, len(moved) * each, c.depth))
        self.nets = nn.ModuleList(nets)

    def _coupled(
        self, i: int, x_BV: Tensor, real_BV: Tensor, context_BC: Tensor, inverse: bool
    ) -> tuple[Tensor, Tensor]:
        """(B, V) features after one coupling, or before it, and (B,) logarithm of the determinant."""
        kept, moved = self.get_buffer(f"kept{i}"), self.get_buffer(f"moved{i}")
        said = self.nets[i](torch.cat([x_BV[:, kept], context_BC], 1))
        x_BM, real_BM = x_BV[:, moved], real_BV[:, moved]
        y_BM, log_BM = spline(x_BM, said.unflatten(1, (len(moved), -1)), self.config.reach, inverse=inverse)
        return x_BV.index_copy(1, moved, torch.where(real_BM, y_BM, x_BM)), (log_BM * real_BM).sum(1)

    def miss(self, x_BV: Tensor, real_BV: Tensor, context_BC: Tensor) -> Float[Tensor, " B"]:
        """(B,) negative logarithm of the likelihood a feature, in nats."""
        log_B = x_BV.new_zeros(len(x_BV))
        for i in range(self.config.couplings):
            x_BV, more_B = self._coupled(i, x_BV, real_BV, context_BC, False)
            log_B = log_B + more_B
        gauss_BV = 0.5 * x_BV**2 + 0.5 * math.log(2 * math.pi)
        return ((gauss_BV * real_BV).sum(1) - log_B) / real_BV.sum(1).clamp_min(1)

    def make(self, real_BV: Tensor, context_BC: Tensor, generator: torch.Generator) -> Float[Tensor, "B V"]:
        """(B, V) features: noise through the inverse couplings."""
        x_BV = noise(context_BC, self.voxels, generator) * real_BV
        for i in reversed(range(self.config.couplings)):
            x_BV, _ = self._coupled(i, x_BV, real_BV, context_BC, True)
        return x_BV
