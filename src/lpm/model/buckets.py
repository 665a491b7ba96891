"""Events of similar length, handled together: rows stay packed, only attention sees squares with a little padding.

Events sorted by length and cut into buckets need hardly any padding. All layers of a body that looks at each event
alone can then run bucket by bucket, so that what one bucket needs stays in the processor's cache.

Shapes: G events of one bucket, L its longest, R its rows, D any width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lpm.model.layers import from_places, to_places

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
        out = to_places(x_RD, self.places, len(self.lengths) * self.longest)
        return out.view(len(self.lengths), self.longest, x_RD.shape[1])

    def unpad(self, x_GLD: Float[Tensor, "G L D"]) -> Float[Tensor, "R D"]:
        """Inverse of `pad`."""
        return from_places(x_GLD.flatten(0, 1), self.places)
