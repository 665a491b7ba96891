"""Events of similar length, handled together: rows stay packed, only attention sees squares with a little padding.

Events sorted by length and cut into buckets need hardly any padding. All layers of a body that looks at each event
alone can then run bucket by bucket, so that what one bucket needs stays in the processor's cache. Lengths decide
shapes: all of this is worked out on the CPU, which knows them, and nothing is ever asked of an accelerator.

Shapes: B events, G events of one bucket, L its longest, R its rows, T rows of all events, D any width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lpm.data.transfer import sent
from lpm.model.layers import from_places, to_places
from lpm.model.sets.base import SetPlan

__all__ = ["EVENTS", "Bucket", "ByLength"]

EVENTS = 16
"""Events of a bucket on the CPU; sixteen were fastest for jets (in training 6: 20% slower, 48: 45% slower)."""

BUCKETS = 8
"""Most buckets elsewhere: few and large ones. A number that is the same for all large batches is compiled once."""


@dataclass(frozen=True, eq=False)
class Bucket:
    """Events whose rows lie one after the other.

    Args:
        lengths: (G,) rows of each event.
        valid: (G, L) True where a row exists.
        places: (R,) place of each row among the G × L places of the padded bucket.
    """

    lengths: Int[Tensor, " G"]
    valid: Bool[Tensor, "G L"]
    places: Int[Tensor, " R"]

    @classmethod
    def of(cls, lengths: Int[Tensor, " G"]) -> Bucket:
        """The bucket of events of given lengths, on the CPU.

        Example:
            >>> b = Bucket.of(torch.tensor([1, 2]))
            >>> b.pad(torch.tensor([[1.0], [2.0], [3.0]])).tolist()
            [[[1.0], [0.0]], [[2.0], [3.0]]]
        """
        longest = int(lengths.max()) if len(lengths) else 0
        valid_GL = torch.arange(longest) < lengths[:, None]
        return cls(lengths, valid_GL, valid_GL.flatten().nonzero()[:, 0])

    @property
    def longest(self) -> int:
        """L."""
        return self.valid.shape[1]

    def pad(self, x_RD: Float[Tensor, "R D"]) -> Float[Tensor, "G L D"]:
        """Rows at their places, zeros elsewhere."""
        out = to_places(x_RD, self.places, self.valid.numel())
        return out.view(*self.valid.shape, x_RD.shape[1])

    def unpad(self, x_GLD: Float[Tensor, "G L D"]) -> Float[Tensor, "R D"]:
        """Inverse of `pad`."""
        return from_places(x_GLD.flatten(0, 1), self.places)

    def to(self, device: torch.device) -> Bucket:
        """Copy to a device."""
        return Bucket(*(sent(x, device) for x in (self.lengths, self.valid, self.places)))


@dataclass(frozen=True, eq=False)
class ByLength(SetPlan):
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
    def of(cls, offsets: Int[Tensor, " starts"], device: torch.device | None = None) -> ByLength:
        """Sort events with the given (B + 1,) offsets. What comes out lies on the CPU; see `to`.

        Args:
            offsets: On the CPU; an accelerator that has them is waited for.
            device: Where it is to be used, which decides how large buckets are; None for where the offsets are.

        Example:
            >>> s = ByLength.of(torch.tensor([0, 2, 3]))
            >>> s.rows.tolist(), s.events.tolist(), [b.longest for b in s.buckets]
            ([2, 0, 1], [1, 0], [2])
        """
        device, offsets = device or offsets.device, offsets.cpu()
        lengths, order = offsets.diff().sort(stable=True)
        starts = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        shift = torch.repeat_interleave(offsets[order] - starts[:-1], lengths)
        # Small buckets stay in the cache of a processor; an accelerator wants few and large ones.
        size = EVENTS if device.type == "cpu" else max(EVENTS, -(-len(order) // BUCKETS))
        buckets = tuple(map(Bucket.of, torch.split(lengths, size)))
        return cls(torch.arange(len(shift)) + shift, order, buckets)

    def to(self, device: torch.device) -> ByLength:
        """Copy to a device."""
        return ByLength(sent(self.rows, device), sent(self.events, device), tuple(b.to(device) for b in self.buckets))

    @property
    def counts(self) -> list[int]:
        """Rows of each bucket."""
        return [len(b.places) for b in self.buckets]
