r"""ParticleNet, on packed sets (Qu, Gouskos, arXiv 1902.08570).

Blocks of edge convolution (Wang et al., arXiv 1801.07829): each particle i looks at its k nearest neighbours j, and

.. math:: x_i' = \mathrm{ReLU}\Big(N(W x_i) + \frac{1}{k}\sum_j h(x_i,\; x_j - x_i)\Big)

with h three linear layers, each with a batch norm and a ReLU behind it. The neighbours of the first block are the
nearest in the (η, φ) plane, those of the others the nearest in what the block before has made of the particles. The
mean over particles then passes one more layer.

The first layer of h is linear in both of its arguments, so it is computed for each particle and not for each edge.
Batch norms see real edges and particles only; nothing is padded but the squares of distances.

Shapes: T rows, F features, D width, B events, E edges, K terms of a pair, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from lpm.data.batch import Ragged
from lpm.model.adapt import LowRank
from lpm.model.layers import Dropout
from lpm.model.pair_terms import PairTermsConfig
from lpm.model.sets.base import SetBackbone, SetConfig, SetPlan
from lpm.model.sets.buckets import ByLength
from lpm.model.sets.interactions import RowNorm, describe, follow, kinematics
from lpm.model.sets.neighbours import Neighbours, Room
from lpm.model.sets.norm_stack import CHUNK, NormStack
from lpm.physics.kinematics import collider

__all__ = ["EdgeConv", "ParticleNet", "ParticleNetConfig"]


@dataclass(frozen=True, kw_only=True)
class ParticleNetConfig(SetConfig):
    """Size of a ParticleNet. The defaults are the published ones.

    Args:
        neighbours: k; a particle of an event of fewer has all others as neighbours.
        blocks: Widths of the three layers of each block; the very last is that of the hidden states.
        dropout: Probability of dropping an entry of the last layer.
        physics: What an edge is described by beside its two particles; nothing in the publication.

    Raises:
        ValueError: If there is no block, or no neighbour.
    """

    neighbours: int = 16
    blocks: tuple[tuple[int, ...], ...] = ((64, 64, 64), (128, 128, 128), (256, 256, 256))
    dropout: float = 0.1
    physics: PairTermsConfig = field(default_factory=lambda: PairTermsConfig(terms=()))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.blocks or not all(self.blocks) or self.neighbours < 1:
            raise ValueError(
                f"expected blocks of at least one layer and at least one neighbour, "
                f"got {self.blocks} and {self.neighbours}"
            )

    @property
    def size(self) -> int:
        """D."""
        return self.blocks[-1][-1]

    @property
    def category(self) -> str | None:
        """As the couplings need it."""
        return self.physics.species

    def tiny(self) -> ParticleNetConfig:
        """The same parts at a size for tests."""
        return replace(self, neighbours=4, blocks=((8, 8), (16, 16)))

    def make(self, features: int) -> ParticleNet:
        """The backbone for rows of so many features."""
        return ParticleNet(self, features)


class EdgeConv(nn.Module):
    """One block.

    Args:
        inputs: Channels of the rows that come in.
        widths: Of the layers of the edges; the last is that of the rows that go out.
        terms: K.
    """

    def __init__(self, inputs: int, widths: tuple[int, ...], terms: int) -> None:
        super().__init__()
        self.first = nn.Linear(2 * inputs + terms, widths[0], bias=False)  # no biases: the norms would take them out
        self.layers = nn.ModuleList(nn.Linear(i, o, bias=False) for i, o in pairwise(widths))
        self.norms = nn.ModuleList(RowNorm(w) for w in widths)
        self.skip, self.norm_skip = nn.Linear(inputs, widths[-1], bias=False), RowNorm(widths[-1])
        self.inputs = inputs

    def forward(
        self, x_TC: Float[Tensor, "T C"], near: Neighbours, terms_EK: Float[Tensor, "E K"] | None
    ) -> Float[Tensor, "T _"]:
        """States of the rows that go out."""
        of_own, of_difference, of_terms = self.first.weight.tensor_split((self.inputs, 2 * self.inputs), 1)
        y_EC = near.spread(x_TC @ (of_own - of_difference).T) + near.ends(x_TC @ of_difference.T)
        if terms_EK is not None:
            y_EC = y_EC + terms_EK @ of_terms.T
        out: Tensor = F.relu(self.norm_skip(self.skip(x_TC)) + near.mean(self._edges(y_EC)))
        return out

    def _edges(self, z_EC: Tensor) -> Tensor:
        """What follows the first matrix: a norm and a ReLU, then layer, norm and ReLU again and again."""
        norms = [n for n in self.norms if isinstance(n, RowNorm)]
        weights = [m.weight for m in self.layers if isinstance(m, nn.Linear | LowRank)]
        if self.training and len(z_EC) > 1:  # one edge has no statistics
            parameters: list[Tensor] = [norms[0].weight, norms[0].bias]
            for weight, norm in zip(weights, norms[1:], strict=True):
                parameters += [weight, torch.zeros_like(norm.bias), norm.weight, norm.bias]
            z_EC = z_EC.to(parameters[0].dtype)  # half precision must not reach sums over all edges
            y_EC, mean, variance = NormStack.apply(z_EC, norms[0].eps, True, *parameters)  # type: ignore[no-untyped-call]
            follow(norms, mean, variance, len(z_EC))
            out: Tensor = y_EC
            return out
        (factor, shift), *rest = (n.scale_shift() for n in norms)
        folded = [(weight * f[:, None], s) for weight, (f, s) in zip(weights, rest, strict=True)]
        parts = []
        for part_EC in torch.split(z_EC, CHUNK):
            y_EC = F.relu(torch.addcmul(shift, part_EC, factor))
            for weight, constant in folded:
                y_EC = F.relu(F.linear(y_EC, weight, constant))
            parts.append(y_EC)
        return torch.cat(parts)


class ParticleNet(SetBackbone):
    """Blocks of edge convolution, the mean over particles, and one layer behind it.

    Args:
        config: Its size.
        features: F.
    """

    config: ParticleNetConfig

    def __init__(self, config: ParticleNetConfig, features: int) -> None:
        super().__init__()
        c, self.config = config, config
        terms, width = len(c.physics.terms), c.size
        self.norm_features = RowNorm(features)
        self.norm_terms = RowNorm(terms) if terms else None
        inputs = (features, *(b[-1] for b in c.blocks[:-1]))
        self.blocks = nn.ModuleList(EdgeConv(i, b, terms) for i, b in zip(inputs, c.blocks, strict=True))
        self.last, self.drop = nn.Linear(width, width), Dropout(c.dropout)

    def plan(self, offsets: Int[Tensor, " starts"], device: torch.device) -> Room:
        """Buckets of similar length, and room for neighbours."""
        return Room.of(ByLength.of(offsets, device=device), self.config.neighbours).to(device)

    def forward(
        self,
        features_TF: Float[Tensor, "T F"],
        momenta_T4: Float[Tensor, "T 4"],
        offsets: Int[Tensor, " starts"],
        token_1D: Float[Tensor, "1 D"],
        species_T: Int[Tensor, " T"] | None = None,
        plan: SetPlan | None = None,
    ) -> tuple[Float[Tensor, "T D"], Float[Tensor, "B D"]]:
        """Hidden states (T, D) of the particles behind the last block, and (B, D) of the events behind the last layer.

        The class token is added to the mean over particles, and is all that an event without particles has.
        """
        plan = plan or self.plan(offsets.cpu(), features_TF.device)
        assert isinstance(plan, Room)
        events = plan.events
        x_TC, p_T4 = self.norm_features(features_TF[events.rows]), momenta_T4[events.rows]
        kinds_T = None if species_T is None else species_T[events.rows]
        place_T2 = torch.stack(collider(*p_T4[:, :3].unbind(1))[1:], 1)
        for i, block in enumerate(self.blocks):
            near = Neighbours.of(place_T2 if i == 0 else x_TC, plan, angle=i == 0)
            x_TC = block(x_TC, near, self._terms(p_T4, kinds_T, near))
        x_TC = x_TC[events.rows.argsort()]
        event_BD = F.relu(self.last(Ragged(x_TC, offsets).mean() + token_1D))
        return x_TC, self.drop(event_BD)

    def _terms(self, p_T4: Tensor, kinds_T: Tensor | None, near: Neighbours) -> Tensor | None:
        """(E, K) normalised terms of all edges."""
        if self.norm_terms is None:
            return None
        p_7T = kinematics(p_T4)
        kinds = (None, None) if kinds_T is None else (kinds_T[near.own], kinds_T[near.other])
        out: Tensor = self.norm_terms(describe(p_7T[:, near.own], p_7T[:, near.other], self.config.physics, *kinds).T)
        return out
