r"""Pairwise physics as an attention bias, after the Particle Transformer (Qu, Li, Qian, arXiv 2202.03772, eq. 3).

For particles a and b, with :math:`\Delta = \sqrt{(y_a-y_b)^2+(\phi_a-\phi_b)^2}`,

.. math:: \ln\Delta,\quad \ln k_T = \ln(\min(p_{Ta},p_{Tb})\Delta),\quad
          \ln z = \ln\frac{\min(p_{Ta},p_{Tb})}{p_{Ta}+p_{Tb}},\quad \ln m^2

are mapped by a small network to one number a head, which is added to the attention logits of every layer. Here the
mass is that of two massless particles, :math:`m^2 = 2 p_{Ta}p_{Tb}(\cosh\Delta\eta-\cos\Delta\phi)`, and
pseudorapidity stands for rapidity, so that transverse momentum and relative angles suffice.

To these, the couplings of the Standard Model may be added (`lpm.model.pair_terms`). A bias decides whom a row looks at;
with `edges` each row also hears of its pairs before the body (`lpm.model.edges`).

Shapes: G events of one length group, L its longest, H heads, T rows of the collection, S packed positions, K = 3
numbers of a row, or 4 where the last says what it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lpm.model.attention import Group, Plan
from lpm.model.edges import Edges, EdgesConfig
from lpm.model.layers import zero_linear
from lpm.model.pair_terms import PairTermsConfig, Term
from lpm.physics.kinematics import delta_phi

__all__ = ["PairBias", "PairBiasConfig", "pair_features"]

TERMS: tuple[Term, ...] = ("ln_delta", "ln_kt", "ln_z", "ln_m2")
"""The kinematic terms in the order of `pair_features`."""


@dataclass(frozen=True, kw_only=True)
class PairBiasConfig:
    """Pairwise bias of one collection.

    Args:
        of: The collection whose rows interact.
        pt: Path of the transverse momentum in GeV.
        eta: Path of the (relative) pseudorapidity.
        phi: Path of the (relative) azimuth in rad.
        width: Width of the hidden layer of the network.
        physics: What a pair is described by.
        edges: Size of the network from which each row hears of its pairs, or None: for heads that see all.
    """

    of: str
    pt: str
    eta: str
    phi: str
    width: int = 32
    physics: PairTermsConfig = field(default_factory=lambda: PairTermsConfig(terms=TERMS))
    edges: EdgesConfig | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """Fields that it reads."""
        species = self.physics.species
        return (self.pt, self.eta, self.phi, *([species] if species else []))


def pair_features(a: Float[Tensor, "*#n 3"], b: Float[Tensor, "*#n 3"]) -> Float[Tensor, "*#n 4"]:
    """(ln Δ, ln kT, ln z, ln m²) of particles a and b, each (..., 3): pt, eta, phi. Returns (..., 4).

    Example:
        >>> a, b = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([6.0, 0.3, 0.4])
        >>> [round(x, 3) for x in pair_features(a, b).exp()[:3].tolist()]  # Δ = 0.5, kT = 2 × 0.5, z = 2/8
        [0.5, 1.0, 0.25]
    """
    deta, dphi = a[..., 1] - b[..., 1], delta_phi(a[..., 2], b[..., 2])
    delta = torch.hypot(deta, dphi).clamp_min(1e-6)
    low = torch.minimum(a[..., 0], b[..., 0])
    # 2(cosh Δη - cos Δφ) without the cancellation at small angles
    angle = 4 * (torch.sinh(deta / 2) ** 2 + torch.sin(dphi / 2) ** 2)
    m2 = a[..., 0] * b[..., 0] * angle
    z = low / (a[..., 0] + b[..., 0]).clamp_min(1e-8)
    floor = 1e-8
    return torch.stack(
        [delta.log(), (low * delta).clamp_min(floor).log(), z.clamp_min(floor).log(), m2.clamp_min(floor).log()], -1
    )


class PairBias(nn.Module):
    """Attention bias from pairwise kinematics; zero between any two positions that are not both rows of `of`.

    Args:
        config: What pairs are described by.
        heads: H.
        width: Of the rows of the body, which `edges` need.
    """

    def __init__(self, config: PairBiasConfig, heads: int, width: int = 0) -> None:
        super().__init__()
        self.config = config
        # The last layer starts at zero, so that a bias added to a trained body changes nothing at first.
        self.net = nn.Sequential(
            nn.Linear(len(config.physics.terms), config.width), nn.GELU(), zero_linear(config.width, heads)
        )
        self.edges = Edges(config.edges, width, len(config.physics.terms)) if config.edges else None

    def pair(self, a: Float[Tensor, "*#n K"], b: Float[Tensor, "*#n K"]) -> Float[Tensor, "*#n H"]:
        """(..., H) bias between rows (..., K)."""
        # Features span several units; a constant divisor, unlike batch statistics, keeps events independent.
        out: Tensor = self.net(self.terms(a, b) / 4)
        return out

    def terms(self, a: Float[Tensor, "*#n K"], b: Float[Tensor, "*#n K"]) -> Tensor:
        """What pairs of rows (..., K) are described by, one number a term."""
        features, physics = pair_features(a[..., :3], b[..., :3]), self.config.physics
        if physics.terms != TERMS:
            known = dict(zip(TERMS, features.unbind(-1), strict=True))
            kinds = (a[..., 3].long(), b[..., 3].long()) if physics.couplings else (None, None)
            features = torch.stack(physics.pick(known, *kinds), -1)
        return features

    def among(self, x_GLK: Float[Tensor, "G L K"]) -> Float[Tensor, "G L L _"]:
        """Terms of all pairs of padded events."""
        return self.terms(x_GLK[:, :, None], x_GLK[:, None])

    def forward(
        self, kinematics_SK: Float[Tensor, "S K"], real_S: Bool[Tensor, " S"], plan: Plan, causal: bool
    ) -> list[Float[Tensor, "_ H _ _"]]:
        """One (G, H, L, L) bias a group, minus infinity where a position must not look.

        Args:
            kinematics_SK: pt, eta, phi of each packed position, and what it is if couplings ask; anything finite where
                `real_S` is False.
            real_S: True where the position is a row whose kinematics may be seen.
            plan: A plan with groups.
            causal: Whether positions look only back.
        """
        return [
            torch.cat([self._block(kinematics_SK, real_S, part, causal) for part in g.parts()]) for g in plan.groups
        ]

    def heard(
        self, x_SD: Float[Tensor, "S D"], kinematics_SK: Float[Tensor, "S K"], real_S: Bool[Tensor, " S"], plan: Plan
    ) -> Float[Tensor, "S D"]:
        """Packed rows (S, D) with what they hear of their pairs; as they were without edges. Arguments as `forward`.

        Terms of pairs are computed again (3% of inference on a CPU) and not kept from the bias of all groups.
        """
        if self.edges is None:
            return x_SD
        out: Tensor = self.edges(x_SD, lambda index_GL: self.among(kinematics_SK[index_GL]), real_S, plan)
        return out

    def _block(self, kinematics_SK: Tensor, real_S: Tensor, group: Group, causal: bool) -> Tensor:
        x_GLK, real_GL = kinematics_SK[group.index], real_S[group.index]
        bias_GLLH = self.pair(x_GLK[:, :, None], x_GLK[:, None])
        both_GLL = real_GL[:, :, None] & real_GL[:, None]
        seen_GLL = group.valid[:, None, :].expand_as(both_GLL)
        if causal:
            seen_GLL = seen_GLL & torch.ones(both_GLL.shape[1:], dtype=torch.bool, device=seen_GLL.device).tril()
        bias_GHLL = torch.where(both_GLL[..., None], bias_GLLH, 0.0).permute(0, 3, 1, 2)
        return bias_GHLL.masked_fill(~seen_GLL[:, None], float("-inf"))
