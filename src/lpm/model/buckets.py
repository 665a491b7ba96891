"""Events of similar length, handled together: rows stay packed, only attention sees squares with a little padding.

Events sorted by length and cut into buckets need hardly any padding. All layers of a body that looks at each event
alone can then run bucket by bucket, so that what one bucket needs stays in the processor's cache.

Shapes: G events of one bucket, L its longest, R its rows, D any width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Bucket"]


@dataclass(frozen=True, eq=False)
class Bucket:
    """Events whose rows lie one after the other.

    Args:
        lengths: (G,) rows of each event.
        longest: L.
        places: (R,) place of each row among the G × L places of the padded bucket.
    """

    lengths: Int[Tensor, " G"]
    longest: int
    places: Int[Tensor, " R"]

    @classmethod
    def of(cls, lengths: Int[Tensor, " G"]) -> Bucket:
        """The bucket of events of given lengths.

        Example:
            >>> b = Bucket.of(torch.tensor([1, 2]))
            >>> b.pad(torch.tensor([[1.0], [2.0], [3.0]])).tolist()
            [[[1.0], [0.0]], [[2.0], [3.0]]]
        """
        longest = int(lengths.max()) if len(lengths) else 0
        valid_GL = torch.arange(longest, device=lengths.device) < lengths[:, None]
        return cls(lengths, longest, valid_GL.flatten().nonzero()[:, 0])

    def pad(self, x_RD: Float[Tensor, "R D"]) -> Float[Tensor, "G L D"]:
        """Rows at their places, zeros elsewhere."""
        size = len(self.lengths) * self.longest
        out: Tensor = _Scatter.apply(x_RD, self.places, size)  # type: ignore[no-untyped-call]
        return out.view(len(self.lengths), self.longest, x_RD.shape[1])

    def unpad(self, x_GLD: Float[Tensor, "G L D"]) -> Float[Tensor, "R D"]:
        """Inverse of `pad`."""
        out: Tensor = _Gather.apply(x_GLD.flatten(0, 1), self.places)  # type: ignore[no-untyped-call]
        return out


class _Scatter(torch.autograd.Function):
    """Rows to different places. Known to be different, the gradient is a plain selection."""

    @staticmethod
    def forward(ctx: Any, x_RD: Tensor, places_R: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(places_R)
        return x_RD.new_zeros(size, x_RD.shape[1]).index_copy_(0, places_R, x_RD)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0].index_select(0, ctx.saved_tensors[0]), None, None


class _Gather(torch.autograd.Function):
    """Rows from different places. Known to be different, the gradient is a plain copy, not a sum."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, places_R: Tensor) -> Tensor:
        ctx.save_for_backward(places_R)
        ctx.size = len(x_ND)
        return x_ND.index_select(0, places_R)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (places_R,) = ctx.saved_tensors
        return grads[0].new_zeros(ctx.size, grads[0].shape[1]).index_copy_(0, places_R, grads[0]), None
