"""Events of similar length, handled together: rows stay packed, only attention sees squares with a little padding.

Events sorted by length and cut into buckets need hardly any padding. All layers of a body that looks at each event
alone can then run bucket by bucket, so that what one bucket needs stays in the processor's cache.

Shapes: B events, G events of one bucket, L its longest, R its rows, T rows of all events, D any width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lpm.model.layers import from_places, to_places

__all__ = ["EVENTS", "Bucket", "ByLength"]

EVENTS = 16
"""Events of a bucket on the CPU; sixteen were fastest for jets (in training 6: 20% slower, 48: 45% slower)."""


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


@dataclass(frozen=True, eq=False)
class ByLength:
    """All events of a batch, sorted by length and cut into buckets.

    Args:
        rows: (T,) the row that comes at each place.
        events: (B,) the event that comes at each place.
        buckets: What they are cut into.
    """

    rows: Int[Tensor, " T"]
    events: Int[Tensor, " B"]
    buckets: tuple[Bucket, ...]

    @classmethod
    def of(cls, offsets: Int[Tensor, " starts"], rows: int) -> ByLength:
        """Sort events with the given (B + 1,) offsets and so many rows.

        Example:
            >>> s = ByLength.of(torch.tensor([0, 2, 3]), 3)
            >>> s.rows.tolist(), s.events.tolist(), [b.longest for b in s.buckets]
            ([2, 0, 1], [1, 0], [2])
        """
        lengths, order = offsets.diff().sort(stable=True)
        starts = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        shift = torch.repeat_interleave(offsets[order] - starts[:-1], lengths, output_size=rows)
        # Small buckets stay in the cache of a processor; an accelerator wants few and large ones.
        size = EVENTS if offsets.device.type == "cpu" else max(EVENTS, len(order) // 8)
        buckets = tuple(Bucket.of(n) for n in torch.split(lengths, size))
        return cls(torch.arange(rows, device=offsets.device) + shift, order, buckets)

    @property
    def counts(self) -> list[int]:
        """Rows of each bucket."""
        return [len(b.places) for b in self.buckets]
