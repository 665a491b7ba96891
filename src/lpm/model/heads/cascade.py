r"""How does a shower go on? Flows from layer to layer, each of them convolutional.

Layers are made in the order in which the shower meets them. Each has a flow of couplings (`lpm.model.heads.couple`) on
its own grid of sectors and rings, given the context, its place and the layers before it: their features as further
planes where they have the same grid, and a digest of them in any case (L2LFlows: Diefenbacher et al., arXiv 2302.11594;
with convolutions: Buss et al., arXiv 2405.20407). Convolutions go around in the angle; a bias of each ring tells where
it lies. Layers of one shape share one flow, so that the number of weights does not grow with that of the layers. The
loss is the exact negative logarithm of the likelihood a feature.

Shapes: B showers, L layers, N showers times layers of one shape, S sectors, R rings, V their product or all voxels, M
moved features, C context, H hidden, G planes, K layers before, P parameters of a spline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lpm.model.heads.dense import DenseHead, Net, noise
from lpm.model.heads.spline import parameters_of, spline
from lpm.model.layers import zero_linear
from lpm.tokens import Tokenizer

__all__ = ["Cascade", "CascadeConfig"]


@dataclass(frozen=True, kw_only=True)
class CascadeConfig:
    """Flows from layer to layer.

    Args:
        of: Collection of the patches.
        given: Collections that are known.
        couplings: Of each layer, even.
        hidden: H, width of the context of a layer and of digests.
        planes: G, of convolutions.
        memory: Layers before that are seen.
        bins: Pieces of a spline.
        reach: Standard deviations within which splines act.

    Raises:
        ValueError: If the number of couplings is odd, or a size is not above 0.
    """

    of: str
    given: tuple[str, ...]
    couplings: int = 8
    hidden: int = 32
    planes: int = 16
    memory: int = 3
    bins: int = 8
    reach: float = 6.0

    def __post_init__(self) -> None:
        sizes = (self.hidden, self.planes, self.memory, self.bins - 1, self.reach)
        if self.couplings < 2 or self.couplings % 2 or min(sizes) <= 0:
            raise ValueError(f"cascade of {self.of}: expected an even number of couplings, hidden, planes, memory, "
                             f"reach > 0 and bins > 1, got {self}")  # fmt: skip

    def build(self, width: int, tokenizers: dict[str, Tokenizer]) -> Cascade:
        """The head, for a backbone of the given width."""
        return Cascade(self, width, tokenizers[self.of])


class Cascade(DenseHead):
    """A flow for each shape of layer."""

    def __init__(self, config: CascadeConfig, width: int, tokenizer: Tokenizer) -> None:
        super().__init__(config.of, config.given, width, tokenizer)
        c, self.config = config, config
        self.kinds = list(dict.fromkeys(self.shapes))
        self.kind = [self.kinds.index(shape) for shape in self.shapes]
        self.flows = nn.ModuleList(_Flow(*shape, c) for shape in self.kinds)
        self.digests = nn.ModuleList(nn.Linear(s * r, c.hidden) for s, r in self.kinds)
        self.place = nn.Embedding(len(self.kind), c.hidden)
        self.told = Net(self.size + c.hidden * (1 + c.memory), 2 * c.hidden, c.hidden, depth=1, still=False)

    def _before(self, made: list[Tensor], layer: int, digests: list[Tensor]) -> tuple[Tensor, Tensor]:
        """(B, K, S, R) features of the layers before, and (B, K H) digests of them; zeros where there is none."""
        like, (sectors, rings) = made[0], self.shapes[layer]
        planes, told = [], []
        for i in range(layer - self.config.memory, layer):
            alike = i >= 0 and self.kind[i] == self.kind[layer]
            planes.append(made[i].view(-1, sectors, rings) if alike else like.new_zeros(len(like), sectors, rings))
            told.append(digests[i] if i >= 0 else like.new_zeros(len(like), self.config.hidden))
        return torch.stack(planes, 1), torch.cat(told, 1)

    def _digest(self, layer: int, x_BV: Tensor) -> Tensor:
        out: Tensor = self.digests[self.kind[layer]](x_BV)
        return out

    def _said(self, context_BC: Tensor, layer: int, told: Tensor) -> Tensor:
        """(B, H) context of a layer."""
        place = self.place.weight[layer].expand(len(told), -1)
        out: Tensor = self.told(torch.cat([context_BC, place, told], 1))
        return out

    def miss(self, x_BV: Tensor, real_BV: Tensor, context_BC: Tensor) -> Float[Tensor, " B"]:
        """(B,) negative logarithm of the likelihood a feature, in nats. Layers of one shape are taken together."""
        made, real = list(x_BV.split_with_sizes(self.sizes, 1)), real_BV.split_with_sizes(self.sizes, 1)
        digests = [self._digest(i, x) for i, x in enumerate(made)]
        total_B = x_BV.new_zeros(len(x_BV))
        for kind, flow in enumerate(self.flows):
            alike = [i for i, k in enumerate(self.kind) if k == kind]
            before = [self._before(made, i, digests) for i in alike]
            said = [self._said(context_BC, i, told) for i, (_, told) in zip(alike, before, strict=True)]
            planes = torch.cat([p for p, _ in before])
            x_NV, real_NV = (torch.cat([some[i] for i in alike]) for some in (made, real))
            z_NV, log_N = flow(x_NV, real_NV, planes, torch.cat(said))
            gauss_N = ((0.5 * z_NV**2 + 0.5 * math.log(2 * math.pi)) * real_NV).sum(1)
            total_B = total_B + (gauss_N - log_N).view(len(alike), -1).sum(0)
        return total_B / real_BV.sum(1).clamp_min(1)

    def make(self, real_BV: Tensor, context_BC: Tensor, generator: torch.Generator) -> Float[Tensor, "B V"]:
        """(B, V) features: noise through the inverse flows, one layer after the other."""
        made: list[Tensor] = []
        digests: list[Tensor] = []
        z = (noise(context_BC, self.voxels, generator) * real_BV).split_with_sizes(self.sizes, 1)
        for i, real_BV_ in enumerate(real_BV.split_with_sizes(self.sizes, 1)):
            planes, told = self._before(made or list(z), i, digests)
            x_BV, _ = self.flows[self.kind[i]](z[i], real_BV_, planes, self._said(context_BC, i, told), inverse=True)
            made.append(x_BV)
            digests.append(self._digest(i, x_BV))
        return torch.cat(made, 1)


class _Flow(nn.Module):
    """Couplings of layers of one shape: of a chequerboard, then of every other ring, and so on."""

    def __init__(self, sectors: int, rings: int, config: CascadeConfig) -> None:
        super().__init__()
        self.config, self.shape = config, (sectors, rings)
        sector, ring = torch.arange(sectors)[:, None], torch.arange(rings)[None]
        patterns = [(sector + ring) % 2 == 0, (ring % 2 == 0).expand(sectors, -1)]
        nets = []
        for i in range(config.couplings):
            moved = patterns[i // 2 % 2] ^ (i % 2 == 1)
            self.register_buffer(f"moved{i}", moved.flatten().nonzero()[:, 0], persistent=False)
            self.register_buffer(f"kept{i}", (~moved).float(), persistent=False)
            nets.append(_Conv(rings, config))
        self.nets = nn.ModuleList(nets)

    def forward(
        self, x_NV: Tensor, real_NV: Tensor, before_NKSR: Tensor, said_NH: Tensor, *, inverse: bool = False
    ) -> tuple[Tensor, Tensor]:
        """(N, V) features mapped, and (N,) logarithm of the determinant."""
        log_N = x_NV.new_zeros(len(x_NV))
        steps = range(self.config.couplings)
        for i in reversed(steps) if inverse else steps:
            moved, kept_SR = self.get_buffer(f"moved{i}"), self.get_buffer(f"kept{i}")
            seen_N1SR = (x_NV.view(-1, *self.shape) * kept_SR)[:, None]
            p_NMP = self.nets[i](torch.cat([seen_N1SR, before_NKSR], 1), said_NH, moved)
            x_NM, real_NM = x_NV[:, moved], real_NV[:, moved]
            y_NM, log_NM = spline(x_NM, p_NMP, self.config.reach, inverse=inverse)
            x_NV = x_NV.index_copy(1, moved, torch.where(real_NM, y_NM, x_NM))
            log_N = log_N + (log_NM * real_NM).sum(1)
        return x_NV, log_N


class _Conv(nn.Module):
    """Parameters of splines from planes: two convolutions that go around in the angle, and a layer at each place."""

    def __init__(self, rings: int, config: CascadeConfig) -> None:
        super().__init__()
        g = config.planes
        self.first, self.second = nn.Conv2d(1 + config.memory, g, 3), nn.Conv2d(g, g, 3)
        self.said, self.ring = nn.Linear(config.hidden, 4 * g), nn.Parameter(torch.zeros(2, g, 1, rings))
        self.last = zero_linear(g, parameters_of(config.bins))

    def forward(self, x_NKSR: Tensor, said_NH: Tensor, moved: Tensor) -> Float[Tensor, "N M P"]:
        """(N, M, P) parameters at the moved places."""
        scale, shift, scale_, shift_ = self.said(F.silu(said_NH))[:, :, None, None].chunk(4, 1)
        x = F.silu(self.first(_around(x_NKSR)) * (1 + scale) + shift + self.ring[0])
        x = x + F.silu(self.second(_around(x)) * (1 + scale_) + shift_ + self.ring[1])
        out: Tensor = self.last(x.flatten(2)[:, :, moved].transpose(1, 2))
        return out


def _around(x: Tensor) -> Tensor:
    """One sector more on both sides, from the other end, and a ring of zeros."""
    return F.pad(torch.cat([x[:, :, -1:], x, x[:, :, :1]], 2), (1, 1))
