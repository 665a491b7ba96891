r"""A Lorentz-equivariant transformer of scalars and four-vectors, on packed sets.

Each position carries scalars and four-vectors. Linear layers mix scalars with scalars and vectors with vectors; the two
meet in Minkowski products :math:`\langle v, w\rangle = v^0 w^0 - \vec v\cdot\vec w` alone, which are scalars, and in
factors of vectors, which scalars decide. Attention compares queries and keys by the sum of both products, so that the
ordinary packed attention does all of it: the metric is put into the keys. What comes out as scalars, and so every
answer, is then the same for an event seen from any other inertial frame. The idea of such a network without the higher
multivectors of the geometric algebra is that of L-GATr-slim (Favaro, Plehn, Qu, Spinner, arXiv 2608.02735), that of
equivariant attention by scalar products that of L-GATr (Spinner et al., arXiv 2405.14806); layers and sizes are ours.

Momenta enter in units of the invariant mass M of their event, times the number n of its rows: :math:`\sum_i v_i / n`
has then the square one, whatever the jet's energy. That scale and the energy of each row in the rest frame of the event
are given as scalars, :math:`\ln(1 + M^2)` and :math:`\ln(n\, p_i\cdot P / M^2)`.

Collisions are not symmetric under all of the group, for there are a beam and a detector. `symmetry` says what is kept:
`lorentz` all, `boost` rotations about the beam and boosts along it (vectors may be split into their parts along and
across the beam), `rotation` only rotations about the beam (the directions of time and beam are given too). None of it
holds if the tokenizer's features are not invariant themselves: transverse momentum breaks `lorentz`, angles more.

Shapes: T rows, F features, S packed positions (a class token and the rows of each event), C scalars, V vectors,
B events, H heads, E head width.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from lpm.data.batch import Ragged
from lpm.model.attention import Plan, attend, plan
from lpm.model.packing import Layout
from lpm.model.sets.base import SetBackbone, SetConfig, SetPlan

__all__ = ["Lorentz", "LorentzConfig"]

FLOOR = 1.0
"""Added in quadrature to the mass of an event, in GeV: one of a single massless particle has no scale of its own."""


@dataclass(frozen=True, kw_only=True)
class LorentzConfig(SetConfig):
    """Size of the transformer, and which symmetry it keeps.

    Args:
        width: Scalars of a position; a multiple of `heads`.
        vectors: Four-vectors of a position; a multiple of `heads`.
        heads: Attention heads.
        depth: Number of blocks.
        symmetry: `lorentz`, `boost` or `rotation`, see above.

    Raises:
        ValueError: If the heads do not divide the widths.
    """

    width: int = 96
    vectors: int = 16
    heads: int = 4
    depth: int = 6
    symmetry: Literal["lorentz", "boost", "rotation"] = "rotation"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.heads or self.vectors % self.heads:
            raise ValueError(f"width {self.width} and vectors {self.vectors} must be multiples of heads {self.heads}")

    @property
    def size(self) -> int:
        """D."""
        return self.width

    def tiny(self) -> LorentzConfig:
        """The same parts at a size for tests."""
        return replace(self, width=16, vectors=4, heads=2, depth=2)

    def make(self, features: int) -> Lorentz:
        """The backbone for rows of so many features."""
        return Lorentz(self, features)


def square(v_SV4: Float[Tensor, "S V 4"], w_SV4: Float[Tensor, "S V 4"]) -> Float[Tensor, "S V"]:
    """Minkowski products of vectors (px, py, pz, E).

    Example:
        >>> p = torch.tensor([[[3.0, 0.0, 0.0, 5.0]]])
        >>> square(p, p).item()
        16.0
    """
    return (v_SV4 * w_SV4 * _metric(v_SV4)).sum(-1)


def _metric(like: Tensor) -> Tensor:
    """Of (px, py, pz, E). Written where it is needed: numbers copied to an accelerator would be waited for."""
    return torch.cat([like.new_full((3,), -1.0), like.new_ones(1)])


def _mix(v_SV4: Tensor, weight: Tensor) -> Tensor:
    """(S, V', 4) linear combinations of vectors, with a weight (V', V)."""
    return weight @ v_SV4


class _Products(nn.Module):
    """Products of learned combinations of vectors, on a scale on which large ones do no harm."""

    def __init__(self, vectors: int) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(vectors, vectors, bias=False), nn.Linear(vectors, vectors, bias=False)

    def forward(self, v_SV4: Float[Tensor, "S V 4"]) -> Float[Tensor, "S V"]:
        """The products."""
        return torch.asinh(square(_mix(v_SV4, self.left.weight), _mix(v_SV4, self.right.weight)))


class _Norm(nn.Module):
    """Scalars by their layer norm, vectors by the root of the mean of their absolute squares, plus one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x_SC: Tensor, v_SV4: Tensor) -> tuple[Tensor, Tensor]:
        """Both, normalised."""
        size_S = square(v_SV4, v_SV4).abs().mean(1) + 1
        return self.norm(x_SC), v_SV4 * torch.rsqrt(size_S)[:, None, None]


class Block(nn.Module):
    """Attention and a gated feed-forward layer on scalars and vectors, each behind a norm, beside a residual path."""

    def __init__(self, config: LorentzConfig) -> None:
        super().__init__()
        width, vectors, self.heads = config.width, config.vectors, config.heads
        self.norm1, self.norm2 = _Norm(width), _Norm(width)
        self.qkv, self.qkv_vectors = nn.Linear(width, 3 * width), nn.Linear(vectors, 3 * vectors, bias=False)
        self.out, self.out_vectors = nn.Linear(width, width), nn.Linear(vectors, vectors, bias=False)
        self.products = _Products(vectors)
        self.up = nn.Linear(width + vectors, 4 * width)
        self.gate = nn.Linear(width + vectors, vectors)
        self.down, self.down_vectors = nn.Linear(2 * width, width), nn.Linear(vectors, vectors, bias=False)

    def forward(
        self, x_SC: Float[Tensor, "S C"], v_SV4: Float[Tensor, "S V 4"], plan: Plan
    ) -> tuple[Float[Tensor, "S C"], Float[Tensor, "S V 4"]]:
        """Scalars and vectors of all positions."""
        y_SC, w_SV4 = self.norm1(x_SC, v_SV4)
        y_SC, w_SV4 = self._attend(y_SC, w_SV4, plan)
        x_SC, v_SV4 = x_SC + y_SC, v_SV4 + w_SV4
        y_SC, w_SV4 = self.norm2(x_SC, v_SV4)
        seen = torch.cat([y_SC, self.products(w_SV4)], 1)
        gate, value = self.up(seen).chunk(2, 1)
        x_SC = x_SC + self.down(F.silu(gate) * value)
        w_SV4 = _mix(w_SV4 * self.gate(seen).sigmoid()[:, :, None], self.down_vectors.weight)
        return x_SC, v_SV4 + w_SV4

    def _attend(self, x_SC: Tensor, v_SV4: Tensor, plan: Plan) -> tuple[Tensor, Tensor]:
        heads = self.heads
        size, each, some = len(x_SC), x_SC.shape[1] // heads, v_SV4.shape[1] // heads
        scalars = self.qkv(x_SC).view(size, 3, heads, each)
        vectors = _mix(v_SV4, self.qkv_vectors.weight).view(size, 3, heads, some, 4)
        one = vectors.new_ones(4)
        metric = torch.stack([one, _metric(vectors), one])[:, None, None]  # of queries, keys and values
        qkv_S3HE = torch.cat([scalars, (vectors * metric).flatten(3)], 3)
        y_SHE = attend(qkv_S3HE, plan, causal=False)
        y_SC, w_SV4 = torch.split(y_SHE, [scalars.shape[3], vectors.shape[3] * 4], 2)
        w_SV4 = w_SV4.reshape(v_SV4.shape)
        return self.out(y_SC.flatten(1)), _mix(w_SV4, self.out_vectors.weight)


@dataclass(frozen=True, eq=False)
class WithToken(SetPlan):
    """Where the rows of each event and its class token lie, and how to attend among them.

    Args:
        layout: The token first, then the rows.
        attention: Its plan.
    """

    layout: Layout
    attention: Plan


class Lorentz(SetBackbone):
    """Embedding, blocks, and the products of what vectors are left.

    Args:
        config: Its size and symmetry.
        features: F.
    """

    config: LorentzConfig

    def __init__(self, config: LorentzConfig, features: int) -> None:
        super().__init__()
        c, self.config = config, config
        given = {"lorentz": 1, "boost": 2, "rotation": 4}[c.symmetry]
        self.embed, self.embed_vectors = nn.Linear(features + 2, c.width), nn.Linear(given, c.vectors, bias=False)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.depth))
        self.norm_vectors, self.products = _Norm(c.width), _Products(c.vectors)
        self.last, self.norm = nn.Linear(c.width + c.vectors, c.width), nn.LayerNorm(c.width)
        for block in self.blocks:
            assert isinstance(block, Block)
            for layer in (block.out, block.out_vectors, block.down, block.down_vectors):
                layer.weight.data *= (2 * c.depth) ** -0.5

    def plan(self, offsets: Int[Tensor, " starts"], device: torch.device) -> WithToken:
        """Rows behind a class token, and length groups."""
        layout = Layout.of({"row": offsets}, prefix=1)
        return WithToken(layout.to(device), plan(layout.offsets).to(device))

    def forward(
        self,
        features_TF: Float[Tensor, "T F"],
        momenta_T4: Float[Tensor, "T 4"],
        offsets: Int[Tensor, " starts"],
        token_1D: Float[Tensor, "1 D"],
        species_T: Int[Tensor, " T"] | None = None,
        plan: SetPlan | None = None,
    ) -> tuple[Float[Tensor, "T D"], Float[Tensor, "B D"]]:
        """Hidden states (T, D) of the rows, and (B, D) of the class tokens, which see the rows of their event."""
        device = features_TF.device
        plan = plan or self.plan(offsets.cpu(), device)
        assert isinstance(plan, WithToken)
        layout = plan.layout
        # In half precision the products of vectors would be lost: large numbers cancel in them.
        half = torch.amp.is_autocast_available(device.type)
        with torch.autocast(device.type, enabled=False) if half else nullcontext():
            scalars_T2, vectors_TN4 = self._given(Ragged(momenta_T4, offsets), features_TF.dtype)
            x_TC = self.embed(torch.cat([features_TF, scalars_T2], 1))
            v_TV4 = _mix(vectors_TN4, self.embed_vectors.weight)
            at = layout.rows["row"]
            x_SC = token_1D.expand(layout.size, -1).index_copy(0, at, x_TC)
            v_SV4 = v_TV4.new_zeros(layout.size, *v_TV4.shape[1:]).index_copy(0, at, v_TV4)
            for block in self.blocks:
                x_SC, v_SV4 = block(x_SC, v_SV4, plan.attention)
            y_SC, v_SV4 = self.norm_vectors(x_SC, v_SV4)
            x_SD = self.norm(x_SC + self.last(torch.cat([y_SC, self.products(v_SV4)], 1)))
        return x_SD[at], x_SD[layout.prefix[:, 0]]

    def _given(self, momenta: Ragged, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """(T, 2) scalars and (T, N, 4) vectors of the rows; in double precision, for masses are small differences."""
        p_T4, event_T = momenta.values.double(), momenta.event
        total_B4 = momenta.with_values(p_T4).sum()
        square_B = square(total_B4[:, None], total_B4[:, None])[:, 0].clamp_min(0)
        mass_T = (square_B + FLOOR**2).sqrt()[event_T]
        n_T = momenta.lengths[event_T].to(p_T4.dtype)
        share_T = n_T * square(p_T4[:, None], total_B4[event_T][:, None])[:, 0] / mass_T**2
        scalars_T2 = torch.stack([(1 + square_B).log()[event_T] / 4 - 2, (share_T.clamp_min(0) + 1e-3).log() / 2], 1)
        v_T4 = p_T4 * (n_T / mass_T)[:, None]
        given = [v_T4]
        if self.config.symmetry != "lorentz":
            given.append(v_T4 * torch.cat([v_T4.new_ones(2), v_T4.new_zeros(2)]))
        if self.config.symmetry == "rotation":
            given += [axis.expand_as(v_T4) for axis in torch.eye(4, dtype=v_T4.dtype, device=v_T4.device)[2:]]
        return scalars_T2.to(dtype), torch.stack(given, 1).to(dtype)
