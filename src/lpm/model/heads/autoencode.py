r"""What lies behind the voxels? A conditional variational autoencoder of whole showers.

An encoder maps the features :math:`x` of a shower to a Gaussian :math:`q(z|x, c)`, a decoder maps :math:`z` to a
Gaussian :math:`p(x|z, c)` of independent features, both given the context :math:`c`. The loss is the negative evidence
bound (Kingma and Welling, arXiv 1312.6114, eq. 3; with the weight :math:`\beta` of Higgins et al., 2017) a feature,

.. math:: \frac{1}{n} \Big[ - \mathrm{E}_q \ln p(x|z, c) + \beta\, D\big(q(z|x, c) \,\|\, \mathcal{N}(0, 1)\big) \Big].

The decoder learns its variance, and its noise belongs to a sample: the mean alone would have no small cells.

Shapes: B showers, V voxels, C context, Z latent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lpm.model.heads.dense import DenseHead, Net, noise
from lpm.tokens import Tokenizer

__all__ = ["Autoencode", "AutoencodeConfig"]

LOWEST = -5.0
"""Smallest logarithm of a deviation of the decoder: no feature is known to less than a hundredth of its spread."""


@dataclass(frozen=True, kw_only=True)
class AutoencodeConfig:
    """An autoencoder of the cells of all patches.

    Args:
        of: Collection of the patches.
        given: Collections that are known.
        latent: Z.
        hidden: Width of encoder and decoder.
        depth: Residual blocks of each.
        beta: Weight of the divergence.

    Raises:
        ValueError: If a size or the weight is not above 0.
    """

    of: str
    given: tuple[str, ...]
    latent: int = 32
    hidden: int = 256
    depth: int = 2
    beta: float = 1.0

    def __post_init__(self) -> None:
        if min(self.latent, self.hidden) < 1 or self.depth < 0 or self.beta <= 0:
            raise ValueError(f"autoencoder of {self.of}: expected latent, hidden, beta > 0 and depth ≥ 0, got {self}")

    def build(self, width: int, tokenizers: dict[str, Tokenizer]) -> Autoencode:
        """The head, for a backbone of the given width."""
        return Autoencode(self, width, tokenizers[self.of])


class Autoencode(DenseHead):
    """Encoder and decoder; only the second draws."""

    def __init__(self, config: AutoencodeConfig, width: int, tokenizer: Tokenizer) -> None:
        super().__init__(config.of, config.given, width, tokenizer)
        c, self.config = config, config
        # Not 0 at the start: a latent vector that says nothing would be learned to be ignored.
        self.encoder = Net(self.voxels + self.size, c.hidden, 2 * c.latent, c.depth, still=False)
        self.decoder = Net(c.latent + self.size, c.hidden, 2 * self.voxels, c.depth, still=False)

    def _decoded(self, z_BZ: Tensor, context_BC: Tensor) -> tuple[Tensor, Tensor]:
        """(B, V) means and logarithms of deviations."""
        mean_BV, log_BV = self.decoder(torch.cat([z_BZ, context_BC], 1)).chunk(2, 1)
        return mean_BV, log_BV.clamp(LOWEST, 3.0)

    def miss(self, x_BV: Tensor, real_BV: Tensor, context_BC: Tensor) -> Float[Tensor, " B"]:
        """(B,) negative evidence bound a feature, in nats."""
        mean_BZ, log_BZ = self.encoder(torch.cat([x_BV, context_BC], 1)).chunk(2, 1)
        log_BZ = log_BZ.clamp(-10.0, 3.0)
        z_BZ = mean_BZ + log_BZ.exp() * torch.randn_like(mean_BZ)
        center_BV, spread_BV = self._decoded(z_BZ, context_BC)
        pull_BV = (x_BV - center_BV) * (-spread_BV).exp()
        missed_BV = 0.5 * pull_BV**2 + spread_BV + 0.5 * math.log(2 * math.pi)
        apart_B = (0.5 * (mean_BZ**2 + (2 * log_BZ).exp() - 1) - log_BZ).sum(1)
        total_B = (missed_BV * real_BV).sum(1) + self.config.beta * apart_B
        out: Tensor = total_B / real_BV.sum(1).clamp_min(1)
        return out

    def make(self, real_BV: Tensor, context_BC: Tensor, generator: torch.Generator) -> Float[Tensor, "B V"]:
        """(B, V) features: a latent vector, decoded, with the decoder's noise."""
        mean_BV, log_BV = self._decoded(noise(context_BC, self.config.latent, generator), context_BC)
        return mean_BV + log_BV.exp() * noise(context_BC, self.voxels, generator)
