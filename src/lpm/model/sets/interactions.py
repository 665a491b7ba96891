r"""Pairwise interactions of the Particle Transformer, for pairs of real particles only.

(Qu, Li, Qian, arXiv 2202.03772, eq. 3.) For particles a and b of four-momenta p, with rapidity y,

.. math:: \ln k_T = \ln(\min(p_{Ta},p_{Tb})\Delta),\quad \ln z = \ln\frac{\min(p_{Ta},p_{Tb})}{p_{Ta}+p_{Tb}},\quad
          \ln\Delta = \ln\sqrt{(y_a-y_b)^2+(\phi_a-\phi_b)^2},\quad \ln m^2 = \ln (p_a+p_b)^2

pass a small network that gives one number a head, which is added to the attention logits of every layer. The
interaction is symmetric, so each pair is computed once, a particle with itself included: event by event the lower
triangle of its square, row by row. An event of n particles has n (n + 1) / 2 pairs.

The order of operations is that of `weaver`, to the last bit where cancellation matters: the squared mass of two nearly
collinear particles, computed in single precision from energies, is rounding noise, and trained weights expect it.

Shapes: S packed particles, P pairs, K terms of a pair, G events of one bucket, L its longest, H heads, B padded events.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from lpm.model.adapt import LowRank
from lpm.model.pair_terms import KINEMATIC, PairTermsConfig
from lpm.model.sets.buckets import Bucket
from lpm.model.sets.norm_stack import CHUNK, NormStack

__all__ = [
    "Interactions",
    "Pairs",
    "RowNorm",
    "describe",
    "follow",
    "kinematics",
    "pair_features",
    "squares",
    "triangles",
]

EPS = 1e-8
"""Floor of what a logarithm is taken of, in GeV or GeV²."""


def kinematics(p_S4: Float[Tensor, "S 4"]) -> Float[Tensor, "7 S"]:
    """What pairs need of each particle (px, py, pz, E): these four, then transverse momentum, rapidity and azimuth."""
    px, py, pz, energy = p_S4.unbind(1)
    pt = torch.sqrt(px.square() + py.square())
    rapidity = 0.5 * torch.log(1 + (2 * pz) / (energy - pz).clamp(min=1e-20))
    return torch.stack([px, py, pz, energy, pt, rapidity, torch.atan2(py, px)])


def pair_features(a_7P: Float[Tensor, "7 P"], b_7P: Float[Tensor, "7 P"]) -> Float[Tensor, "4 P"]:
    """(ln kT, ln z, ln Δ, ln m²) of particles described by `kinematics`.

    Example:
        >>> p = torch.tensor([[3.0, 0.0, 0.0, 3.0], [0.0, 4.0, 0.0, 4.0]])  # at a right angle: m² = 2 × 3 × 4
        >>> a, b = kinematics(p).unsqueeze(2).unbind(1)
        >>> [round(float(x), 3) for x in pair_features(a, b).exp()]  # kT = 3 π/2, z = 3/7, Δ = π/2
        [4.712, 0.429, 1.571, 24.0]
    """
    dy = a_7P[5] - b_7P[5]
    dphi = (a_7P[6] - b_7P[6] + math.pi) % (2 * math.pi) - math.pi
    delta = (dy**2 + dphi**2).sqrt()
    low = torch.minimum(a_7P[4], b_7P[4])
    z = low / (a_7P[4] + b_7P[4]).clamp(min=EPS)
    px2, py2, pz2, e2 = (a_7P[:4] + b_7P[:4]).square()
    return torch.stack([low * delta, z, delta, e2 - (px2 + py2 + pz2)]).clamp(min=EPS).log()


def describe(
    a_7P: Float[Tensor, "7 P"],
    b_7P: Float[Tensor, "7 P"],
    physics: PairTermsConfig,
    a_P: Int[Tensor, " P"] | None = None,
    b_P: Int[Tensor, " P"] | None = None,
) -> Float[Tensor, "K P"]:
    """The K terms that a configuration asks for, of particles described by `kinematics` and, for couplings, by kind."""
    features_4P = pair_features(a_7P, b_7P)
    if physics.terms == KINEMATIC:
        return features_4P
    return torch.stack(physics.pick(dict(zip(KINEMATIC, features_4P, strict=True)), a_P, b_P))


@dataclass(frozen=True, eq=False)
class Pairs:
    """The pairs of a bucket.

    Args:
        a: (P,) a row of each.
        b: (P,) the other row.
    """

    a: Int[Tensor, " P"]
    b: Int[Tensor, " P"]

    @classmethod
    def of(cls, bucket: Bucket, count: int) -> Pairs:
        """The pairs of a bucket, on its device.

        Args:
            bucket: The bucket.
            count: How many there are, which the device is not asked for.
        """
        return cls(*triangles(bucket.lengths, bucket.longest, count))


def triangles(lengths: Int[Tensor, " G"], longest: int, count: int) -> tuple[Int[Tensor, " P"], Int[Tensor, " P"]]:
    """Rows (a, b) of the pairs of events with the given lengths whose rows follow one another.

    Args:
        lengths: Of the events.
        longest: The largest of them.
        count: P.

    Example:
        >>> [x.tolist() for x in triangles(torch.tensor([2, 1]), longest=2, count=4)]
        [[0, 1, 1, 2], [0, 0, 1, 2]]
    """
    each_G, device = lengths * (lengths + 1) // 2, lengths.device
    event_P = torch.repeat_interleave(torch.arange(len(lengths), device=device), each_G, output_size=count)
    # The triangle of an event is the beginning of the triangle of any longer one.
    place_P = torch.arange(len(event_P), device=device) - (each_G.cumsum(0) - each_G)[event_P]
    row, column = torch.tril_indices(longest, longest, device=device)
    first_P = (lengths.cumsum(0) - lengths)[event_P]
    return first_P + row[place_P], first_P + column[place_P]


def squares(y_PH: Float[Tensor, "P H"], bucket: Bucket, pairs: Pairs) -> Float[Tensor, "H G L L"]:
    """Numbers of pairs as one symmetric square an event and head, minus infinity where the key is padding.

    Where the query is padding, the square holds anything, and no gradient is taken from there.
    """
    n, at = bucket.lengths, torch.arange(bucket.longest, device=y_PH.device)
    high, low = torch.maximum(at[:, None], at), torch.minimum(at[:, None], at)
    count = n * (n + 1) // 2
    pair_GLL = (count.cumsum(0) - count)[:, None, None] + high * (high + 1) // 2 + low
    pair_N = pair_GLL.clamp_max(len(y_PH) - 1).flatten()
    square_HN: Tensor = _Mirror.apply(y_PH, pair_N, pairs.a, pairs.b, bucket.places, bucket.valid)  # type: ignore[no-untyped-call]
    padding_GL = at >= n.clamp_min(1)[:, None]  # an event without particles looks somewhere, and at nothing
    return square_HN.view(-1, *pair_GLL.shape).masked_fill_(padding_GL[:, None], float("-inf"))


class _Mirror(torch.autograd.Function):
    """Each pair to its two places. The gradient of a pair is the sum of two selections, without atomic sums."""

    @staticmethod
    def forward(
        ctx: Any, y_PH: Tensor, pair_N: Tensor, a_P: Tensor, b_P: Tensor, place_R: Tensor, valid_GL: Tensor
    ) -> Tensor:
        ctx.save_for_backward(a_P, b_P, place_R, valid_GL)
        return y_PH.T.contiguous().index_select(1, pair_N)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        a_P, b_P, place_R, valid_GL = ctx.saved_tensors
        length = valid_GL.shape[1]
        # Row r of the bucket is particle `place % L` of event `place // L`.
        ab_P = place_R[a_P] * length + place_R[b_P] % length
        ba_P = place_R[b_P] * length + place_R[a_P] % length
        both_HP = grads[0].index_select(1, ab_P) + grads[0].index_select(1, ba_P)
        return (both_HP * torch.where(a_P == b_P, 0.5, 1.0)).T, None, None, None, None, None


class RowNorm(nn.BatchNorm1d):
    """Batch norm over the rows of a packed batch: padding is never seen. Fewer than two rows have no statistics."""

    def forward(self, x_ND: Tensor) -> Tensor:
        """(N, D) normalised rows."""
        if self.training and len(x_ND) < 2:
            return F.batch_norm(x_ND, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x_ND)

    @torch.no_grad()
    def follow(self, mean: Tensor, variance: Tensor, rows: int) -> None:
        """Move the running statistics towards the (D,) mean and variance of so many rows."""
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (rows / (rows - 1)), self.momentum)
        self.num_batches_tracked += 1

    def scale_shift(self) -> tuple[Tensor, Tensor]:
        """(D,) factor and (D,) shift that this is in evaluation."""
        assert self.running_mean is not None
        assert self.running_var is not None
        factor = self.weight * torch.rsqrt(self.running_var + self.eps)
        return factor, self.bias - self.running_mean * factor


def follow(norms: list[RowNorm], mean: Tensor, variance: Tensor, rows: int) -> None:
    """Move the statistics of norms towards those of so many rows, given one after the other."""
    sizes = [n.num_features for n in norms]
    for norm, m, v in zip(norms, torch.split(mean, sizes), torch.split(variance, sizes), strict=True):
        norm.follow(m, v, rows)


class Interactions(nn.Module):
    """The network from pair features to heads: linear layers between batch norms, with GELU between.

    In training the batch norms see all pairs of real particles of the batch at once, as in `weaver` with its default,
    sparse pairs; in evaluation they are folded into the linear layers.

    Args:
        widths: Of the hidden layers.
        heads: H.
        terms: K, numbers that describe a pair.
    """

    def __init__(self, widths: tuple[int, ...], heads: int, terms: int = 4) -> None:
        super().__init__()
        sizes = (terms, *widths, heads)
        self.net = nn.Sequential(RowNorm(terms))
        for i, o in pairwise(sizes):
            self.net.extend([nn.Linear(i, o), RowNorm(o)])

    @property
    def norms(self) -> list[RowNorm]:
        """The batch norms, one more than layers."""
        return [n for n in self.net if isinstance(n, RowNorm)]

    @property
    def layers(self) -> list[nn.Linear | LowRank]:
        """The linear layers, or what adapts them."""
        return [m for m in self.net if isinstance(m, nn.Linear | LowRank)]

    def forward(self, parts: Iterable[Float[Tensor, "K _"]]) -> Iterator[Float[Tensor, "_ H"]]:
        """Numbers (P, H) of each part, given its terms (K, P). In evaluation nothing is computed ahead of its use.

        Args:
            parts: All pairs of the batch.
        """
        if self.training:
            parts = list(parts)
            sizes = [x.shape[1] for x in parts]
            if sum(sizes) > 1:  # one pair has no statistics
                yield from torch.split(self._trained(torch.cat(parts, 1).T.contiguous()), sizes)
                return
        layers = self._folded()
        for x_KP in parts:
            yield torch.cat([_pass(part.T, layers) for part in torch.split(x_KP, CHUNK, 1)])

    def padded(self, x_KBLL: Float[Tensor, "K B L L"]) -> Float[Tensor, "B H L L"]:
        """Numbers of all pairs of padded events, in evaluation; of the two orders of a pair that of `triangles`.

        Args:
            x_KBLL: Terms of all pairs, row after column.
        """
        _, b, n, _ = x_KBLL.shape
        y_BHLL = _pass(x_KBLL.flatten(1).T, self._folded()).reshape(b, n, n, -1).permute(0, 3, 1, 2)
        return y_BHLL.tril() + y_BHLL.tril(-1).mT

    def _trained(self, x_PK: Tensor) -> Tensor:
        """Normalised with the statistics of these pairs, which the running ones follow."""
        first, *rest = norms = self.norms
        parameters: list[Tensor] = [first.weight, first.bias]
        for layer, norm in zip(self.layers, rest, strict=True):
            parameters += [layer.weight, layer.bias, norm.weight, norm.bias]
        y_PH, mean, variance = NormStack.apply(x_PK, first.eps, False, *parameters)  # type: ignore[no-untyped-call]
        follow(norms, mean, variance, len(x_PK))
        out: Tensor = y_PH
        return out

    def _folded(self) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of each linear layer with the norm behind it, and of the first with that before it too."""
        first, *rest = (n.scale_shift() for n in self.norms)
        out = []
        for i, (layer, (factor, shift)) in enumerate(zip(self.layers, rest, strict=True)):
            weight, bias = layer.weight, layer.bias
            matrix = weight if i else weight * first[0]
            constant = bias if i else bias + weight @ first[1]
            out.append((matrix * factor[:, None], constant * factor + shift))
        return out


def _pass(x: Tensor, layers: list[tuple[Tensor, Tensor]]) -> Tensor:
    for i, (weight, bias) in enumerate(layers):
        x = F.linear(F.gelu(x) if i else x, weight, bias)
    return x
