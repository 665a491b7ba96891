r"""Can a critic tell generated showers from true ones? A conditional generative adversarial network.

A generator makes features :math:`g = m(z, c) + \sigma(z, c)\, \varepsilon` of noise and context, with noise
:math:`\varepsilon` of each cell beside that of the shower, :math:`z`: cells fluctuate by themselves too, and the critic
would tell at once what does not. A critic :math:`D(x, c)` compares them with the true ones :math:`x` of the same
context. Both minimise a relativistic loss, each with the other held still (R3GAN: Huang et al., arXiv 2501.05441),

.. math:: L_D = s\big(D(g) - D(x)\big) + \frac{\gamma}{2} \big(|\nabla_x D(x)|^2 + |\nabla_g D(g)|^2\big), \qquad
   L_G = s\big(D(x) - D(g)\big),

with the soft-plus :math:`s`. The penalties keep the critic from growing steeper than the showers are apart (Mescheder
et al., arXiv 1801.04406). The loss is the sum of both, so that one step of one optimiser moves both; it says little of
the quality: :math:`2 \ln 2` means that the critic cannot tell, or has learned nothing. Give the optimiser no momentum
(`betas=(0.0, …)`).

Shapes: B showers, V voxels, C context, Z noise of a shower, N noise of all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from lpm.model.heads.dense import DenseHead, Net, noise
from lpm.tokens import Tokenizer

__all__ = ["Rival", "RivalConfig"]


@dataclass(frozen=True, kw_only=True)
class RivalConfig:
    """A generator of the cells of all patches, and its critic.

    Args:
        of: Collection of the patches.
        given: Collections that are known.
        noise: Z, random numbers of a shower.
        hidden: Width of both networks.
        depth: Residual blocks of each.
        penalty: γ.

    Raises:
        ValueError: If a size or the penalty is not above 0.
    """

    of: str
    given: tuple[str, ...]
    noise: int = 64
    hidden: int = 256
    depth: int = 2
    penalty: float = 0.5

    def __post_init__(self) -> None:
        if min(self.noise, self.hidden) < 1 or self.depth < 0 or self.penalty <= 0:
            raise ValueError(f"rivals of {self.of}: expected noise, hidden, penalty > 0 and depth ≥ 0, got {self}")

    def build(self, width: int, tokenizers: dict[str, Tokenizer]) -> Rival:
        """The head, for a backbone of the given width."""
        return Rival(self, width, tokenizers[self.of])


class Rival(DenseHead):
    """Generator and critic; only the first draws."""

    def __init__(self, config: RivalConfig, width: int, tokenizer: Tokenizer) -> None:
        super().__init__(config.of, config.given, width, tokenizer)
        c, self.config = config, config
        self.generator = Net(c.noise + self.size, c.hidden, 2 * self.voxels, c.depth, still=False)
        self.critic = Net(self.voxels + self.size, c.hidden, 1, c.depth, still=False)
        self.critic.last = nn.Linear(c.hidden, 1, bias=False)  # of which only differences count

    def _judged(self, x_BV: Tensor, context_BC: Tensor, frozen: bool = False) -> Float[Tensor, " B"]:
        """(B,) what the critic says; frozen, it does not learn from it."""
        weights = {n: p.detach() if frozen else p for n, p in self.critic.named_parameters()}
        out: Tensor = functional_call(self.critic, weights, (torch.cat([x_BV, context_BC], 1),))[:, 0]
        return out

    def _steep(self, x_BV: Tensor, context_BC: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) what the critic says, and the square of its gradient; 0 where none is asked for."""
        if not (self.training and torch.is_grad_enabled()):
            said_B = self._judged(x_BV, context_BC)
            return said_B, torch.zeros_like(said_B)
        x_BV = x_BV.detach().requires_grad_()
        said_B = self._judged(x_BV, context_BC)
        (slope_BV,) = torch.autograd.grad(said_B.sum(), x_BV, create_graph=True)
        return said_B, slope_BV.square().sum(1)

    def miss(self, x_BV: Tensor, real_BV: Tensor, context_BC: Tensor) -> Float[Tensor, " B"]:
        """(B,) losses of both. The backbone learns for the generator, as the critic's own context would tell on it."""
        made_BV = real_BV * self._made(context_BC.new_empty(len(x_BV), self.noise).normal_(), context_BC)
        context = context_BC.detach()
        (true_B, first_B), (false_B, second_B) = self._steep(x_BV, context), self._steep(made_BV.detach(), context)
        critic_B = F.softplus(false_B - true_B) + 0.5 * self.config.penalty * (first_B + second_B)
        rival_B = F.softplus(self._judged(x_BV, context, frozen=True) - self._judged(made_BV, context, frozen=True))
        return critic_B + rival_B

    @property
    def noise(self) -> int:
        """Random numbers of a shower and its cells."""
        return self.config.noise + self.voxels

    def _made(self, noise_BN: Tensor, context_BC: Tensor) -> Float[Tensor, "B V"]:
        noise_BZ, noise_BV = noise_BN.split_with_sizes([self.config.noise, self.voxels], 1)
        mean_BV, log_BV = self.generator(torch.cat([noise_BZ, context_BC], 1)).chunk(2, 1)
        out: Tensor = mean_BV + log_BV.clamp(-5.0, 2.0).exp() * noise_BV
        return out

    def make(self, real_BV: Tensor, context_BC: Tensor, generator: torch.Generator) -> Float[Tensor, "B V"]:
        """(B, V) features."""
        return self._made(noise(context_BC, self.noise, generator), context_BC)
